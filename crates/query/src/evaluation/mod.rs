//! Segmentation held against masks (arXiv 2310.05916, section 5), beside what attention alone shows of the same model.

mod scores;
mod texts;

use headspan_headspace::{HeadId, Readout};
use headspan_images::RgbImage8;
use headspan_model::Pooling;
use serde::Serialize;

use crate::{
    error::{ExploreError, Result},
    model::{ExploreModel, ImageTrace},
    pictures::{Shading, score_at},
    segmentation::token_scores,
};

pub use scores::SegmentationScores;
use scores::Tally;
pub use texts::{TextScore, TextTrial, rank_correlation};

/// How a map of an image is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MapMethod {
    /// Token scores of the class (predicted, or asked for) less the mean over all classes, summed over heads.
    Decomposition,
    /// Attention of the class token in the last layer, averaged over its heads.
    RawAttention,
    /// Attention of all layers multiplied, each averaged with the identity (arXiv 2005.00928).
    Rollout,
}

impl MapMethod {
    /// All, the decomposition first.
    pub const ALL: [Self; 3] = [Self::Decomposition, Self::RawAttention, Self::Rollout];

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decomposition => "decomposition",
            Self::RawAttention => "raw attention",
            Self::Rollout => "attention rollout",
        }
    }
}

/// Holds the maps of a model against masks, image by image.
pub struct SegmentationTrial<'a> {
    model: &'a ExploreModel,
    heads: Vec<HeadId>,
    readouts: Vec<&'a Readout>,
    layers: Vec<u32>,
    classes: Vec<Vec<f32>>,
    /// Mean of the classes' embeddings.
    mean: Vec<f32>,
    tallies: [Tally; 3],
    /// Images that were scored.
    images: usize,
}

impl<'a> SegmentationTrial<'a> {
    /// A trial of the heads of `readouts` with the embeddings of the classes' texts, each `[d]`, of unit norm.
    pub fn new(model: &'a ExploreModel, readouts: &'a [Readout], classes: Vec<Vec<f32>>) -> Result<Self> {
        let d = readouts.first().map_or(0, |readout| readout.d);
        if classes.len() < 2 || classes.iter().any(|class| class.len() != d) {
            let found = classes.len().to_string();
            return Err(ExploreError::Invalid { what: "classes", found, expected: "two or more".to_owned() });
        }
        let heads: Vec<HeadId> = readouts.iter().map(|readout| readout.head).collect();
        let mut layers: Vec<u32> = heads.iter().map(|head| head.layer).collect();
        layers.dedup();
        let mean = (0..d).map(|i| classes.iter().map(|class| class[i]).sum::<f32>() / classes.len() as f32).collect();
        let readouts = readouts.iter().collect();
        Ok(Self { model, heads, readouts, layers, classes, mean, tallies: Default::default(), images: 0 })
    }

    /// Scores the maps of an image against its mask, an image of the same height and width in which anything but black is
    /// foreground. Returns the predicted class.
    pub fn add(&mut self, image: &RgbImage8, mask: &RgbImage8) -> Result<usize> {
        same_size(image, mask)?;
        pooled_by_class_token(self.model)?;
        let trace = self.model.trace_with_attention(image, &self.layers)?;
        let class = self.predicted(&trace);
        self.score(&trace, class, mask)?;
        self.images += 1;
        Ok(class)
    }

    /// Scores an image once for each thing in it that is asked for by name: the index of its class, and its mask. Attention is the
    /// same whatever is asked for. Errors as [`SegmentationTrial::add`], and where there is no such class.
    pub fn add_named(&mut self, image: &RgbImage8, asked: &[(usize, &RgbImage8)]) -> Result<()> {
        for (class, mask) in asked {
            same_size(image, mask)?;
            if *class >= self.classes.len() {
                let expected = format!("below {}", self.classes.len());
                return Err(ExploreError::Invalid { what: "the class", found: class.to_string(), expected });
            }
        }
        pooled_by_class_token(self.model)?;
        let trace = self.model.trace_with_attention(image, &self.layers)?;
        for (class, mask) in asked {
            self.score(&trace, *class, mask)?;
        }
        self.images += 1;
        Ok(())
    }

    /// Scores the maps of a class against a mask.
    fn score(&mut self, trace: &ImageTrace, class: usize, mask: &RgbImage8) -> Result<()> {
        let (side, truth) = truth_of(self.model, mask);
        let direction: Vec<f32> = self.classes[class].iter().zip(&self.mean).map(|(own, mean)| own - mean).collect();
        let (decomposition, _) = token_scores(&self.heads, &self.readouts, trace, &direction)?;
        let (raw, rollout) = attention_maps(trace);
        for (tally, patches) in self.tallies.iter_mut().zip([decomposition, raw, rollout]) {
            let scores = to_pixels(&patches, trace.grid, side);
            tally.add(&scores, &clipped(&scores), &truth);
        }
        Ok(())
    }

    /// Class whose text is nearest to the image.
    fn predicted(&self, trace: &ImageTrace) -> usize {
        let product = |class: &Vec<f32>| class.iter().zip(&trace.representation).map(|(a, b)| a * b).sum::<f32>();
        let best =
            (0..self.classes.len()).max_by(|a, b| product(&self.classes[*a]).total_cmp(&product(&self.classes[*b])));
        best.unwrap_or(0)
    }

