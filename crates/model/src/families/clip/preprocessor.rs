//! `preprocessor_config.json` of Hugging Face transformers.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{ClipError, Result},
    families::clip::{PreprocessConfig, check_std},
};

/// The keys that change pixels, as transformers stores them; one that is absent has transformers' default.
#[derive(Deserialize)]
struct RawPreprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u32>,
    size: Option<Value>,
    crop_size: Option<Value>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

/// A key with its value, and why it is refused.
type Refusal = (String, &'static str);

/// Pillow's number of the bicubic filter.
const BICUBIC: u32 = 3;

/// Relative deviation of `rescale_factor` from 1/255 that comes from how it was printed.
const RESCALE_TOLERANCE: f64 = 1e-6;

/// Normalisation from `preprocessor_config.json` beside the configuration; OpenAI's where there is none.
pub(crate) fn preprocess(config: &Path, image_size: usize) -> Result<PreprocessConfig> {
    let path = config.with_file_name("preprocessor_config.json");
    let standard = PreprocessConfig::default();
    if !path.is_file() {
        return Ok(standard);
    }
    let text = fs_err::read_to_string(&path)?;
    let raw: RawPreprocessor =
        serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.clone(), source })?;
    if let Some((what, why)) = raw.skipped_step().or_else(|| raw.other_values(image_size as u64)) {
        return Err(ClipError::Unsupported { path, what, why });
    }
    let std = raw.image_std.unwrap_or(standard.std);
    check_std(&path, "image_std", std)?;
    Ok(PreprocessConfig { mean: raw.image_mean.unwrap_or(standard.mean), std, ..standard })
}

impl RawPreprocessor {
    fn skipped_step(&self) -> Option<Refusal> {
        let steps = [
            ("do_resize", self.do_resize),
            ("do_center_crop", self.do_center_crop),
            ("do_rescale", self.do_rescale),
            ("do_normalize", self.do_normalize),
        ];
        let (key, _) = steps.into_iter().find(|(_, step)| *step == Some(false))?;
        Some((format!("{key} = false"), "images are always resized, cropped, rescaled and normalised"))
    }

    fn other_values(&self, image_size: u64) -> Option<Refusal> {
        if let Some(filter) = self.resample.filter(|filter| *filter != BICUBIC) {
            return Some((format!("resample = {filter}"), "the supported filter is 3, Pillow's bicubic"));
        }
        if let Some(size) = self.size.as_ref().filter(|size| shortest_side(size) != Some(image_size)) {
            return Some((format!("size = {size}"), "the shortest side must become the model's image_size"));
        }
        if let Some(size) = self.crop_size.as_ref().filter(|size| crop_side(size) != Some(image_size)) {
            return Some((format!("crop_size = {size}"), "the crop must be a square of the model's image_size"));
        }
        let factor = self.rescale_factor.filter(|factor| (factor * 255.0 - 1.0).abs() > RESCALE_TOLERANCE)?;
        Some((format!("rescale_factor = {factor}"), "the supported factor is 1/255, which makes pixels 0 to 1"))
    }
}

/// A number or `{"shortest_edge": 224}`. Height and width would be an exact size, which distorts.
fn shortest_side(size: &Value) -> Option<u64> {
    size.as_u64().or_else(|| size.get("shortest_edge")?.as_u64())
}

/// A number or equal height and width.
fn crop_side(size: &Value) -> Option<u64> {
    let height = size.as_u64().or_else(|| size.get("height")?.as_u64())?;
    let width = size.as_u64().or_else(|| size.get("width")?.as_u64())?;
    (height == width).then_some(height)
}
