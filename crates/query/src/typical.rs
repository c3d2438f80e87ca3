//! The unit in which people can read a map's scores: what a text of the pool gives.

use headspan_headspace::{HeadId, Readout};

use crate::{
    baseline::Subtraction, error::Result, model::ImageTrace, run::ExploreRun, segmentation::token_scores,
    selection::HeadSelection,
};

/// Texts of the pool that a map is compared with, at even steps.
const TYPICAL: usize = 32;

/// A map with less contrast than this share of a typical one is mostly noise: over rendered scenes its average precision is 38 to 44
/// instead of 69 to 74 (`docs/world.md`).
const NOISE: f32 = 0.75;

/// Contrast of a map: the standard deviation of its scores over the patches.
pub fn contrast_of(patches: &[f32]) -> f32 {
    let n = patches.len().max(1) as f64;
    let mean = patches.iter().map(|score| f64::from(*score)).sum::<f64>() / n;
    (patches.iter().map(|score| (f64::from(*score) - mean).powi(2)).sum::<f64>() / n).sqrt() as f32
}

/// Whether a map says little more than chance: its margin is the contrast over the typical one.
pub fn is_noise(margin: f32) -> bool {
    margin < NOISE
}

/// Root mean square of the contrasts of an image's maps for texts of the run's pool, each less what is subtracted.
pub fn typical_contrast(
    run: &ExploreRun,
    trace: &ImageTrace,
    heads: &HeadSelection,
    subtraction: &Subtraction,
) -> Result<f32> {
    let (heads, pool) = (run.resolve(heads)?, run.pool()?);
    let readouts = heads.iter().map(|head| run.readout(*head)).collect::<Result<Vec<&Readout>>>()?;
    typical(trace, &heads, &readouts, pool.embeddings(), pool.d(), |text| subtraction.of(text))
}

/// The same of heads with their readouts and a pool `[texts, d]`.
pub(crate) fn typical(
    trace: &ImageTrace,
    heads: &[HeadId],
    readouts: &[&Readout],
    pool: &[f32],
    d: usize,
    less: impl Fn(&[f32]) -> Vec<f32>,
) -> Result<f32> {
    let step = (pool.len() / d.max(1)).div_ceil(TYPICAL).max(1);
    let (mut squares, mut count) = (0.0_f64, 0_usize);
    for text in pool.chunks_exact(d.max(1)).step_by(step) {
        let (patches, _elsewhere) = token_scores(heads, readouts, trace, &less(text))?;
        squares += f64::from(contrast_of(&patches)).powi(2);
        count += 1;
    }
    Ok((squares / count.max(1) as f64).sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_map_has_no_contrast() {
        assert!(contrast_of(&[0.3; 9]) < 1e-6);
        assert!((contrast_of(&[1.0, -1.0, 1.0, -1.0]) - 1.0).abs() < 1e-6);
        assert!(contrast_of(&[]).abs() < 1e-6);
        assert!(is_noise(0.5) && !is_noise(0.75));
    }
}