    /// Images that were scored.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Scores of each method over all maps so far.
    pub fn scores(&self) -> Vec<(MapMethod, SegmentationScores)> {
        MapMethod::ALL.into_iter().zip(self.tallies.iter().map(Tally::scores)).collect()
    }
}

/// Refuses a tower without a class token's attention: its raw attention and rollout are that token's.
fn pooled_by_class_token(model: &ExploreModel) -> Result<()> {
    let pooling = model.pooling();
    if pooling == Pooling::ClassToken {
        return Ok(());
    }
    let (found, expected) = (format!("{pooling:?}"), "the class token".to_owned());
    Err(ExploreError::Invalid { what: "what the representation is read from", found, expected })
}

/// Side of what the model sees, and which of its pixels are foreground. A mask goes through the very transform of its image, so that
/// both are cropped alike.
fn truth_of(model: &ExploreModel, mask: &RgbImage8) -> (usize, Vec<bool>) {
    let seen = model.seen(mask);
    let truth = seen.data.chunks_exact(3).map(|pixel| pixel.iter().any(|value| *value > 127)).collect();
    (seen.width as usize, truth)
}

/// The mask has the image's height and width.
fn same_size(image: &RgbImage8, mask: &RgbImage8) -> Result<()> {
    if (image.width, image.height) == (mask.width, mask.height) {
        return Ok(());
    }
    Err(ExploreError::Invalid {
        what: "the mask",
        found: format!("{} × {} pixels", mask.width, mask.height),
        expected: format!("{} × {}, as the image has", image.width, image.height),
    })
}

/// Raw class-token attention of the last layer and attention rollout, of the patches.
fn attention_maps(trace: &ImageTrace) -> (Vec<f32>, Vec<f32>) {
    let tokens = trace.grid * trace.grid + trace.prefix;
    let Some((last, before)) = trace.mean_attention.split_last() else { return (Vec::new(), Vec::new()) };
    // The last layer's row is the class token's. Row 0 of the product needs no other row of it: a vector goes through.
    let mut row: Vec<f32> = last.iter().map(|attention| 0.5 * attention).collect();
    row[0] += 0.5;
    for layer in before.iter().rev() {
        let mut next: Vec<f32> = row.iter().map(|weight| 0.5 * weight).collect();
        for (weight, attention) in row.iter().zip(layer.chunks_exact(tokens)) {
            next.iter_mut().zip(attention).for_each(|(sum, attention)| *sum += 0.5 * weight * attention);
        }
        row = next;
    }
    (last[trace.prefix..].to_vec(), row[trace.prefix..].to_vec())
}

/// Bilinear between the centres of patches.
fn to_pixels(patches: &[f32], grid: usize, side: usize) -> Vec<f32> {
    let place = |at: usize| (at as f32 + 0.5) / side as f32;
    let score = |at: usize| score_at(patches, grid, place(at % side), place(at / side), Shading::Smooth);
    (0..side * side).map(score).collect()
}

/// Clipped at zero and scaled to 0..1.
fn clipped(scores: &[f32]) -> Vec<f32> {
    let mut map: Vec<f32> = scores.iter().map(|score| score.max(0.0)).collect();
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let range = map.iter().copied().fold(0.0, f32::max) - low;
    if range > 0.0 {
        for value in &mut map {
            *value = (*value - low) / range;
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use headspan_headspace::Scalars;

    use super::*;

    #[test]
    fn rollout_multiplies_the_layers() {
        // Two layers of three tokens, against the product written out.
        let first = vec![0.2, 0.5, 0.3, 0.1, 0.8, 0.1, 0.4, 0.4, 0.2];
        let last = vec![0.6, 0.3, 0.1];
        let trace = ImageTrace {
            grid: 1,
            prefix: 1,
            folder: None,
            scalars: [1.0; Scalars::COUNT].into(),
            heads: BTreeMap::new(),
            tokens: BTreeMap::new(),
            representation: Vec::new(),
            mean_attention: vec![first.clone(), last.clone()],
        };
        // The grid says two tokens; with three the row is longer, which only this test needs.
        let trace = ImageTrace {
            mean_attention: vec![first[..2].iter().chain(&first[3..5]).copied().collect(), last[..2].to_vec()],
            ..trace
        };
        let (raw, rollout) = attention_maps(&trace);
        assert_eq!(raw, [0.3]);
        let upper = [0.5 + 0.3, 0.15];
        let expected = upper[0] * 0.25 + upper[1] * (0.5 + 0.4);
        assert!((rollout[0] - expected).abs() < 1e-6, "{rollout:?} {expected}");
    }

    #[test]
    fn pixels_run_from_zero_to_one() {
        let scores = to_pixels(&[-1.0, 1.0, 1.0, 3.0], 2, 8);
        let pixels = clipped(&scores);
        assert_eq!((scores[0], pixels[0], pixels[63]), (-1.0, 0.0, 1.0));
        assert!(
            clipped(&to_pixels(&[2.0; 4], 2, 4)).iter().all(|pixel| (*pixel - 2.0).abs() < 1e-6),
            "nothing to scale"
        );
    }
}
