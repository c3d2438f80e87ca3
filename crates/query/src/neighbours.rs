use std::{collections::BTreeSet, sync::Arc};

use headspan_headspace::{HeadId, HeadVector, Readout, Scalars, vector_length};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    columns::{HeadColumn, Rows},
    error::{ExploreError, Result},
    model::ImageTrace,
    run::ExploreRun,
    selection::HeadSelection,
};

/// Rows of a chunk that one thread scores: some hundred kilobytes of a column.
const CHUNK: usize = 1_024;

/// What the images are compared with.
#[derive(Debug, Clone, Copy)]
pub enum Query<'a> {
    /// An image of the run, by its position in the data set.
    Image(u64),
    /// A new image.
    Trace(&'a ImageTrace),
    /// A text's embedding of unit norm, `[d]`.
    Text(&'a [f32]),
}

/// How a query and an image are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Dot product of contributions, as published. Images with large contributions are near to everything.
    Dot,
    /// Cosine of the angle between contributions.
    #[default]
    Cosine,
}

/// Which images are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NeighboursRequest {
    /// Heads whose contributions are averaged, for the query and for every image.
    pub heads: HeadSelection,
    /// Most images returned.
    pub count: usize,
    /// Measure.
    pub similarity: Similarity,
    /// Only images of these classes; empty for all.
    pub classes: BTreeSet<String>,
    /// The farthest images instead of the nearest.
    pub farthest: bool,
}

impl NeighboursRequest {
    /// The `count` nearest images by cosine, of any class.
    pub fn new(heads: HeadSelection, count: usize) -> Self {
        Self { heads, count, similarity: Similarity::default(), classes: BTreeSet::new(), farthest: false }
    }
}

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbour {
    /// Position in the data set.
    pub image_index: u64,
    /// Path below the data set's folder, or key in a shard.
    pub image_id: String,
    /// Class, if the data set has classes.
    pub class_id: Option<String>,
    /// Dot product of mean contributions, or its cosine.
    pub score: f32,
}

/// Images in order of their scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbours {
    /// Heads that were averaged.
    pub heads: Vec<HeadId>,
    /// The images, nearest (or farthest) first. Equal scores stand in data set order. The query itself is left out.
    pub images: Vec<Neighbour>,
    /// Images that were compared.
    pub compared: usize,
    /// Mean of the scores of all images of the run, and their standard deviation (n − 1): what a score is high or low against.
    pub mean: f64,
    /// See `mean`.
    pub std: f64,
}

impl Neighbours {
    /// How many standard deviations a score lies above the mean over all images; none if all scores are equal.
    pub fn deviations(&self, score: f32) -> Option<f64> {
        (self.std > 0.0).then(|| (f64::from(score) - self.mean) / self.std)
    }
}

/// A linear function of the `u` of some heads: what a query is in head space.
pub(crate) struct Functional {
    /// Per head `Bᵀ q / k`, `[head_dim]`, and its column.
    pub(crate) heads: Vec<(Vec<f32>, Arc<HeadColumn>)>,
    /// What the scalars are multiplied with, summed over the heads.
    pub(crate) scalars: [f32; Scalars::COUNT],
}

