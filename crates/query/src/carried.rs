//! How much of a text some heads carry: what their answers about it are worth.

use std::collections::BTreeMap;

use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};
use headspan_headspace::{HeadId, Moments, Readout, eigen, product};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    error::Result,
    neighbours::{dot, into_head},
    pool::Pool,
    run::ExploreRun,
};

/// Most texts of the pool that a text is compared with, at even steps through the pool.
const COMPARED: usize = 500;

/// Directions of a readout below this share of its strongest are rounding.
const SMALLEST: f64 = 1e-10;

/// A text is noise to heads that vary more along this share of the pool's texts.
const NOISE: f64 = 0.5;

/// How much of a text some heads carry. The text is taken without the mean of the pool, which is common to all texts of a CLIP,
/// and scaled to unit norm: `t`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Carried {
    /// Length of the projection of `t` on the span of the heads' readouts, 0 to 1: what the heads could say of it.
    pub span: f64,
    /// Variance of the heads' contributions along `t`, over the mean of that variance over texts of the pool.
    pub times: f64,
    /// Share of the pool's texts along which the heads vary less, 0 to 1.
    pub above: f64,
}

impl Carried {
    /// Whether answers about the text are noise: most other texts would be answered as firmly.
    pub fn is_noise(&self) -> bool {
        self.above < NOISE
    }

    /// The figures in a sentence for people.
    pub fn in_words(&self) -> String {
        format!(
            "{:.1} times the variance along a typical text, more than along {:.0} % of the pool's texts; {:.0} % of its length within \
             the heads' span",
            self.times,
            100.0 * self.above,
            100.0 * self.span
        )
    }
}

/// What a head's moments say of texts.
struct HeadVariances {
    /// Inverse of `RᵀR`, `[head_dim, head_dim]`, with `R` the readout without the scalars' columns; directions of no length left out.
    inverse_gram: Vec<f32>,
    /// Covariance of `u`, `[m, m]`.
    covariance: Vec<f32>,
    /// Variance along each text that is compared with.
    pool: Vec<f64>,
}

/// What all heads of a run carry of texts.
pub(crate) struct Carriers {
    /// Mean of the pool's embeddings, `[d]`.
    mean: Vec<f32>,
    heads: BTreeMap<HeadId, HeadVariances>,
}

impl Carriers {
    /// From readouts and moments, and the embeddings of a pool `[texts, d]`. Heads without moments carry nothing.
    pub(crate) fn new(
        embeddings: &[f32],
        d: usize,
        readouts: &BTreeMap<HeadId, Readout>,
        moments: &BTreeMap<HeadId, Moments>,
    ) -> Self {
        let mean = mean_of(embeddings, d);
        let texts = embeddings.len() / d.max(1);
        let step = texts.div_ceil(COMPARED).max(1);
        let compared: Vec<Vec<f32>> =
            embeddings.chunks_exact(d.max(1)).step_by(step).filter_map(|text| without(text, &mean)).collect();
        let pairs: Vec<(&Readout, &Moments)> = readouts
            .iter()
            .filter_map(|(head, readout)| Some((readout, moments.get(head)?)))
            .filter(|(readout, moments)| readout.d == d && moments.mean.len() == readout.columns())
            .collect();
        let heads = pairs
            .into_par_iter()
            .map(|(readout, moments)| (readout.head, HeadVariances::new(readout, moments, &compared)))
            .collect();
        Self { mean, heads }
    }

    /// What heads carry of a text's embedding `[d]`, each head by itself; none of a text that is the pool's mean, or of heads that
    /// vary along no text.
    pub(crate) fn carried(&self, readouts: &[&Readout], text: &[f32]) -> Option<Carried> {
        let text = without(text, &self.mean)?;
        let direction: Vec<f64> = text.iter().map(|value| f64::from(*value)).collect();
        let (mut own, mut pool): (f64, Vec<f64>) = (0.0, Vec::new());
        for readout in readouts {
            let head = self.heads.get(&readout.head)?;
            own += head.variance(&into_head(readout, &direction, 1.0));
            pool.resize(head.pool.len(), 0.0);
            pool.iter_mut().zip(&head.pool).for_each(|(sum, variance)| *sum += variance);
        }
        let mean = pool.iter().sum::<f64>() / pool.len().max(1) as f64;
        let below = pool.iter().filter(|variance| **variance < own).count();
        (mean > 0.0).then(|| Carried {
            span: self.span(readouts, &direction),
            times: own / mean,
            above: below as f64 / pool.len() as f64,
        })
    }

