//! A linear map from a tower's representation to CLIP's, fitted on images (`docs/mathematics.md`; arXiv 2406.01583).

mod figures;
mod pairs;
mod ridge;
mod split;
mod stream;

use headspan_images::Dataset;
use headspan_model::{LinearMap, LoadedModel};
use serde::{Deserialize, Serialize};

use crate::{engine::Progress, error::Result};

use ridge::Ridge;
use stream::{Seen, pairs_of_images};

/// A tower, a CLIP, and the images that both look at.
pub struct AlignJob<'a> {
    /// The tower.
    pub tower: &'a LoadedModel,
    /// The CLIP.
    pub clip: &'a LoadedModel,
    /// The images.
    pub dataset: &'a Dataset,
    /// Settings.
    pub settings: &'a AlignSettings,
    /// Reports progress.
    pub progress: Progress<'a>,
}

/// How a map is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignSettings {
    /// Share of the images that the figures are measured on, above 0 and below 1.
    pub held_out: f64,
    /// Images of one forward pass; 0 lets headspan choose.
    pub batch_size: usize,
    /// Threads that decode; 0 takes one per core.
    pub decode_threads: usize,
    /// Most pixels of an image.
    pub max_pixels: u64,
    /// A bad image stops the fit.
    pub strict: bool,
}

/// A map and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// From the tower's representation to CLIP's.
    pub map: LinearMap,
    /// What it was fitted on, and how good it is on other images.
    pub figures: AlignFigures,
    /// The first skipped images and why.
    pub examples: Vec<(String, String)>,
}

/// Figures of a map. Representations are of unit norm; *held-out* images took no part in the fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlignFigures {
    /// Images that the map was fitted on.
    pub fitted: u64,
    /// Held-out images.
    pub held_out: u64,
    /// Images that could not be used.
    pub skipped: u64,
    /// Penalty of the regression over the mean eigenvalue of the tower's second moment.
    pub penalty: f64,
    /// Share of the variance of CLIP's representation that the map explains on the images that it was fitted on.
    pub r2_fitted: f64,
    /// The same on held-out images; below 0 where their mean is the better guess.
    pub r2: f64,
    /// Held-out images among which retrieval and cosine are measured: all, or a uniform sample.
    pub candidates: u64,
    /// Mean cosine of the mapped representation and CLIP's own.
    pub cosine: f64,
    /// The same of the mean of CLIP's representations: the baseline.
    pub cosine_of_mean: f64,
    /// Share of candidates whose mapped representation is nearest to their own representation by CLIP.
    pub top1: f64,
    /// Share whose own is among the five nearest.
    pub top5: f64,
    /// What drawing at random gives: 1 over the number of candidates.
    pub chance1: f64,
    /// The same among five.
    pub chance5: f64,
}

/// Fits a map by ridge regression in closed form. Memory does not grow with the number of images: their moments are kept, and a sample of
/// the held-out ones. Which images are held out depends on their positions alone. An error if there are fewer images than the tower's
/// representation is long.
pub fn align(job: &AlignJob<'_>) -> Result<Aligned> {
    let needed = job.tower.vision().geometry().d as u64;
    split::check(job.settings.held_out, job.dataset.len(), needed)?;
    let Seen { mut fitted, mut validation, mut held_out, candidates, skipped, examples } = pairs_of_images(job)?;
    // Some may have been skipped.
    split::enough([fitted.len() + validation.len(), held_out.len()], needed)?;
    let penalty = ridge::choose(&fitted.moments(), &validation.moments())?;
    fitted.join(validation);
    let (fitted, held_out) = (fitted.moments(), held_out.moments());
    let ridge = Ridge::of(&fitted)?;
    let weights = ridge.map(penalty);
    let figures = figures::measured(&ridge, penalty, [&fitted, &held_out], &candidates, skipped);
    let (rows, columns) = (weights.nrows(), weights.ncols());
    let at = |index: usize| weights[(index / columns, index % columns)] as f32;
    let map = LinearMap { rows, columns, values: (0..rows * columns).map(at).collect() };
    Ok(Aligned { map, figures, examples })
}
