//! Maps of single texts against masks: what the explorer shows when one text is looked for.

use std::collections::BTreeMap;

use headspan_headspace::{HeadId, MomentSums, Readout};
use headspan_images::RgbImage8;
use serde::Serialize;

use super::{pooled_by_class_token, same_size, scores::average_precision, to_pixels, truth_of};
use crate::{
    carried::{Carried, Carriers},
    error::{ExploreError, Result},
    model::ExploreModel,
    segmentation::token_scores,
    typical::{contrast_of, typical},
};

/// Maps of single texts, each less one of several means, against masks.
pub struct TextTrial<'a> {
    model: &'a ExploreModel,
    heads: Vec<HeadId>,
    readouts: &'a [Readout],
    layers: Vec<u32>,
    texts: Vec<Vec<f32>>,
    baselines: Vec<Vec<f32>>,
    /// Embeddings of a pool of texts, `[n, d]`.
    pool: Vec<f32>,
    found: Vec<TextSums>,
    /// Of each head.
    moments: Vec<MomentSums>,
    images: usize,
}

/// Sums over the maps of a text.
#[derive(Debug, Clone, Default)]
struct TextSums {
    maps: usize,
    /// Average precision of the foreground, for each baseline.
    precision: Vec<f64>,
    /// Margin over the pool, with the first baseline.
    margin: f64,
}

/// A text of a [`TextTrial`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextScore {
    /// Its place among the texts of the trial.
    pub text: usize,
    /// Maps of it.
    pub maps: usize,
    /// Mean over its maps of the average precision of the foreground, for each baseline.
    pub precision: Vec<f64>,
    /// Mean over its maps of their margin with the first baseline: contrast over that of typical texts of the pool.
    pub margin: f64,
    /// How much of it the heads carry together.
    pub carried: Option<Carried>,
}

impl<'a> TextTrial<'a> {
    /// A trial of the heads of `readouts` with the embeddings of texts, each `[d]`, of unit norm, of the means that are subtracted (an
    /// empty one subtracts nothing), and of a pool of texts to compare with, `[n, d]`.
    pub fn new(
        model: &'a ExploreModel,
        readouts: &'a [Readout],
        texts: Vec<Vec<f32>>,
        baselines: Vec<Vec<f32>>,
        pool: Vec<f32>,
    ) -> Result<Self> {
        pooled_by_class_token(model)?;
        let heads: Vec<HeadId> = readouts.iter().map(|readout| readout.head).collect();
        let mut layers: Vec<u32> = heads.iter().map(|head| head.layer).collect();
        layers.dedup();
        let none = TextSums { precision: vec![0.0; baselines.len()], ..TextSums::default() };
        let found = vec![none; texts.len()];
        let moments = readouts.iter().map(|readout| MomentSums::new(readout.columns())).collect();
        Ok(Self { model, heads, readouts, layers, texts, baselines, pool, found, moments, images: 0 })
    }

    /// Scores the maps of texts that an image shows: the place of each text, and its mask. Errors as
    /// [`SegmentationTrial::add_named`](super::SegmentationTrial::add_named).
    pub fn add(&mut self, image: &RgbImage8, asked: &[(usize, &RgbImage8)]) -> Result<()> {
        for (text, mask) in asked {
            same_size(image, mask)?;
            if *text >= self.texts.len() {
                let expected = format!("below {}", self.texts.len());
                return Err(ExploreError::Invalid { what: "the text", found: text.to_string(), expected });
            }
        }
        let trace = self.model.trace(image, &self.layers)?;
        for (head, sums) in self.heads.iter().zip(&mut self.moments) {
            let u = trace.u(*head)?;
            sums.add(1, |_row, column| u.as_slice()[column]);
        }
        let (readouts, d): (Vec<&Readout>, usize) = (self.readouts.iter().collect(), self.readouts[0].d);
        let less = |text: &[f32], mean: &[f32]| -> Vec<f32> {
            text.iter().enumerate().map(|(at, own)| own - mean.get(at).unwrap_or(&0.0)).collect()
        };
        let first = self.baselines.first().cloned().unwrap_or_default();
        let unit = typical(&trace, &self.heads, &readouts, &self.pool, d, |text| less(text, &first))?;
        for (text, mask) in asked {
            let (side, truth) = truth_of(self.model, mask);
            if !truth.contains(&true) {
                continue;
            }
            let sums = &mut self.found[*text];
            sums.maps += 1;
            for (at, mean) in self.baselines.iter().enumerate() {
                let direction = less(&self.texts[*text], mean);
                let (patches, _elsewhere) = token_scores(&self.heads, &readouts, &trace, &direction)?;
                sums.precision[at] += average_precision(&to_pixels(&patches, trace.grid, side), &truth);
                if at == 0 && unit > 0.0 {
                    sums.margin += f64::from(contrast_of(&patches) / unit);
                }
            }
        }
        self.images += 1;
        Ok(())
    }

