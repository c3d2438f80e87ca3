//! Sets of heads without which a block of images is classified again.

use faer::{Accum, Mat};
use headspan_headspace::{Readout, single_product};

use crate::classification::{
    Removed, Replacement,
    means::HalfMeans,
    scores::{Block, Embeddings, narrow, projected},
};

/// What is said to the classes: by the whole representation, by each head, and by the rest.
pub(super) struct Said {
    /// `[images, classes]`, of means `[classes]`.
    whole: Vec<f32>,
    /// The same of each head.
    heads: Vec<Vec<f32>>,
    /// The whole less the heads; empty where nobody asks.
    rest: Vec<f32>,
}

/// The classes in each head's space, and what is said to them on average.
pub(super) struct Heard {
    embeddings: Embeddings,
    /// `E B` of each head, `[classes, head_dim + 3]`.
    projected: Vec<Vec<f32>>,
    means: Said,
    with_rest: bool,
}

impl Heard {
    pub(super) fn new(embeddings: Embeddings, readouts: &[Readout], means: &HalfMeans, with_rest: bool) -> Self {
        let wide = embeddings.wide();
        let projected: Vec<Mat<f64>> = readouts.iter().map(|readout| projected(wide.as_ref(), readout)).collect();
        let whole = of_mean(&wide, &means.representation);
        let heads: Vec<Vec<f32>> =
            projected.iter().zip(&means.heads).map(|(own, moments)| of_mean(own, &moments.mean)).collect();
        let rest = if with_rest { less(&whole, &heads) } else { Vec::new() };
        let projected = projected.iter().map(narrow).collect();
        Self { embeddings, projected, means: Said { whole, heads, rest }, with_rest }
    }

    pub(super) fn classes(&self) -> usize {
        self.embeddings.classes
    }

    /// What a block's images say.
    pub(super) fn said(&self, block: &Block<'_>) -> Said {
        let whole = self.embeddings.scores(block.batch, block.rows);
        let one = |(head, projected): (usize, &Vec<f32>)| {
            let u = block.u(head, None);
            let mut said = vec![0.0; whole.len()];
            single_product(&mut said, &u, projected, u.len() / block.images(), Accum::Replace);
            said
        };
        let heads: Vec<Vec<f32>> = self.projected.iter().enumerate().map(one).collect();
        let rest = if self.with_rest { less(&whole, &heads) } else { Vec::new() };
        Said { whole, heads, rest }
    }
}

/// What a mean says to the classes.
fn of_mean(rows: &Mat<f64>, mean: &[f64]) -> Vec<f32> {
    let product = |row: usize| mean.iter().enumerate().map(|(at, x)| rows[(row, at)] * x).sum::<f64>();
    (0..rows.nrows()).map(|row| product(row) as f32).collect()
}

fn less(whole: &[f32], parts: &[Vec<f32>]) -> Vec<f32> {
    let mut rest = whole.to_vec();
    for part in parts {
        rest.iter_mut().zip(part).for_each(|(rest, x)| *rest -= x);
    }
    rest
}

/// Something replaced by something.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// Heads by position.
    pub(super) heads: Vec<usize>,
    rest: bool,
    pub(super) replacement: Replacement,
}

impl Trial {
    /// Nothing is replaced.
    pub(super) fn nothing() -> Self {
        Self::of_heads(Vec::new(), Replacement::Zero)
    }

    pub(super) fn of_heads(heads: Vec<usize>, replacement: Replacement) -> Self {
        Self { heads, rest: false, replacement }
    }

    /// `positions` are those of the heads in [`Removed::Heads`].
    pub(super) fn new(removed: &Removed, positions: Vec<usize>, replacement: Replacement) -> Self {
        Self { heads: positions, rest: matches!(removed, Removed::Rest), replacement }
    }

    fn parts<'a>(&'a self, said: &'a Said) -> impl Iterator<Item = &'a [f32]> {
        let heads = self.heads.iter().map(|head| said.heads[*head].as_slice());
        heads.chain(self.rest.then_some(said.rest.as_slice()))
    }

    /// Scores of a block after the replacement, `[images, classes]`: a part `x` becomes `f x`, or its mean.
    pub(super) fn scores(&self, heard: &Heard, said: &Said, after: &mut Vec<f32>) {
        after.clear();
        after.extend_from_slice(&said.whole);
        let taken = match self.replacement {
            Replacement::Mean | Replacement::Zero => 1.0,
            Replacement::Scale(factor) => (1.0 - factor) as f32,
        };
        for part in self.parts(said) {
            after.iter_mut().zip(part).for_each(|(score, x)| *score -= taken * x);
        }
        if self.replacement == Replacement::Mean {
            let mut instead = vec![0.0; heard.classes()];
            for part in self.parts(&heard.means) {
                instead.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
            }
            for row in after.chunks_exact_mut(instead.len()) {
                row.iter_mut().zip(&instead).for_each(|(score, x)| *score += x);
            }
        }
    }
}
