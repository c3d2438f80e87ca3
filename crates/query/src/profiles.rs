use std::collections::{BTreeMap, HashMap};

use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};
use headspan_headspace::{HeadId, Moments, Readout};
use rayon::prelude::*;

use crate::{neighbours::dot, pool::Pool};

/// What each head of a run says more, and what it says less, than the run's heads do on average.
///
/// Along a text `t` a head's output has the variance `tᵀΣt`, which its moments give without any image. The profile of a head
/// is the logarithm of that variance over all texts of the pool, less the run's mean over heads, to mean zero and unit norm.
/// The product of two profiles is a correlation, and heads of different models can be compared as long as their pools share
/// texts.
pub(crate) struct Profiles {
    place_of: HashMap<String, usize>,
    heads: BTreeMap<HeadId, Vec<f32>>,
}

/// Variances below this share of a head's largest are rounding.
const SMALLEST: f32 = 1e-9;

impl Profiles {
    /// From the run's tables; heads without moments have no profile.
    pub(crate) fn new(pool: &Pool, readouts: &BTreeMap<HeadId, Readout>, moments: &BTreeMap<HeadId, Moments>) -> Self {
        let (texts, d) = (pool.texts(), pool.d());
        let embeddings = MatRef::from_row_major_slice(pool.embeddings(), texts.len(), d);
        let pairs: Vec<_> =
            readouts.iter().filter_map(|(head, readout)| Some((head, readout, moments.get(head)?))).collect();
        let fits = |readout: &Readout| readout.d == d;
        let mut heads: BTreeMap<HeadId, Vec<f32>> = pairs
            .into_par_iter()
            .filter(|(_, readout, _)| fits(readout))
            .map(|(head, readout, moments)| (*head, log_variances(embeddings, readout, moments)))
            .collect();
        let count = heads.len().max(1) as f32;
        let mut mean = vec![0.0_f32; texts.len()];
        for profile in heads.values() {
            mean.iter_mut().zip(profile).for_each(|(sum, value)| *sum += value / count);
        }
        for profile in heads.values_mut() {
            profile.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
            standardise(profile);
        }
        let place_of = texts.iter().enumerate().map(|(place, text)| (text.clone(), place)).collect();
        Self { place_of, heads }
    }

    /// Correlation of a head's profile with every head of another run (or of the same), over the texts that both pools have.
    pub(crate) fn compare(&self, head: HeadId, other: &Self) -> Vec<(HeadId, f32)> {
        let Some(own) = self.heads.get(&head) else { return Vec::new() };
        if self.place_of == other.place_of {
            return other.heads.iter().map(|(head, theirs)| (*head, dot(own, theirs))).collect();
        }
        let mut shared: Vec<(usize, usize)> =
            self.place_of.iter().filter_map(|(text, place)| Some((*place, *other.place_of.get(text)?))).collect();
        // Sums depend on the order in the last digit, and the order of a map on the process.
        shared.sort_unstable();
        let chosen = |profile: &[f32], place: fn(&(usize, usize)) -> usize| {
            let mut values: Vec<f32> = shared.iter().map(|pair| profile[place(pair)]).collect();
            standardise(&mut values);
            values
        };
        let own = chosen(own, |pair| pair.0);
        other.heads.iter().map(|(head, theirs)| (*head, dot(&own, &chosen(theirs, |pair| pair.1)))).collect()
    }
}

/// `ln tᵀ B C Bᵀ t` of every text, with `C` the covariance of `u`.
fn log_variances(pool: MatRef<'_, f32>, readout: &Readout, moments: &Moments) -> Vec<f32> {
    let width = readout.columns();
    let matrix = MatRef::from_row_major_slice(&readout.matrix, readout.d, width);
    let covariance = Mat::<f32>::from_fn(width, width, |i, j| {
        (moments.second_moment[i * width + j] - moments.mean[i] * moments.mean[j]) as f32
    });
    let mut into_head = Mat::<f32>::zeros(pool.nrows(), width);
    matmul(into_head.as_mut(), Accum::Replace, pool, matrix, 1.0, Par::Seq);
    let mut spread = Mat::<f32>::zeros(pool.nrows(), width);
    matmul(spread.as_mut(), Accum::Replace, into_head.as_ref(), covariance.as_ref(), 1.0, Par::Seq);
    let variance = |text: usize| (0..width).map(|i| into_head[(text, i)] * spread[(text, i)]).sum::<f32>();
    let variances: Vec<f32> = (0..pool.nrows()).map(variance).collect();
    let floor = variances.iter().copied().fold(0.0, f32::max) * SMALLEST;
    variances.into_iter().map(|variance| variance.max(floor).max(f32::MIN_POSITIVE).ln()).collect()
}

/// To mean zero and unit norm; zeros if nothing varies.
fn standardise(values: &mut [f32]) {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    let norm = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>().sqrt();
    let factor = if norm > f32::MIN_POSITIVE { 1.0 / norm } else { 0.0 };
    for value in values.iter_mut() {
        *value = (*value - mean) * factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads of a two-dimensional space that vary along one axis each, and two texts on the axes.
    fn profiles(texts: [&str; 3]) -> Profiles {
        let embeddings = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.7, 0.7]];
        let mut pool = Pool::default();
        for (text, embedding) in texts.iter().zip(embeddings) {
            pool.push((*text).to_owned(), &embedding);
        }
        let head = |head: u32| HeadId { layer: 0, head };
        let readout = |number: u32| Readout {
            head: head(number),
            d: 2,
            head_dim: 1,
            // The first column is z's; the three scalars say nothing.
            matrix: if number == 1 {
                vec![0.1, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
            } else {
                vec![1.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0]
            },
        };
        let mut second_moment = vec![0.0; 16];
        second_moment[0] = 2.0;
        let moments = Moments { n: 9, mean: vec![0.0; 4], second_moment };
        let readouts = (0..3).map(|number| (head(number), readout(number))).collect();
        let moments = (0..3).map(|number| (head(number), moments.clone())).collect();
        Profiles::new(&pool, &readouts, &moments)
    }

    #[test]
    fn heads_that_say_the_same_are_alike() {
        let own = profiles(["a", "b", "c"]);
        let alike: HashMap<u32, f32> = own
            .compare(HeadId { layer: 0, head: 0 }, &own)
            .into_iter()
            .map(|(head, value)| (head.head, value))
            .collect();
        assert!((alike[&0] - 1.0).abs() < 1e-5 && (alike[&2] - 1.0).abs() < 1e-5, "{alike:?}");
        assert!(alike[&1] < -0.9, "{alike:?}");
    }

    #[test]
    fn pools_are_matched_by_text() {
        let (own, other) = (profiles(["a", "b", "c"]), profiles(["a", "b", "something else"]));
        let alike = own.compare(HeadId { layer: 0, head: 1 }, &other);
        assert!((alike[1].1 - 1.0).abs() < 1e-5, "{alike:?}");
        assert!(
            own.compare(HeadId { layer: 0, head: 1 }, &profiles(["x", "y", "z"]))
                .iter()
                .all(|(_, value)| *value == 0.0)
        );
        assert!(own.compare(HeadId { layer: 7, head: 1 }, &own).is_empty());
    }
}
