//! `config.json` of Hugging Face transformers.

use std::path::Path;

use headspan_images::Resize;
use serde::Deserialize;
use serde_json::Value;

use super::{
    VitConfig, dinov3,
    timm::{IMAGENET_MEAN, IMAGENET_STD},
    vision_models::{Owner, owner},
};
use crate::{
    checkpoint::Resample,
    error::{ClipError, Result},
    families::{
        VisionShape,
        clip::{PreprocessConfig, VisionConfig, check_std, siglip},
    },
};

/// The models of transformers that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelType {
    Dinov2,
    Dinov2WithRegisters,
    Dinov3,
    Vit,
    SiglipVision,
    /// Image tower of a model whose texts are not read.
    Owned(Owner),
}

/// Which of the models a configuration is of; none for any other.
pub(super) fn model_type(value: &Value) -> Option<ModelType> {
    match value.get("model_type")?.as_str()? {
        "dinov2" => Some(ModelType::Dinov2),
        "dinov2_with_registers" => Some(ModelType::Dinov2WithRegisters),
        "dinov3_vit" => Some(ModelType::Dinov3),
        "vit" => Some(ModelType::Vit),
        "siglip_vision_model" => Some(ModelType::SiglipVision),
        other => owner(other).map(ModelType::Owned),
    }
}

#[derive(Deserialize)]
struct RawConfig {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    mlp_ratio: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    num_register_tokens: Option<usize>,
    num_channels: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    qkv_bias: Option<bool>,
    use_swiglu_ffn: Option<bool>,
}

/// Reads the content of the file; absent keys have transformers' defaults.
pub(super) fn config(path: &Path, value: &Value, kind: ModelType) -> Result<VitConfig> {
    if kind == ModelType::SiglipVision {
        let (vision, preprocess) = siglip::image_tower(path, value)?;
        return Ok(VitConfig {
            vision,
            projection_dim: None,
            quick_gelu: false,
            preprocess,
            resample: Resample::Plain,
            interpolated: false,
        });
    }
    if kind == ModelType::Dinov3 {
        return dinov3::config(path, value);
    }
    let raw: RawConfig =
        serde_json::from_value(value.clone()).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    raw.check(path)?;
    let is_vit = kind == ModelType::Vit;
    let width = raw.hidden_size.unwrap_or(768);
    let heads = raw.num_attention_heads.unwrap_or(12).max(1);
    let mlp_width = match (is_vit, raw.intermediate_size) {
        (true, size) => size.unwrap_or(3072),
        (false, _) => width * raw.mlp_ratio.unwrap_or(4),
    };
    let registers = match kind {
        ModelType::Dinov2WithRegisters => raw.num_register_tokens.unwrap_or(4),
        _ => 0,
    };
    let shape = VisionShape {
        registers,
        patch_bias: true,
        norm_first: false,
        layer_scale: !is_vit,
        projection: false,
        ..VisionShape::default()
    };
    let vision = VisionConfig {
        image_size: raw.image_size.unwrap_or(224),
        patch_size: raw.patch_size.unwrap_or(if is_vit { 16 } else { 14 }),
        layers: raw.num_hidden_layers.unwrap_or(12),
        width,
        head_width: if width.is_multiple_of(heads) { width / heads } else { 0 },
        mlp_width,
        norm_epsilon: raw.layer_norm_eps.unwrap_or(if is_vit { 1e-12 } else { 1e-6 }),
        shape,
    };
    let quick_gelu = raw.hidden_act.as_deref() == Some("quick_gelu");
    let standard = PreprocessConfig { mean: IMAGENET_MEAN, std: IMAGENET_STD, resize: Resize::Shortest };
    let (preprocess, crop) = preprocess(path, vision.image_size, standard)?;
    let mut config = VitConfig {
        vision,
        projection_dim: None,
        quick_gelu,
        preprocess,
        resample: Resample::Plain,
        interpolated: false,
    };
    // DINOv2 was trained with positions for 518 pixels and is run on 224: transformers interpolates at every pass.
    if crop != config.vision.image_size {
        (config.vision.image_size, config.interpolated) = (crop, true);
    }
    Ok(config)
}