impl ExploreRun {
    /// Nearest neighbours of an image or a text under the heads of a selection (arXiv 2409.06579, section 5): analyses
    /// *property-based*, *per-head of an image* and *per-head of a text*.
    ///
    /// With several heads, contributions are averaged, so a query `q̄` is the mean of its own contributions (or the text),
    /// and an image's score is `q̄ · mean_h(B_h u_h) = Σ_h (B_hᵀ q̄ / k) · u_h`.
    pub fn neighbours(&self, query: Query<'_>, request: &NeighboursRequest) -> Result<Neighbours> {
        let heads = self.resolve(&request.heads)?;
        let direction = self.direction(query, &heads)?;
        let mut scores = self.scores(&direction, &heads)?;
        let rows = self.rows()?;
        if request.similarity == Similarity::Cosine {
            let length = norm(&direction);
            let lengths = self.lengths(&heads)?;
            for (score, own) in scores.iter_mut().zip(lengths.iter()) {
                let product = length * f64::from(*own);
                // A contribution of length zero has no direction: it is at a right angle to everything.
                *score = if product > 0.0 { (f64::from(*score) / product) as f32 } else { 0.0 };
            }
        }
        let itself = match query {
            Query::Image(image) => Some(image),
            Query::Trace(_) | Query::Text(_) => None,
        };
        let wanted = |image: u64| {
            Some(image) != itself
                && (request.classes.is_empty()
                    || self
                        .row_at(image)
                        .and_then(|row| row.class_id.as_ref())
                        .is_some_and(|class| request.classes.contains(class)))
        };
        let candidates = || (0..rows.image_index.len()).filter(|row| wanted(rows.image_index[*row]));
        let compared = candidates().count();
        if compared == 0 && !request.classes.is_empty() {
            let class = request.classes.iter().cloned().collect::<Vec<_>>().join(", ");
            let known = self.classes().iter().cloned().collect();
            return Err(ExploreError::NoClass { class, run: self.name(), known });
        }
        let chosen = best(candidates(), &scores, request.count, request.farthest);
        let (mean, std) = mean_and_std(&scores);
        Ok(Neighbours { heads, images: self.named(&rows, &chosen, &scores), compared, mean, std })
    }

    /// A query as a vector of the joint embedding, `[d]`.
    pub(crate) fn direction(&self, query: Query<'_>, heads: &[HeadId]) -> Result<Vec<f64>> {
        let d = self.d();
        match query {
            Query::Text(embedding) => {
                if embedding.len() != d || embedding.iter().any(|value| !value.is_finite()) {
                    let found = format!("{} numbers", embedding.len());
                    return Err(ExploreError::Invalid {
                        what: "the text's embedding",
                        found,
                        expected: format!("{d} finite numbers"),
                    });
                }
                Ok(embedding.iter().map(|value| f64::from(*value)).collect())
            }
            Query::Image(image) => {
                let row = self.row_of(image)?;
                let scalars = self.rows()?.scalars[row];
                let columns = heads.iter().map(|head| self.column(*head)).collect::<Result<Vec<_>>>()?;
                self.mean_contribution(heads, |index, _head| Ok(HeadVector::new(columns[index].row(row), scalars)))
            }
            Query::Trace(trace) => self.mean_contribution(heads, |_index, head| trace.u(head)),
        }
    }

    /// Mean over heads of `B u`, `[d]`.
    fn mean_contribution(&self, heads: &[HeadId], u: impl Fn(usize, HeadId) -> Result<HeadVector>) -> Result<Vec<f64>> {
        let mut mean = vec![0.0_f64; self.d()];
        for (index, head) in heads.iter().enumerate() {
            let own = u(index, *head)?;
            let readout = self.readout(*head)?;
            for (sum, row) in mean.iter_mut().zip(readout.rows()) {
                *sum += row.iter().zip(own.as_slice()).map(|(b, u)| f64::from(*b) * f64::from(*u)).sum::<f64>();
            }
        }
        for value in &mut mean {
            *value /= heads.len() as f64;
        }
        Ok(mean)
    }

    /// Dot product of a direction `[d]` with every image's mean contribution of `heads`, in row order.
    pub(crate) fn scores(&self, direction: &[f64], heads: &[HeadId]) -> Result<Vec<f32>> {
        let functional = self.functional(direction, heads)?;
        Ok(functional.apply(&*self.rows()?))
    }

    fn functional(&self, direction: &[f64], heads: &[HeadId]) -> Result<Functional> {
        let mut functional = Functional { heads: Vec::with_capacity(heads.len()), scalars: [0.0; Scalars::COUNT] };
        for head in heads {
            let readout = self.readout(*head)?;
            let into_head = into_head(readout, direction, 1.0 / heads.len() as f64);
            let (z, scalars) = into_head.split_at(readout.head_dim);
            for (sum, own) in functional.scalars.iter_mut().zip(scalars) {
                *sum += own;
            }
            functional.heads.push((z.to_vec(), self.column(*head)?));
        }
        Ok(functional)
    }

