//! A classifier that learned from images, and what becomes of it without some heads.
//!
//! A class is the mean `m` of its images' representations `x = r/|r|`, and an image belongs to the nearest one: the class with the highest
//! `m·x − |m|²/2`. Removing heads changes both the means and the image. A head's share in a mean is `B ū` with the class's mean `ū` of `u`, so that
//! the classifier is learned anew without reading an image again.

use std::collections::BTreeMap;

use faer::{Accum, Mat};
use headspan_artifacts::PartReader;
use headspan_headspace::{Readout, single_product, vector_length};

use crate::classification::{
    ClassificationError, LabelledImages, Replacement,
    error::Result,
    means::HalfMeans,
    repair::MadeCorrelation,
    scores::{Block, unit_representation, wide},
    trials::Trial,
};

/// What a classifier is made of.
pub(super) struct Learner {
    d: usize,
    /// Mean of each class, `[d]`.
    means: Vec<Vec<f64>>,
    /// `B` of each head, `[d, head_dim + 3]`.
    readouts: Vec<Mat<f64>>,
    /// `B ū` of each head and class, `[d]`.
    of_class: Vec<Vec<Vec<f64>>>,
    /// `B ū` of each head over all images of the half.
    of_all: Vec<Vec<f64>>,
}

/// A classifier without some heads.
pub(super) struct Rule {
    d: usize,
    /// Means of the classes, `[classes, d]`.
    classes: Vec<f32>,
    /// What each removed head takes from the scores: its position, and `[classes, head_dim + 3]`.
    heads: Vec<(usize, Vec<f32>)>,
    /// What is added to the scores, `[classes]`.
    constant: Vec<f32>,
}

/// A block of images as rules read it.
pub(super) struct Seen {
    images: usize,
    /// `r/|r|`, `[images, d]`.
    unit: Vec<f32>,
    /// `u` of the heads that a rule removes, by position, `[images, head_dim + 3]`.
    u: BTreeMap<usize, Vec<f32>>,
}

impl Learner {
    /// Reads the half that gives means, a part at a time. Errors if a class has no image there.
    pub(super) fn read(
        parts: &[PartReader],
        readouts: &[Readout],
        means: &HalfMeans,
        images: &LabelledImages,
        correlation: Option<&MadeCorrelation>,
    ) -> Result<Self> {
        let shape = parts.first().map(PartReader::shape);
        let (head_dim, d) = shape.map_or((0, 0), |shape| (shape.head_dim, shape.d));
        let (classes, length) = (images.class_ids().len(), vector_length(head_dim));
        let heads: Vec<_> = readouts.iter().map(|readout| readout.head).collect();
        let cells = 2 * classes;
        let (mut counts, mut sums) = (vec![0_u64; cells], vec![vec![0.0; d]; cells]);
        let mut head_sums = vec![vec![vec![0.0; length]; cells]; heads.len()];
        for part in parts {
            let batch = part.read(&heads, true)?;
            for (row, index) in batch.image_index.iter().enumerate() {
                let Some(cell) = cell_of(images, correlation, *index) else { continue };
                counts[cell] += 1;
                let unit = unit_representation(&batch, row, d);
                sums[cell].iter_mut().zip(unit).for_each(|(sum, x)| *sum += f64::from(x));
                for (sums, values) in head_sums.iter_mut().zip(&batch.heads) {
                    let u = values[row * head_dim..][..head_dim].iter().copied().chain(batch.scalars(row).to_array());
                    sums[cell].iter_mut().zip(u).for_each(|(sum, x)| *sum += f64::from(x));
                }
            }
        }
        let weights: Vec<f64> = counts.chunks_exact(2).flat_map(|counts| weights(counts, correlation)).collect();
        if let Some(class) = weights.chunks_exact(2).position(|of_class| of_class == [0.0, 0.0]) {
            return Err(ClassificationError::NothingToLearn { class: images.class_ids()[class].clone() });
        }
        let mean = |sums: &[Vec<f64>], class: usize| -> Vec<f64> {
            let of = |cell: usize, at: usize| weights[cell] * sums[cell][at];
            (0..sums[2 * class].len()).map(|at| of(2 * class, at) + of(2 * class + 1, at)).collect()
        };
        let readouts: Vec<Mat<f64>> = readouts.iter().map(|readout| wide(&readout.matrix, readout.columns())).collect();
        let of_class = |(readout, sums): (&Mat<f64>, &Vec<Vec<f64>>)| {
            (0..classes).map(|class| times(readout, &mean(sums, class))).collect()
        };
        Ok(Self {
            d,
            means: (0..classes).map(|class| mean(&sums, class)).collect(),
            of_class: readouts.iter().zip(&head_sums).map(of_class).collect(),
            of_all: readouts.iter().zip(&means.heads).map(|(readout, moments)| times(readout, &moments.mean)).collect(),
            readouts,
        })
    }

