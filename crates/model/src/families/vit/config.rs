use std::path::Path;

use headspan_images::{Preprocess, Resize};
use serde_json::Value;

use super::{
    huggingface::{self, ModelType},
    timm, vision_models,
};
use crate::{
    checkpoint::Resample,
    error::{ClipError, Result},
    families::{
        ModelOptions, Parts,
        clip::{PreprocessConfig, VisionConfig},
    },
};

/// An image tower without texts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VitConfig {
    pub(crate) vision: VisionConfig,
    /// Length of what the output projection gives; none without one.
    pub(crate) projection_dim: Option<usize>,
    pub(crate) quick_gelu: bool,
    pub(crate) preprocess: PreprocessConfig,
    /// How its library interpolates position embeddings.
    pub(crate) resample: Resample,
    /// Whether position embeddings for another number of patches are interpolated.
    pub(crate) interpolated: bool,
}

impl VitConfig {
    /// Reads timm's `config.json`, or that of Hugging Face transformers.
    pub(super) fn from_json(path: &Path, value: &Value) -> Result<Self> {
        let config = match huggingface::model_type(value) {
            Some(ModelType::Owned(owner)) => vision_models::config(path, value, owner)?,
            Some(kind) => huggingface::config(path, value, kind)?,
            None => timm::config(path, value)?,
        };
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let vision = &self.vision;
        let wrong = |what: String| Err(ClipError::Inconsistent { path: path.to_owned(), what });
        if vision.patch_size == 0 || vision.image_size < vision.patch_size {
            return wrong(format!("image size {} is less than patch size {}", vision.image_size, vision.patch_size));
        }
        if vision.head_width == 0 || !vision.width.is_multiple_of(vision.head_width) || vision.layers == 0 {
            return wrong(format!("width {} in {} blocks is not a multiple of its heads", vision.width, vision.layers));
        }
        vision.rotary_problem().map_or(Ok(()), wrong)
    }

    pub(super) fn with(mut self, options: &ModelOptions) -> Result<Self> {
        if let Some(quick_gelu) = options.quick_gelu {
            self.quick_gelu = quick_gelu;
        }
        if let Some(size) = options.image_size {
            let (patch, before) = (self.vision.patch_size, self.vision.image_size);
            if size == 0 || !size.is_multiple_of(patch) {
                return Err(ClipError::ImageSize { size, patch });
            }
            // The margin that is cropped keeps its share.
            if let Resize::ShortestTo(side) = &mut self.preprocess.resize {
                *side = *side * size / before;
            }
            (self.vision.image_size, self.interpolated) = (size, true);
        }
        Ok(self)
    }

    pub(crate) fn preprocessing(&self) -> Preprocess {
        self.preprocess.of_size(self.vision.image_size)
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            vision: &self.vision,
            embed_dim: self.projection_dim.unwrap_or(self.vision.width),
            text: None,
            quick_gelu: self.quick_gelu,
            resample: self.interpolated.then_some(self.resample),
        }
    }
}