    /// Length of a direction's projection on what the heads' readouts span together.
    fn span(&self, readouts: &[&Readout], direction: &[f64]) -> f64 {
        if let [readout] = readouts {
            let into: Vec<f32> = into_head(readout, direction, 1.0)[..readout.head_dim].to_vec();
            let Some(head) = self.heads.get(&readout.head) else { return 0.0 };
            let square: f64 = head
                .inverse_gram
                .chunks_exact(readout.head_dim)
                .zip(&into)
                .map(|(row, value)| f64::from(dot(row, &into)) * f64::from(*value))
                .sum();
            return square.clamp(0.0, 1.0).sqrt();
        }
        let (head_dim, d) = readouts.first().map_or((0, 0), |readout| (readout.head_dim, readout.d));
        if readouts.len() * head_dim >= d {
            return 1.0;
        }
        let stacked = Mat::<f64>::from_fn(d, readouts.len() * head_dim, |row, column| {
            let readout = readouts[column / head_dim];
            f64::from(readout.matrix[row * readout.columns() + column % head_dim])
        });
        let basis = stacked.qr().compute_thin_Q();
        let along = |column: usize| (0..d).map(|row| basis[(row, column)] * direction[row]).sum::<f64>();
        (0..basis.ncols()).map(|column| along(column).powi(2)).sum::<f64>().clamp(0.0, 1.0).sqrt()
    }
}

impl HeadVariances {
    fn new(readout: &Readout, moments: &Moments, compared: &[Vec<f32>]) -> Self {
        let (width, head_dim) = (readout.columns(), readout.head_dim);
        let covariance: Vec<f32> = (0..width * width)
            .map(|at| (moments.second_moment[at] - moments.mean[at / width] * moments.mean[at % width]) as f32)
            .collect();
        let matrix = MatRef::from_row_major_slice(&readout.matrix, readout.d, width);
        let texts = Mat::<f32>::from_fn(compared.len(), readout.d, |text, at| compared[text][at]);
        let mut into = Mat::<f32>::zeros(compared.len(), width);
        matmul(into.as_mut(), Accum::Replace, texts.as_ref(), matrix, 1.0, Par::Seq);
        let mut head = Self { inverse_gram: inverse_gram(readout, head_dim), covariance, pool: Vec::new() };
        head.pool = (0..compared.len())
            .map(|text| head.variance(&(0..width).map(|at| into[(text, at)]).collect::<Vec<f32>>()))
            .collect();
        head
    }

    /// `aᵀ C a` of a text in head space, `a = Bᵀ t`.
    fn variance(&self, into: &[f32]) -> f64 {
        let rows = self.covariance.chunks_exact(into.len());
        rows.zip(into).map(|(row, value)| f64::from(dot(row, into)) * f64::from(*value)).sum::<f64>().max(0.0)
    }
}

/// The pseudo-inverse of `RᵀR`.
fn inverse_gram(readout: &Readout, head_dim: usize) -> Vec<f32> {
    let columns = Mat::<f64>::from_fn(readout.d, head_dim, |row, column| {
        f64::from(readout.matrix[row * readout.columns() + column])
    });
    let gram = product(columns.transpose(), columns.as_ref());
    let Some((vectors, values)) = eigen(gram.as_ref()) else { return vec![0.0; head_dim * head_dim] };
    let largest = values.iter().copied().fold(0.0, f64::max);
    let inverse = |at: usize| if values[at] > SMALLEST * largest { 1.0 / values[at] } else { 0.0 };
    let entry = |row: usize, column: usize| -> f64 {
        (0..head_dim).map(|at| vectors[(row, at)] * inverse(at) * vectors[(column, at)]).sum()
    };
    (0..head_dim * head_dim).map(|at| entry(at / head_dim, at % head_dim) as f32).collect()
}

