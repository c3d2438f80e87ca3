//! Image towers of models of Hugging Face transformers whose texts headspan does not read: `CLIPVisionModelWithProjection` and
//! `CLIPVisionModel`, ChineseCLIP and BLIP.

use std::path::Path;

use headspan_images::Resize;
use serde::Deserialize;
use serde_json::Value;

use super::{VitConfig, huggingface::preprocess};
use crate::{
    checkpoint::Resample,
    error::{ClipError, Result},
    families::{
        VisionShape,
        clip::{PreprocessConfig, VisionConfig},
    },
};

/// Whose image tower it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Clip,
    ChineseClip,
    Blip,
}

/// Which of the models a configuration is of, by its `model_type`.
pub(super) fn owner(model_type: &str) -> Option<Owner> {
    match model_type {
        "clip_vision_model" => Some(Owner::Clip),
        "chinese_clip" | "chinese_clip_vision_model" => Some(Owner::ChineseClip),
        "blip" | "blip_vision_model" => Some(Owner::Blip),
        _ => None,
    }
}

#[derive(Deserialize)]
struct RawConfig {
    architectures: Option<Vec<String>>,
    projection_dim: Option<usize>,
    image_text_hidden_size: Option<usize>,
}

#[derive(Deserialize)]
struct RawTower {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    num_channels: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
}

/// Reads the content of the file; absent keys have transformers' defaults.
pub(super) fn config(path: &Path, value: &Value, owner: Owner) -> Result<VitConfig> {
    let wrong = |source| ClipError::Config { path: path.to_owned(), source };
    let raw: RawConfig = serde_json::from_value(value.clone()).map_err(wrong)?;
    let tower: RawTower = serde_json::from_value(value.get("vision_config").unwrap_or(value).clone()).map_err(wrong)?;
    let is_whole = value.get("vision_config").is_some();
    let is_blip = owner == Owner::Blip;
    let quick_gelu = tower.quick_gelu(path, if is_blip { "gelu" } else { "quick_gelu" })?;
    let projection_dim = raw.projection(owner, is_whole);
    let width = tower.hidden_size.unwrap_or(768);
    let heads = tower.num_attention_heads.unwrap_or(12).max(1);
    let shape = VisionShape {
        patch_bias: is_blip,
        norm_first: !is_blip,
        projection: projection_dim.is_some(),
        projection_bias: is_blip && projection_dim.is_some(),
        ..VisionShape::default()
    };
    let standard = PreprocessConfig { resize: Resize::Squash, ..PreprocessConfig::default() };
    let standard = if owner == Owner::Clip { PreprocessConfig::default() } else { standard };
    let image_size = tower.image_size.unwrap_or(if is_blip { 384 } else { 224 });
    let (preprocess, side) = preprocess(path, image_size, standard)?;
    if side != image_size {
        let what =
            format!("the images of `preprocessor_config.json` have {side} pixels a side, image_size is {image_size}");
        return Err(ClipError::Inconsistent { path: path.to_owned(), what });
    }
    let vision = VisionConfig {
        image_size,
        patch_size: tower.patch_size.unwrap_or(if is_blip { 16 } else { 32 }),
        layers: tower.num_hidden_layers.unwrap_or(12),
        width,
        head_width: if width.is_multiple_of(heads) { width / heads } else { 0 },
        mlp_width: tower.intermediate_size.unwrap_or(3072),
        norm_epsilon: tower.layer_norm_eps.unwrap_or(1e-5),
        shape,
    };
    Ok(VitConfig { vision, projection_dim, quick_gelu, preprocess, resample: Resample::Plain, interpolated: false })
}

impl RawConfig {
    /// Length of what the output projection gives; none for a tower without one. `is_whole` says whether texts stand beside it.
    fn projection(&self, owner: Owner, is_whole: bool) -> Option<usize> {
        let is = |name: &str| self.architectures.iter().flatten().any(|architecture| architecture == name);
        match owner {
            Owner::Clip if is("CLIPVisionModel") => None,
            Owner::Clip => Some(self.projection_dim.unwrap_or(512)),
            Owner::ChineseClip => is_whole.then(|| self.projection_dim.unwrap_or(512)),
            Owner::Blip if is("BlipForImageTextRetrieval") => Some(self.image_text_hidden_size.unwrap_or(256)),
            Owner::Blip => None,
        }
    }
}

impl RawTower {
    fn quick_gelu(&self, path: &Path, standard: &str) -> Result<bool> {
        let refused = |what: String, why| Err(ClipError::Unsupported { path: path.to_owned(), what, why });
        if let Some(channels) = self.num_channels.filter(|channels| *channels != 3) {
            return refused(format!("num_channels = {channels}"), "images have three channels");
        }
        match self.hidden_act.as_deref().unwrap_or(standard) {
            "quick_gelu" => Ok(true),
            "gelu" => Ok(false),
            other => {
                refused(format!("hidden_act = `{other}`"), "the supported activations are `gelu` and `quick_gelu`")
            }
        }
    }
}