    /// Length of every image's mean contribution of `heads`. They never change, and are kept.
    fn lengths(&self, heads: &[HeadId]) -> Result<Arc<Vec<f32>>> {
        self.answers().lengths(heads, || self.norms(heads, None))
    }

    /// `|Σ_h B_h (u_h − ū_h)| / k` of every image, `ū` zero without a centre. `B = QR`, so the length of `B x` is that of `R x`:
    /// one head costs `(head_dim + 3)²` products an image, whatever d is. Several heads are stacked before the factorisation.
    pub(crate) fn norms(&self, heads: &[HeadId], center: Option<&[f64]>) -> Result<Vec<f32>> {
        let rows = self.rows()?;
        let columns = heads.iter().map(|head| self.column(*head)).collect::<Result<Vec<_>>>()?;
        let readouts = heads.iter().map(|head| self.readout(*head)).collect::<Result<Vec<_>>>()?;
        let head_dim = readouts[0].head_dim;
        let length = vector_length(head_dim);
        let (width, d, count) = (heads.len() * length, self.d(), rows.image_index.len());
        let stacked = faer::Mat::<f64>::from_fn(d, width, |row, column| {
            let (head, place) = (column / length, column % length);
            f64::from(readouts[head].matrix[row * length + place]) / heads.len() as f64
        });
        // Of many heads the stack is wider than high, and there is nothing to gain.
        let factor = if width < d { stacked.qr().thin_R().to_owned() } else { stacked };
        let factor = faer::Mat::<f32>::from_fn(factor.nrows(), width, |row, column| factor[(row, column)] as f32);
        let starts: Vec<usize> = (0..count).step_by(CHUNK).collect();
        let chunks = starts.par_iter().map(|&start| {
            let end = (start + CHUNK).min(count);
            let u = faer::Mat::<f32>::from_fn(width, end - start, |row, image| {
                let (head, place, image) = (row / length, row % length, start + image);
                let value = if place < head_dim {
                    columns[head].row(image)[place]
                } else {
                    rows.scalars[image].to_array()[place - head_dim]
                };
                center.map_or(value, |center| (f64::from(value) - center[row]) as f32)
            });
            let mut out = faer::Mat::<f32>::zeros(factor.nrows(), end - start);
            faer::linalg::matmul::matmul(
                out.as_mut(),
                faer::Accum::Replace,
                factor.as_ref(),
                u.as_ref(),
                1.0,
                faer::Par::Seq,
            );
            (0..end - start).map(|image| out.col(image).norm_l2()).collect::<Vec<f32>>()
        });
        Ok(chunks.flatten_iter().collect())
    }

    /// Rows as images with their scores.
    pub(crate) fn named(&self, rows: &Rows, chosen: &[usize], scores: &[f32]) -> Vec<Neighbour> {
        let named = chosen.iter().filter_map(|row| {
            let image = self.row_at(rows.image_index[*row])?;
            Some(Neighbour {
                image_index: image.image_index,
                image_id: image.image_id.clone(),
                class_id: image.class_id.clone(),
                score: scores[*row],
            })
        });
        named.collect()
    }
}

impl Functional {
    /// The function's value for every row.
    pub(crate) fn apply(&self, rows: &Rows) -> Vec<f32> {
        let mut scores = vec![0.0_f32; rows.scalars.len()];
        scores.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, scores)| {
            let first = chunk * CHUNK;
            for (score, scalars) in scores.iter_mut().zip(&rows.scalars[first..]) {
                *score = scalars.to_array().iter().zip(self.scalars).map(|(scalar, weight)| scalar * weight).sum();
            }
            for (weights, column) in &self.heads {
                for (index, score) in scores.iter_mut().enumerate() {
                    *score += dot(column.row(first + index), weights);
                }
            }
        });
        scores
    }
}