/// Mean of embeddings `[texts, d]`.
pub(crate) fn mean_of(embeddings: &[f32], d: usize) -> Vec<f32> {
    let mut mean = vec![0.0_f64; d];
    for text in embeddings.chunks_exact(d.max(1)) {
        mean.iter_mut().zip(text).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let texts = (embeddings.len() / d.max(1)).max(1) as f64;
    mean.into_iter().map(|sum| (sum / texts) as f32).collect()
}

/// A text less a mean, to unit norm; none if nothing is left.
fn without(text: &[f32], mean: &[f32]) -> Option<Vec<f32>> {
    let left: Vec<f32> = text.iter().zip(mean).map(|(own, mean)| own - mean).collect();
    let length = left.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    (length > 1e-6).then(|| left.iter().map(|value| (f64::from(*value) / length) as f32).collect())
}

impl ExploreRun {
    /// How much of a text's embedding `[d]` some heads carry, from moments alone; none if it is nothing but what all texts share.
    pub fn carried(&self, heads: &[HeadId], text: &[f32]) -> Result<Option<Carried>> {
        let readouts = heads.iter().map(|head| self.readout(*head)).collect::<Result<Vec<_>>>()?;
        Ok(self.carriers()?.carried(&readouts, text))
    }

    /// All heads by how much of a text's embedding `[d]` they carry, most first: by the variance along it, over that along the
    /// pool's texts.
    pub fn heads_by_text(&self, text: &[f32]) -> Result<Vec<(HeadId, Carried)>> {
        let carriers = self.carriers()?;
        let own = |head: HeadId| Some((head, carriers.carried(&[self.readout(head).ok()?], text)?));
        let mut found: Vec<(HeadId, Carried)> = self.heads().filter_map(own).collect();
        found.sort_by(|one, two| two.1.times.total_cmp(&one.1.times).then(one.0.cmp(&two.0)));
        Ok(found)
    }
}

/// The carriers of a run, over its pool.
pub(crate) fn carriers_of(
    pool: &Pool,
    readouts: &BTreeMap<HeadId, Readout>,
    moments: &BTreeMap<HeadId, Moments>,
) -> Carriers {
    Carriers::new(pool.embeddings(), pool.d(), readouts, moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heads of a space of three dimensions: the first writes and varies along the first axis, the second along both others.
    fn carriers() -> (Carriers, BTreeMap<HeadId, Readout>) {
        let head = |head: u32| HeadId { layer: 0, head };
        let readout = |number: u32, columns: [[f32; 2]; 3]| {
            let matrix = columns.iter().flat_map(|row| [row[0], row[1], 0.0, 0.0, 0.0]).collect();
            (head(number), Readout { head: head(number), d: 3, head_dim: 2, matrix })
        };
        let moments = |one: f64, other: f64| {
            let mut second_moment = vec![0.0; 25];
            (second_moment[0], second_moment[6]) = (one, other);
            Moments { n: 10, mean: vec![0.0; 5], second_moment }
        };
        let readouts = BTreeMap::from([
            readout(0, [[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
            readout(1, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        ]);
        let all = BTreeMap::from([(head(0), moments(1.0, 1.0)), (head(1), moments(3.0, 1.0))]);
        // A pool around a mean that says nothing: the axes and what is opposite to them.
        let axis = |at: usize, sign: f32| (0..3).map(move |i| 0.5 + if i == at { sign } else { 0.0 });
        let pool: Vec<f32> = (0..3).flat_map(|at| axis(at, 1.0).chain(axis(at, -1.0))).collect();
        (Carriers::new(&pool, 3, &readouts, &all), readouts)
    }

    #[test]
    fn a_head_carries_what_it_writes_and_varies_along() {
        let (carriers, readouts) = carriers();
        let of = |head: u32, text: [f32; 3]| {
            let text: Vec<f32> = text.iter().map(|value| value + 0.5).collect();
            carriers.carried(&[&readouts[&HeadId { layer: 0, head }]], &text)
        };
        let first = of(0, [1.0, 0.0, 0.0]).map(|found| (found.span, found.times, found.above));
        // Variance 4 along the first axis, 4/3 along a text of the pool; two of its six texts lie along that axis.
        let (span, times, above) = first.unwrap_or_default();
        assert!((span - 1.0).abs() < 1e-6 && (times - 3.0).abs() < 1e-6 && (above - 4.0 / 6.0).abs() < 1e-9);
        let half = of(0, [1.0, 1.0, 0.0]).map(|found| found.span).unwrap_or_default();
        assert!((half - 0.5_f64.sqrt()).abs() < 1e-6, "{half}");
        assert!(of(0, [0.0, 1.0, 0.0]).is_some_and(|found| found.is_noise() && found.span < 1e-6));
        assert!(of(1, [0.0, 1.0, 0.0]).is_some_and(|found| !found.is_noise()));
        assert_eq!(of(0, [0.0; 3]), None, "the mean of the pool is no direction");
    }

    #[test]
    fn heads_carry_together_what_either_does() {
        let (carriers, readouts) = carriers();
        let both: Vec<&Readout> = readouts.values().collect();
        let found = carriers.carried(&both, &[0.5, 1.5, 0.5]);
        // Variances 4, 3 and 1 along the axes.
        assert!(found.is_some_and(|found| found.span > 0.999 && (found.times - 3.0 / (8.0 / 3.0)).abs() < 1e-6));
    }
}
