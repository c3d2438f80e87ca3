//! `config.json` of `DINOv3ViTModel` of Hugging Face transformers.

use std::path::Path;

use headspan_images::Resize;
use serde::Deserialize;
use serde_json::Value;

use super::{
    VitConfig,
    huggingface::preprocess,
    timm::{IMAGENET_MEAN, IMAGENET_STD},
};
use crate::{
    checkpoint::Resample,
    error::{ClipError, Result},
    families::{
        Rotary, VisionShape,
        clip::{PreprocessConfig, VisionConfig, square},
        eva::DINO_ROTARY,
    },
};

#[derive(Deserialize)]
struct RawConfig {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    image_size: Option<Value>,
    patch_size: Option<usize>,
    num_register_tokens: Option<usize>,
    num_channels: Option<usize>,
    layer_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    hidden_act: Option<String>,
    use_gated_mlp: Option<bool>,
    query_bias: Option<bool>,
    key_bias: Option<bool>,
    value_bias: Option<bool>,
    proj_bias: Option<bool>,
    mlp_bias: Option<bool>,
}

/// Reads the content of the file; absent keys have transformers' defaults.
pub(super) fn config(path: &Path, value: &Value) -> Result<VitConfig> {
    let raw: RawConfig =
        serde_json::from_value(value.clone()).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    raw.check(path)?;
    let (width, heads) = (raw.hidden_size.unwrap_or(384), raw.num_attention_heads.unwrap_or(6).max(1));
    let shape = VisionShape {
        registers: raw.num_register_tokens.unwrap_or(0),
        patch_bias: true,
        positions: false,
        rotary: Some(Rotary { base: raw.rope_theta.unwrap_or(DINO_ROTARY.base), ..DINO_ROTARY }),
        norm_first: false,
        layer_scale: true,
        qkv_bias: raw.query_bias.unwrap_or(true),
        gated_mlp: raw.use_gated_mlp.unwrap_or_default(),
        projection: false,
        ..VisionShape::default()
    };
    let image_size = match &raw.image_size {
        None => 224,
        Some(size) => square(path, "image_size", size)?,
    };
    let standard = PreprocessConfig { mean: IMAGENET_MEAN, std: IMAGENET_STD, resize: Resize::Squash };
    // Rotary positions are of any number of patches: the processor says the size of an image.
    let (preprocess, image_size) = preprocess(path, image_size, standard)?;
    let vision = VisionConfig {
        image_size,
        patch_size: raw.patch_size.unwrap_or(16),
        layers: raw.num_hidden_layers.unwrap_or(12),
        width,
        head_width: if width.is_multiple_of(heads) { width / heads } else { 0 },
        mlp_width: raw.intermediate_size.unwrap_or(1536),
        norm_epsilon: raw.layer_norm_eps.unwrap_or(1e-5),
        shape,
    };
    Ok(VitConfig {
        vision,
        projection_dim: None,
        quick_gelu: false,
        preprocess,
        resample: Resample::Plain,
        interpolated: false,
    })
}

impl RawConfig {
    fn check(&self, path: &Path) -> Result<()> {
        let refused = |what: String, why| Err(ClipError::Unsupported { path: path.to_owned(), what, why });
        let activation = if self.use_gated_mlp == Some(true) { "silu" } else { "gelu" };
        if let Some(other) = self.hidden_act.as_deref().filter(|act| *act != activation) {
            return refused(
                format!("hidden_act = `{other}`"),
                "DINOv3's MLPs have `gelu`, or `silu` where `use_gated_mlp` is set",
            );
        }
        let (query, value) = (self.query_bias.unwrap_or(true), self.value_bias.unwrap_or(true));
        if query != value || (self.key_bias == Some(true) && !query) {
            return refused(
                format!("query_bias = {query} beside value_bias = {value}"),
                "queries and values must both have biases, or nothing",
            );
        }
        if self.proj_bias == Some(false) || self.mlp_bias == Some(false) {
            return refused(
                "proj_bias or mlp_bias = false".to_owned(),
                "the output projection and the MLP must have biases",
            );
        }
        match self.num_channels {
            None | Some(3) => Ok(()),
            Some(other) => refused(format!("num_channels = {other}"), "images have three channels"),
        }
    }
}