/// `R` of a readout's first columns, `B = QR`: the length of `B x` is that of `R x`, and `R` is never longer than the columns are many.
pub(crate) fn factor(readout: &Readout, columns: usize) -> faer::Mat<f64> {
    let width = readout.columns();
    let matrix =
        faer::Mat::<f64>::from_fn(readout.d, columns, |row, column| f64::from(readout.matrix[row * width + column]));
    matrix.qr().thin_R().to_owned()
}

/// A direction taken into a head's space: `Bᵀ t · factor`, `[head_dim + 3]`.
pub(crate) fn into_head(readout: &Readout, direction: &[f64], factor: f64) -> Vec<f32> {
    let mut sums = vec![0.0_f64; readout.columns()];
    for (row, value) in readout.rows().zip(direction) {
        for (sum, b) in sums.iter_mut().zip(row) {
            *sum += f64::from(*b) * value;
        }
    }
    sums.into_iter().map(|sum| (sum * factor) as f32).collect()
}

/// Sum of products in sixteen lanes, which the compiler turns into vector instructions: a plain sum must keep its order.
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let (mut one_chunks, mut other_chunks) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    for (a, b) in one_chunks.by_ref().zip(other_chunks.by_ref()) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = one_chunks.remainder().iter().zip(other_chunks.remainder()).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Mean and standard deviation (n − 1) of scores.
pub(crate) fn mean_and_std(scores: &[f32]) -> (f64, f64) {
    let n = scores.len() as f64;
    let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / n.max(1.0);
    let squares = scores.iter().map(|score| (f64::from(*score) - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

pub(crate) fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The `count` rows with the largest scores (or smallest), in that order; equal scores in row order.
pub(crate) fn best(rows: impl Iterator<Item = usize>, scores: &[f32], count: usize, smallest: bool) -> Vec<usize> {
    let order = |one: &usize, other: &usize| {
        let by_score = scores[*one].total_cmp(&scores[*other]);
        (if smallest { by_score } else { by_score.reverse() }).then(one.cmp(other))
    };
    // Twice as many as wanted are gathered before the worse half is let go: most rows meet one comparison only.
    let mut kept: Vec<usize> = Vec::with_capacity(2 * count.min(scores.len()) + 1);
    let mut last: Option<usize> = None;
    for row in rows {
        if count == 0 || last.is_some_and(|last| order(&row, &last).is_ge()) {
            continue;
        }
        kept.push(row);
        if kept.len() == 2 * count {
            kept.select_nth_unstable_by(count - 1, order);
            kept.truncate(count);
            last = kept.iter().copied().max_by(order);
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(count);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy;

    use super::*;

    #[test]
    fn the_best_come_in_order_and_ties_by_row() {
        let scores = [1.0, 3.0, 2.0, 3.0, -1.0];
        let all = || 0..5;
        assert_eq!(best(all(), &scores, 3, false), [1, 3, 2]);
        assert_eq!(best(all(), &scores, 2, true), [4, 0]);
        assert_eq!(best(all(), &scores, 9, false), [1, 3, 2, 0, 4]);
        assert!(best(all(), &scores, 0, false).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn the_best_are_those_of_a_sort(
            scores in proptest::collection::vec((-20_i8..20).prop_map(f32::from), 0..200),
            count in 0_usize..30,
            smallest in proptest::bool::ANY,
        ) {
            let mut sorted: Vec<usize> = (0..scores.len()).collect();
            sorted.sort_by(|a, b| {
                let by_score = scores[*a].total_cmp(&scores[*b]);
                if smallest { by_score } else { by_score.reverse() }
            });
            sorted.truncate(count);
            proptest::prop_assert_eq!(best(0..scores.len(), &scores, count, smallest), sorted);
        }
    }

    #[test]
    fn lanes_and_rest_are_all_summed() {
        for length in [0, 1, 15, 16, 17, 64, 67] {
            let one: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let plain: f32 = one.iter().map(|x| x * x).sum();
            assert!((dot(&one, &one) - plain).abs() <= 1e-6 * plain, "{length}");
        }
    }
}