    /// The classifier that is learned without the heads of a trial. An image loses `k B u` of each and gets the mean `B ū` instead, if that is
    /// what takes their place.
    pub(super) fn rule(&self, trial: &Trial) -> Rule {
        let (taken, with_mean) = match trial.replacement {
            Replacement::Mean => (1.0, true),
            Replacement::Zero => (1.0, false),
            Replacement::Scale(factor) => (1.0 - factor, false),
        };
        let mut instead = vec![0.0; self.d];
        for head in trial.heads.iter().filter(|_| with_mean) {
            instead.iter_mut().zip(&self.of_all[*head]).for_each(|(sum, x)| *sum += x);
        }
        let mut classes = Vec::with_capacity(self.means.len());
        for (class, mean) in self.means.iter().enumerate() {
            let mut mean = mean.clone();
            for head in &trial.heads {
                mean.iter_mut().zip(&self.of_class[*head][class]).for_each(|(sum, x)| *sum -= taken * x);
            }
            mean.iter_mut().zip(&instead).for_each(|(sum, x)| *sum += x);
            classes.push(mean);
        }
        let in_head = |head: &usize| {
            let readout = &self.readouts[*head];
            let column = |mean: &[f64], at: usize| (0..self.d).map(|row| mean[row] * readout[(row, at)]).sum::<f64>();
            let row =
                |mean: &Vec<f64>| (0..readout.ncols()).map(|at| (-taken * column(mean, at)) as f32).collect::<Vec<_>>();
            (*head, classes.iter().flat_map(row).collect())
        };
        Rule {
            d: self.d,
            heads: trial.heads.iter().map(in_head).collect(),
            constant: classes.iter().map(|mean| (dot(mean, &instead) - 0.5 * dot(mean, mean)) as f32).collect(),
            classes: classes.iter().flatten().map(|x| *x as f32).collect(),
        }
    }

    /// Bytes of a rule that removes so many heads.
    pub(super) fn bytes_of_rule(&self, heads: usize) -> usize {
        let length = self.readouts.first().map_or(0, Mat::ncols);
        self.means.len() * (self.d + heads * length + 1) * size_of::<f32>()
    }

    /// Numbers that an image of a block takes.
    pub(super) fn numbers_per_image(&self) -> usize {
        self.d + self.readouts.iter().map(Mat::ncols).sum::<usize>() + self.means.len()
    }

    /// What the rules read of a block.
    pub(super) fn seen(&self, block: &Block<'_>, rules: &[Rule]) -> Seen {
        let unit = block.rows.iter().flat_map(|row| unit_representation(block.batch, *row, self.d)).collect();
        let mut u = BTreeMap::new();
        for (head, _) in rules.iter().flat_map(|rule| &rule.heads) {
            u.entry(*head).or_insert_with(|| block.u(*head, None));
        }
        Seen { images: block.images(), unit, u }
    }
}

impl Rule {
    /// Scores of a block for the classes, `[images, classes]`; the highest is that of the nearest mean.
    pub(super) fn scores(&self, seen: &Seen, scores: &mut Vec<f32>) {
        scores.clear();
        scores.resize(seen.images * self.constant.len(), 0.0);
        single_product(scores, &seen.unit, &self.classes, self.d, Accum::Replace);
        for (head, classes) in &self.heads {
            single_product(scores, &seen.u[head], classes, classes.len() / self.constant.len(), Accum::Add);
        }
        for row in scores.chunks_exact_mut(self.constant.len()) {
            row.iter_mut().zip(&self.constant).for_each(|(score, x)| *score += x);
        }
    }
}

/// Where an image of the half that gives means is summed up: class by class, first those whose cue does not have the class's value, then those
/// whose cue has. None if it teaches nothing.
fn cell_of(images: &LabelledImages, correlation: Option<&MadeCorrelation>, index: u64) -> Option<usize> {
    let class = images.of(index).filter(|labels| labels.for_means)?.class?;
    let agrees = correlation.map_or(Some(false), |made| made.agrees.get(&index).copied())?;
    Some(2 * class as usize + usize::from(agrees))
}

/// Weights of a class's images, of those of the first and of the second cell, so that all together weigh 1. With a correlation the images whose cue
/// agrees weigh its share, however many they are; where there is but one of the cells, it has all of the weight.
fn weights(counts: &[u64], correlation: Option<&MadeCorrelation>) -> [f64; 2] {
    let count = [counts[0] as f64, counts[1] as f64];
    let own = correlation.map_or(count, |made| [1.0 - made.share, made.share]);
    let there = [0, 1].map(|cell| if counts[cell] > 0 { own[cell] } else { 0.0 });
    let total = there[0] + there[1];
    [0, 1].map(|cell| if there[cell] > 0.0 { there[cell] / total / count[cell] } else { 0.0 })
}

/// A matrix times a vector.
fn times(matrix: &Mat<f64>, vector: &[f64]) -> Vec<f64> {
    (0..matrix.nrows()).map(|row| vector.iter().enumerate().map(|(at, x)| matrix[(row, at)] * x).sum()).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
