//! How good a map is.

use std::collections::BTreeMap;

use faer::{Mat, MatRef};
use headspan_headspace::product;

use super::{AlignFigures, pairs::PairMoments, ridge::Ridge};

/// Most held-out images that retrieval is measured among.
const CANDIDATES: usize = 2_000;

/// Held-out pairs among which retrieval is measured: a uniform sample, those with the smallest keys.
pub(super) struct Candidates {
    sizes: [usize; 2],
    /// `x` and `y` by the image's key.
    kept: BTreeMap<u64, Vec<f32>>,
}

impl Candidates {
    pub(super) fn new(sizes: [usize; 2]) -> Self {
        Self { sizes, kept: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, key: u64, x: &[f32], y: &[f32]) {
        self.kept.insert(key, [x, y].concat());
        if self.kept.len() > CANDIDATES {
            self.kept.pop_last();
        }
    }

    /// All `x` and all `y`, a row an image.
    fn matrices(&self) -> [Mat<f64>; 2] {
        let [from, to] = self.sizes;
        let rows: Vec<&Vec<f32>> = self.kept.values().collect();
        let part = |first: usize, length: usize| {
            Mat::from_fn(rows.len(), length, |row, column| f64::from(rows[row][first + column]))
        };
        [part(0, from), part(from, to)]
    }
}

/// The figures of the map of a penalty; `moments` are of the images that it was fitted on and of those held out.
pub(super) fn measured(
    ridge: &Ridge,
    penalty: f64,
    moments: [&PairMoments; 2],
    candidates: &Candidates,
    skipped: u64,
) -> AlignFigures {
    let [r2_fitted, r2] = moments.map(|moments| explained(ridge, penalty, moments));
    let [x, y] = candidates.matrices();
    let mapped = product(x.as_ref(), ridge.map(penalty).as_ref());
    let (cosines, places) = retrieval(mapped.as_ref(), y.as_ref());
    let mean = unit(moments[0].mean_y());
    let count = places.len() as f64;
    let among = |most: usize| places.iter().filter(|place| **place < most).count() as f64 / count;
    AlignFigures {
        fitted: moments[0].pairs(),
        held_out: moments[1].pairs(),
        skipped,
        penalty,
        r2_fitted,
        r2,
        candidates: places.len() as u64,
        cosine: cosines.iter().sum::<f64>() / count,
        cosine_of_mean: moments[1].mean_y().iter().zip(&mean).map(|(own, mean)| own * mean).sum(),
        top1: among(1),
        top5: among(5),
        chance1: 1.0 / count,
        chance5: (5.0 / count).min(1.0),
    }
}

/// `R² = 1 − Σ|y − Wᵀx|² / Σ|y − ȳ|²` over the images of some moments, ȳ their mean.
pub(super) fn explained(ridge: &Ridge, penalty: f64, moments: &PairMoments) -> f64 {
    let error = ridge.error(penalty, &ridge.turned(moments));
    let variance = moments.yy() - moments.mean_y().iter().map(|mean| mean * mean).sum::<f64>();
    1.0 - error / variance
}

/// Of each image, the cosine of its mapped representation with its own `y`, and how many other `y` are nearer. Both are `[images, d]`, `y` of
/// unit norm.
fn retrieval(mapped: MatRef<'_, f64>, y: MatRef<'_, f64>) -> (Vec<f64>, Vec<usize>) {
    let similar = product(mapped, y.transpose());
    let of_row = |row: usize| {
        let norm = mapped.row(row).iter().map(|value| value * value).sum::<f64>().sqrt();
        let own = similar[(row, row)];
        let nearer = similar.row(row).iter().filter(|other| **other > own).count();
        (if norm > 0.0 { own / norm } else { 0.0 }, nearer)
    };
    (0..mapped.nrows()).map(of_row).unzip()
}

fn unit(values: &[f64]) -> Vec<f64> {
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    values.iter().map(|value| if norm > 0.0 { value / norm } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_the_nearest() {
        let y = Mat::from_fn(3, 3, |i, j| if i == j { 1.0 } else { 0.0 });
        // The first finds itself, the second the third before itself, the third both others.
        let mapped = [[2.0, 0.0, 0.0], [0.0, 3.0, 4.0], [1.0, 1.0, 0.0]];
        let mapped = Mat::from_fn(3, 3, |i, j| mapped[i][j]);
        let (cosines, places) = retrieval(mapped.as_ref(), y.as_ref());
        assert_eq!(places, [0, 1, 2]);
        assert!((cosines[0] - 1.0).abs() < 1e-12 && (cosines[1] - 0.6).abs() < 1e-12 && cosines[2].abs() < 1e-12);
    }

    #[test]
    fn a_bounded_number_of_candidates_is_kept() {
        let mut candidates = Candidates::new([1, 1]);
        (0..CANDIDATES as u64 + 50).rev().for_each(|key| candidates.add(key, &[key as f32], &[1.0]));
        let [x, _] = candidates.matrices();
        assert_eq!(x.nrows(), CANDIDATES);
        assert!((x[(CANDIDATES - 1, 0)] - (CANDIDATES as f64 - 1.0)).abs() < 1e-9, "those with the smallest keys");
    }
}