impl RawConfig {
    fn check(&self, path: &Path) -> Result<()> {
        let refused = |what: String, why| Err(ClipError::Unsupported { path: path.to_owned(), what, why });
        if let Some(other) = self.hidden_act.as_deref().filter(|act| !["gelu", "quick_gelu"].contains(act)) {
            return refused(format!("hidden_act = `{other}`"), "the supported activations are `gelu` and `quick_gelu`");
        }
        if self.use_swiglu_ffn == Some(true) {
            return refused("use_swiglu_ffn = true".to_owned(), "the MLP must have two layers with GELU between");
        }
        if self.qkv_bias == Some(false) {
            return refused("qkv_bias = false".to_owned(), "queries, keys and values must have biases");
        }
        match self.num_channels {
            None | Some(3) => Ok(()),
            Some(other) => refused(format!("num_channels = {other}"), "images have three channels"),
        }
    }
}

/// What of `preprocessor_config.json` changes pixels.
#[derive(Deserialize)]
struct RawPreprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u32>,
    size: Option<Value>,
    crop_size: Option<Value>,
    do_center_crop: Option<bool>,
    rescale_factor: Option<f64>,
}

/// Pillow's number of the bicubic filter.
const BICUBIC: u32 = 3;

/// Relative deviation of `rescale_factor` from 1/255 that comes from how it was printed.
const RESCALE_TOLERANCE: f64 = 1e-6;

/// How images become pixels by `preprocessor_config.json` beside the configuration, and the side of the square. Without the file
/// they are resized to the configuration's size as `standard` says.
pub(crate) fn preprocess(
    config: &Path,
    image_size: usize,
    standard: PreprocessConfig,
) -> Result<(PreprocessConfig, usize)> {
    let path = config.with_file_name("preprocessor_config.json");
    if !path.is_file() {
        return Ok((standard, image_size));
    }
    let text = fs_err::read_to_string(&path)?;
    let raw: RawPreprocessor =
        serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.clone(), source })?;
    let refused = |what: String, why| ClipError::Unsupported { path: path.clone(), what, why };
    if let Some(filter) = raw.resample.filter(|filter| *filter != BICUBIC) {
        return Err(refused(format!("resample = {filter}"), "the supported filter is 3, Pillow's bicubic"));
    }
    if let Some(factor) = raw.rescale_factor.filter(|factor| (factor * 255.0 - 1.0).abs() > RESCALE_TOLERANCE) {
        return Err(refused(format!("rescale_factor = {factor}"), "the supported factor is 1/255"));
    }
    let side = |value: &Option<Value>, key: &str| -> Option<usize> {
        let value = value.as_ref()?;
        value.get(key).unwrap_or(value).as_u64().map(|side| side as usize)
    };
    let crop = raw.crop_size.as_ref().filter(|_| raw.do_center_crop != Some(false));
    let (resize, size) = match (side(&raw.size, "shortest_edge"), crop) {
        (Some(shortest), Some(crop)) => {
            let height = side(&Some(crop.clone()), "height");
            let crop = height.filter(|height| Some(*height) == side(&Some(crop.clone()), "width"));
            let crop = crop.filter(|crop| *crop <= shortest).ok_or_else(|| {
                refused(
                    format!("crop_size = {:?}", raw.crop_size),
                    "the crop must be a square within the resized image",
                )
            })?;
            (if crop == shortest { Resize::Shortest } else { Resize::ShortestTo(shortest) }, crop)
        }
        (None, None) => match (side(&raw.size, "height"), side(&raw.size, "width")) {
            (Some(height), Some(width)) if height == width => (Resize::Squash, height),
            _ => return Err(refused(format!("size = {:?}", raw.size), "the image must become a square")),
        },
        _ => return Err(refused(format!("size = {:?}", raw.size), "the image must become a square")),
    };
    let std = raw.image_std.unwrap_or(standard.std);
    check_std(&path, "image_std", std)?;
    Ok((PreprocessConfig { mean: raw.image_mean.unwrap_or(standard.mean), std, resize }, size))
}
