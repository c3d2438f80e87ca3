use faer::Mat;
use headspan_headspace::{Moments, product};

use crate::{
    error::TextspanError,
    pool::{TextPool, expect_length, finite},
    reconstruction::Reconstruction,
    subspace::Subspace,
};

/// Variance below this share of the first pick's is rounding; the loop ends there.
const VARIANCE_TOLERANCE: f64 = 1e-12;

/// How many texts, and in how many directions they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Texts of a head, `k`. Fewer are returned where the pool or the variance runs out.
    pub texts: usize,
    /// Rank that texts are projected to; the head's numerical rank where that is smaller.
    pub rank: usize,
}

/// One picked text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pick {
    /// Position in the pool.
    pub text_index: usize,
    /// Standard deviation (n − 1) of the remaining outputs along the remaining text, not normalised: the figure that the
    /// published loop compares.
    pub std: f64,
    /// Share of the head's total variance along the removed direction.
    pub variance_share: f64,
    /// Sum of the shares so far.
    pub cumulative_share: f64,
}

/// The texts that span a head's output.
#[derive(Debug, Clone)]
pub struct Basis {
    /// In order of picking.
    pub picks: Vec<Pick>,
    /// Rank that was used.
    pub rank: usize,
    /// Trace of the covariance of the head's contribution.
    pub total_variance: f64,
    mean: Vec<f64>,
    /// Orthonormal directions that were removed, as rows in the order of picking, `[picks, d]`.
    directions: Mat<f64>,
}

impl Basis {
    /// The direction that a pick removed: its text less what the picks before it say, `[d]`, of unit norm. Projections of a
    /// head's output on it are what the pick's variance share counts.
    pub fn direction(&self, pick: usize) -> Option<Vec<f64>> {
        (pick < self.picks.len()).then(|| (0..self.directions.ncols()).map(|i| self.directions[(pick, i)]).collect())
    }

    /// The operator that keeps of a contribution only what the picked texts span.
    pub fn reconstruction(&self) -> Reconstruction {
        Reconstruction::new(self.mean.clone(), self.directions.clone())
    }
}

/// TEXTSPAN of one head. `readout` is `B` of design section 1, `[d, m]` row-major. Deterministic, in double precision; of
/// equal variances the lowest index wins.
pub fn textspan(
    readout: &[f32],
    moments: &Moments,
    pool: &TextPool,
    settings: &Settings,
) -> Result<Basis, TextspanError> {
    moments.check()?;
    for (what, value) in [("texts", settings.texts), ("rank", settings.rank)] {
        if value == 0 {
            return Err(TextspanError::Zero { what });
        }
    }
    let (d, m) = (pool.d(), moments.mean.len());
    expect_length("readout", readout.len(), d * m)?;
    finite("readout", readout.iter().map(|x| f64::from(*x)))?;
    let subspace = Subspace::new(readout, d, moments, settings.rank)?;
    let rank = subspace.rank();
    let texts = product(pool.embeddings.as_ref(), subspace.directions.as_ref());
    let mut remaining = Remaining::new(&texts, &product(texts.as_ref(), subspace.covariance_root.as_ref()));
    let mut picks = Vec::new();
    let mut removed: Vec<Vec<f64>> = Vec::new();
    let mut cumulative_share = 0.0;
    let mut first_variance = None;
    while picks.len() < settings.texts && rank > 0 {
        let Some((text_index, variance)) = remaining.largest() else { break };
        let first = *first_variance.get_or_insert(variance);
        if variance <= VARIANCE_TOLERANCE * first {
            break;
        }
        let direction = remaining.text(text_index).to_vec();
        let length = dot(&direction, &direction);
        let variance_share = variance / length / subspace.total_variance;
        cumulative_share += variance_share;
        picks.push(Pick { text_index, std: variance.sqrt(), variance_share, cumulative_share });
        remaining.remove(text_index);
        removed.push(direction.iter().map(|x| x / length.sqrt()).collect());
    }
    let removed = Mat::from_fn(removed.len(), rank, |pick, i| removed[pick][i]);
    Ok(Basis {
        picks,
        rank,
        total_variance: subspace.total_variance,
        mean: readout
            .chunks_exact(m)
            .map(|row| row.iter().zip(&moments.mean).map(|(b, u)| f64::from(*b) * u).sum())
            .collect(),
        directions: product(removed.as_ref(), subspace.directions.transpose()),
    })
}

/// What remains of every text: `t` in the head's directions, and `y = Fᵀt`, whose square is the variance along `t`. Keeping
/// both makes a pick a scan over squares, without cancellation, and a removal two linear updates per text.
struct Remaining {
    rank: usize,
    /// `[texts, 2·rank]`: `t`, then `y`.
    rows: Vec<f64>,
    picked: Vec<bool>,
}

impl Remaining {
    fn new(texts: &Mat<f64>, responses: &Mat<f64>) -> Self {
        let rank = texts.ncols();
        let mut rows = Vec::with_capacity(texts.nrows() * 2 * rank);
        for text in 0..texts.nrows() {
            rows.extend((0..rank).map(|i| texts[(text, i)]));
            rows.extend((0..rank).map(|i| responses[(text, i)]));
        }
        Self { rank, rows, picked: vec![false; texts.nrows()] }
    }

    fn row(&self, text: usize) -> &[f64] {
        &self.rows[text * 2 * self.rank..][..2 * self.rank]
    }

    fn text(&self, text: usize) -> &[f64] {
        &self.row(text)[..self.rank]
    }

    /// Text with the largest variance, the lowest index among equals.
    fn largest(&self) -> Option<(usize, f64)> {
        let mut best: Option<(usize, f64)> = None;
        for text in (0..self.picked.len()).filter(|text| !self.picked[*text]) {
            let response = &self.row(text)[self.rank..];
            let variance = dot(response, response);
            if best.is_none_or(|(_, most)| variance > most) {
                best = Some((text, variance));
            }
        }
        best
    }

    /// Removes a text's direction from all texts (Gram–Schmidt) and thereby from the outputs.
    fn remove(&mut self, text: usize) {
        self.picked[text] = true;
        let (rank, removed) = (self.rank, self.row(text).to_vec());
        let length = dot(&removed[..rank], &removed[..rank]);
        for row in self.rows.chunks_exact_mut(2 * rank) {
            let share = dot(&row[..rank], &removed[..rank]) / length;
            for (value, removed) in row.iter_mut().zip(&removed) {
                *value -= share * removed;
            }
        }
    }
}

/// Sum of products in eight running sums, an order that vectorises and does not depend on the machine.
pub(crate) fn dot(one: &[f64], other: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (one_chunks, other_chunks) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let tail: f64 = one_chunks.remainder().iter().zip(other_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in one_chunks.zip(other_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + tail
}
