//! `config.json` of timm's repositories.

use std::path::Path;

use headspan_images::Resize;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::VitConfig;
use crate::{
    checkpoint::Resample,
    error::{ClipError, Result},
    families::{
        clip::{PreprocessConfig, check_std},
        timm::{self, TimmTower},
    },
};

#[derive(Deserialize)]
struct RawConfig {
    architecture: String,
    global_pool: Option<String>,
    #[serde(default)]
    model_args: Map<String, Value>,
    #[serde(default)]
    pretrained_cfg: RawPretrained,
}

#[derive(Deserialize, Default)]
struct RawPretrained {
    input_size: Option<[usize; 3]>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
}

/// timm's means and deviations where a configuration gives none (`IMAGENET_DEFAULT_MEAN`, `IMAGENET_DEFAULT_STD`).
pub(super) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub(super) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Reads the content of the file.
pub(super) fn config(path: &Path, value: &Value) -> Result<VitConfig> {
    let raw: RawConfig =
        serde_json::from_value(value.clone()).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    let unsupported = |what: String, why| ClipError::Unsupported { path: path.to_owned(), what, why };
    let known = timm::tower(&raw.architecture).ok_or_else(|| {
        unsupported(format!("architecture = `{}`", raw.architecture), timm::why_not(&raw.architecture))
    })?;
    let TimmTower { mut vision, quick_gelu } = known;
    if let Some([_, height, width]) = raw.pretrained_cfg.input_size {
        if height != width {
            return Err(unsupported(format!("input_size = {height} × {width}"), "the image must be square"));
        }
        vision.image_size = height;
    }
    for (key, value) in &raw.model_args {
        let known = value.as_u64().is_some_and(|number| set(&mut vision, key, number as usize));
        if !known && !HARMLESS.contains(&key.as_str()) {
            return Err(unsupported(
                format!("model_args.{key} = {value}"),
                "it changes the tower's architecture, and headspan does not know how",
            ));
        }
    }
    if let Some(pool) = &raw.global_pool {
        vision.shape.pooling = timm::pooling(&vision, pool, true).ok_or_else(|| {
            unsupported(format!("global_pool = `{pool}`"), "the representation is pooled by `token`, `avg` or `map`")
        })?;
    }
    let preprocess = preprocess(path, &raw.pretrained_cfg, vision.image_size)?;
    Ok(VitConfig {
        vision,
        projection_dim: None,
        quick_gelu,
        preprocess,
        resample: Resample::Antialiased,
        interpolated: false,
    })
}

/// Arguments that change no pass.
const HARMLESS: [&str; 4] = ["num_classes", "dynamic_img_size", "drop_rate", "drop_path_rate"];

/// Takes over an argument of timm's `VisionTransformer`; false if it is not one of the sizes.
fn set(vision: &mut crate::families::clip::VisionConfig, key: &str, value: usize) -> bool {
    let heads = vision.heads().max(1);
    match key {
        "img_size" => vision.image_size = value,
        "patch_size" => vision.patch_size = value,
        "depth" => vision.layers = value,
        "reg_tokens" | "num_reg_tokens" => vision.shape.registers = value,
        "embed_dim" => {
            vision.mlp_width = vision.mlp_width * value / vision.width;
            (vision.width, vision.head_width) = (value, value / heads);
        }
        "num_heads" if value > 0 => vision.head_width = vision.width / value,
        "num_classes" => {}
        _ => return false,
    }
    if let crate::families::Pooling::Attention { mlp_width } = &mut vision.shape.pooling {
        *mlp_width = vision.mlp_width;
    }
    true
}

fn preprocess(path: &Path, raw: &RawPretrained, image_size: usize) -> Result<PreprocessConfig> {
    let refused = |key: &str, value: &str, why| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("pretrained_cfg.{key} = `{value}`"),
        why,
    };
    if let Some(filter) = raw.interpolation.as_deref().filter(|filter| *filter != "bicubic") {
        return Err(refused("interpolation", filter, "the supported interpolation is `bicubic`"));
    }
    let share = raw.crop_pct.unwrap_or(1.0);
    let is_whole = (share - 1.0).abs() < f64::EPSILON;
    let resize = match raw.crop_mode.as_deref() {
        None | Some("center") if is_whole => Resize::Shortest,
        // timm: `floor(size / crop_pct)`.
        None | Some("center") if share > 0.0 && share < 1.0 => {
            Resize::ShortestTo((image_size as f64 / share).floor() as usize)
        }
        Some("squash") if is_whole => Resize::Squash,
        mode => {
            let shown = format!("{} of {share}", mode.unwrap_or("center"));
            return Err(refused("crop_mode", &shown, "crops are `center`, or `squash` of the whole image"));
        }
    };
    let std = raw.std.unwrap_or(IMAGENET_STD);
    check_std(path, "pretrained_cfg.std", std)?;
    Ok(PreprocessConfig { mean: raw.mean.unwrap_or(IMAGENET_MEAN), std, resize })
}