    /// Images that were scored.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Mean over all maps of the average precision of the foreground, for each baseline.
    pub fn precision(&self) -> Vec<f64> {
        let maps: usize = self.found.iter().map(|sums| sums.maps).sum();
        let sum = |baseline: usize| self.found.iter().map(|sums| sums.precision[baseline]).sum::<f64>();
        (0..self.baselines.len()).map(|baseline| sum(baseline) / maps.max(1) as f64).collect()
    }

    /// The texts that have maps. What the heads carry of them is told by the images of the trial.
    pub fn texts(&self) -> Vec<TextScore> {
        let readouts: BTreeMap<HeadId, Readout> = self.readouts.iter().map(|one| (one.head, one.clone())).collect();
        let moments = self.heads.iter().zip(&self.moments).map(|(head, sums)| (*head, sums.moments())).collect();
        let d = self.readouts.first().map_or(1, |readout| readout.d);
        let carriers = Carriers::new(&self.pool, d, &readouts, &moments);
        let heads: Vec<&Readout> = self.readouts.iter().collect();
        let score = |(text, sums): (usize, &TextSums)| TextScore {
            text,
            maps: sums.maps,
            precision: sums.precision.iter().map(|sum| sum / sums.maps as f64).collect(),
            margin: sums.margin / sums.maps as f64,
            carried: carriers.carried(&heads, &self.texts[text]),
        };
        self.found.iter().enumerate().filter(|(_, sums)| sums.maps > 0).map(score).collect()
    }
}

/// Spearman's rank correlation of pairs, equal values at their mean rank; none of fewer than two different values.
pub fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let ranks = |value: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let values: Vec<f64> = pairs.iter().map(value).collect();
        let rank = |own: &f64| {
            let below = values.iter().filter(|value| *value < own).count();
            let equal = values.iter().filter(|value| value.total_cmp(own).is_eq()).count();
            below as f64 + (equal as f64 - 1.0) / 2.0
        };
        values.iter().map(rank).collect()
    };
    let (one, other) = (ranks(|pair| pair.0), ranks(|pair| pair.1));
    let mean = (pairs.len() as f64 - 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let product = sum(&one, &one) * sum(&other, &other);
    (product > 0.0).then(|| sum(&one, &other) / product.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_whatever_the_scale() {
        let rising: Vec<(f64, f64)> = (0..6).map(|i| (f64::from(i), f64::from(i).exp())).collect();
        assert!(rank_correlation(&rising).is_some_and(|found| (found - 1.0).abs() < 1e-12));
        let falling: Vec<(f64, f64)> = rising.iter().map(|(a, b)| (*a, -b)).collect();
        assert!(rank_correlation(&falling).is_some_and(|found| (found + 1.0).abs() < 1e-12));
        // scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 2]) = 0.5
        let ties = rank_correlation(&[(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (4.0, 2.0)]);
        assert!(ties.is_some_and(|found| (found - 0.5).abs() < 1e-9), "{ties:?}");
        assert_eq!(rank_correlation(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
