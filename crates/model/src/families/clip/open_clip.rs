//! `open_clip_config.json`.

use std::path::Path;

use headspan_images::Resize;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    config::{check_std, square},
    keywords::{epsilon, is_tanh},
    open_clip_keys::{MODEL_KEYS, NO_ATTENTION_POOL, NO_POOL, TEXT_KEYS, TIMM_KEYS, VISION_KEYS, refuse_unknown},
};
use crate::{
    error::{ClipError, Result},
    families::{
        Pooling, TextStyle, TokenStyle, VisionShape,
        clip::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig},
        timm::{self, TimmTower},
    },
};

const IMAGE_SIZE: &str = "vision_cfg.image_size";

/// The file as it is stored. Unknown keys of a tower change the architecture in ways that we cannot know, so they are refused; those
/// that matter only in training are named and read over.
#[derive(Deserialize)]
struct RawFile {
    model_cfg: RawModel,
    #[serde(default)]
    preprocess_cfg: RawPreprocess,
}

#[derive(Deserialize)]
struct RawModel {
    embed_dim: usize,
    vision_cfg: Map<String, Value>,
    text_cfg: Map<String, Value>,
    quick_gelu: Option<bool>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct RawPreprocess {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

#[derive(Deserialize)]
struct RawVision {
    image_size: Value,
    layers: usize,
    width: usize,
    patch_size: usize,
    head_width: Option<usize>,
    mlp_ratio: Option<f64>,
    no_ln_pre: Option<bool>,
    ls_init_value: Option<f64>,
}

#[derive(Deserialize)]
struct RawText {
    context_length: Option<usize>,
    vocab_size: Option<usize>,
    width: Option<usize>,
    heads: Option<usize>,
    layers: Option<usize>,
    mlp_ratio: Option<f64>,
    ls_init_value: Option<f64>,
    no_causal_mask: Option<bool>,
    embed_cls: Option<bool>,
    pad_id: Option<u32>,
    proj_bias: Option<bool>,
    hf_tokenizer_name: Option<String>,
}

/// Reads the content of the file.
pub(super) fn config(path: &Path, value: Value) -> Result<ClipConfig> {
    let wrong = |source| ClipError::Config { path: path.to_owned(), source };
    let raw: RawFile = serde_json::from_value(value).map_err(wrong)?;
    let model = raw.model_cfg;
    refuse_unknown(path, "model_cfg", &model.other, &MODEL_KEYS)?;
    let quick_gelu = model.quick_gelu.unwrap_or_default();
    let Tower { vision, width, quick_gelu: own_quick_gelu } = match model.vision_cfg.get("timm_model_name") {
        None | Some(Value::Null) => native(path, model.vision_cfg, quick_gelu)?,
        Some(name) => of_timm(path, name, &model.vision_cfg)?,
    };
    let embed_dim = model.embed_dim;
    if !vision.shape.projection && width != embed_dim {
        let what = format!("embed_dim {embed_dim} is not the tower's width {width}, and there is no projection");
        return Err(ClipError::Inconsistent { path: path.to_owned(), what });
    }
    if own_quick_gelu != quick_gelu {
        let what = "the towers have different activations".to_owned();
        return Err(ClipError::Inconsistent { path: path.to_owned(), what });
    }
    Ok(ClipConfig {
        embed_dim,
        vision,
        text: text(path, &model.text_cfg)?,
        // OpenCLIP's default is GELU.
        quick_gelu,
        activation_is_stated: model.quick_gelu.is_some(),
        interpolated: false,
        preprocess: preprocess(path, &raw.preprocess_cfg)?,
    })
}

/// An image tower with its width before any projection.
struct Tower {
    vision: VisionConfig,
    width: usize,
    quick_gelu: bool,
}

/// OpenCLIP's own `VisionTransformer`.
fn native(path: &Path, keys: Map<String, Value>, quick_gelu: bool) -> Result<Tower> {
    if let Some(layers) = keys.get("layers").filter(|layers| layers.is_array()) {
        return Err(ClipError::Unsupported {
            path: path.to_owned(),
            what: format!("vision_cfg.layers = {layers} (a ResNet)"),
            why: "only ViT image towers have attention heads in every block",
        });
    }
    refuse_unknown(path, "vision_cfg", &keys, &VISION_KEYS)?;
    let pooling = pooling(path, &keys)?;
    let gelu_tanh = is_tanh(path, "vision_cfg", &keys)?;
    let norm_epsilon = epsilon(path, "vision_cfg", &keys)?;
    let vision: RawVision =
        serde_json::from_value(keys.into()).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    let shape = VisionShape {
        norm_first: !vision.no_ln_pre.unwrap_or_default(),
        layer_scale: vision.ls_init_value.is_some(),
        pooling,
        gelu_tanh,
        ..VisionShape::default()
    };
    let vision = VisionConfig {
        image_size: square(path, IMAGE_SIZE, &vision.image_size)?,
        patch_size: vision.patch_size,
        layers: vision.layers,
        width: vision.width,
        head_width: head_width(vision.width, vision.head_width.unwrap_or(64)),
        mlp_width: scaled(vision.width, vision.mlp_ratio),
        norm_epsilon,
        shape,
    };
    Ok(Tower { width: vision.width, vision, quick_gelu })
}

/// OpenCLIP makes `width // head_width` heads, which then share the width.
fn head_width(width: usize, wanted: usize) -> usize {
    match width.checked_div(wanted) {
        Some(heads) if heads > 0 && width.is_multiple_of(heads) => width / heads,
        _ => wanted,
    }
}

/// `timm_model_name` and what goes with it.
fn of_timm(path: &Path, name: &Value, keys: &Map<String, Value>) -> Result<Tower> {
    let unsupported = |key: &str, why| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("vision_cfg.{key} = {}", keys.get(key).unwrap_or(&Value::Null)),
        why,
    };
    let name = name.as_str().unwrap_or_default();
    let known = timm::tower(name).ok_or_else(|| unsupported("timm_model_name", timm::why_not(name)))?;
    refuse_unknown(path, "vision_cfg", keys, &TIMM_KEYS)?;
    let TimmTower { mut vision, quick_gelu } = known;
    if let Some(size) = keys.get("image_size") {
        vision.image_size = square(path, IMAGE_SIZE, size)?;
    }
    // With null the tower's own classifier is the projection, which has a bias.
    let projection = match keys.get("timm_proj") {
        None => "linear",
        Some(Value::Null) => "head",
        Some(kind) => kind.as_str().unwrap_or_default(),
    };
    let has_bias = keys.get("timm_proj_bias").and_then(Value::as_bool).unwrap_or_default();
    match projection {
        "none" => {}
        "head" => (vision.shape.projection, vision.shape.projection_bias) = (true, true),
        "linear" => (vision.shape.projection, vision.shape.projection_bias) = (true, has_bias),
        _ => return Err(unsupported("timm_proj", "the projection is `linear`, the tower's own (null), or `none`")),
    }
    let pool = keys.get("timm_pool").and_then(Value::as_str).unwrap_or("avg");
    // With a projection of its own OpenCLIP takes the trunk's norm; without one timm moves it behind a mean.
    let after = projection != "linear";
    vision.shape.pooling = timm::pooling(&vision, pool, after)
        .ok_or_else(|| unsupported("timm_pool", "the representation is pooled by `token`, `avg` or `map`"))?;
    if vision.shape.projection_bias && vision.shape.pooling.is_attention() {
        return Err(unsupported("timm_proj_bias", "behind attention pooling the projection has no bias"));
    }
    Ok(Tower { width: vision.width, vision, quick_gelu })
}

/// `pool_type`, or what older versions of OpenCLIP called `global_average_pool`: the mean of all tokens, then the norm.
fn pooling(path: &Path, keys: &Map<String, Value>) -> Result<Pooling> {
    let refused = |key: &str, value: &Value| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("vision_cfg.{key} = {value}"),
        why: NO_POOL,
    };
    match keys.get("global_average_pool") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => return Ok(Pooling::Mean { prefix: true, norm_first: false }),
        Some(other) => return Err(refused("global_average_pool", other)),
    }
    let number = |key: &str, standard| match keys.get(key) {
        None => Ok(standard),
        Some(value) => value.as_u64().map(|number| number as usize).ok_or_else(|| refused(key, value)),
    };
    match keys.get("attentional_pool") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) if keys.get("pool_type").is_none_or(|kind| kind == "tok") => {
            let (heads, queries) = (number("attn_pooler_heads", 8)?, number("attn_pooler_queries", 256)?);
            return Ok(Pooling::Queries { heads, queries });
        }
        Some(other) => {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("vision_cfg.attentional_pool = {other}"),
                why: NO_ATTENTION_POOL,
            });
        }
    }
    let after = keys.get("final_ln_after_pool").and_then(Value::as_bool).unwrap_or_default();
    match keys.get("pool_type") {
        None => Ok(Pooling::ClassToken),
        Some(Value::String(kind)) if kind == "tok" => Ok(Pooling::ClassToken),
        Some(Value::String(kind)) if kind == "avg" => Ok(Pooling::Mean { prefix: false, norm_first: !after }),
        Some(other) => Err(refused("pool_type", other)),
    }
}

fn text(path: &Path, keys: &Map<String, Value>) -> Result<TextConfig> {
    refuse_unknown(path, "text_cfg", keys, &TEXT_KEYS)?;
    let refused = |key: &str, why| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("text_cfg.{key} = {}", keys.get(key).unwrap_or(&Value::Null)),
        why,
    };
    let padded = match keys.get("pool_type").map(|kind| kind.as_str().unwrap_or_default()) {
        None | Some("argmax") => false,
        Some("last") => true,
        Some(_) => {
            return Err(refused("pool_type", "a text's feature is taken at its highest id or at the last token"));
        }
    };
    let gelu_tanh = is_tanh(path, "text_cfg", keys)?;
    let norm_epsilon = epsilon(path, "text_cfg", keys)?;
    let canonical = keys.get("tokenizer_kwargs").and_then(|kwargs| kwargs.get("clean")) == Some(&"canonicalize".into());
    let raw: RawText = serde_json::from_value(keys.clone().into())
        .map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    let tokens = match &raw.hf_tokenizer_name {
        None => TokenStyle::Clip,
        Some(_) if canonical && padded => TokenStyle::Siglip,
        Some(_) => TokenStyle::Unknown,
    };
    let causal = !raw.no_causal_mask.unwrap_or_default();
    if !causal && !padded {
        return Err(refused("no_causal_mask", "tokens behind the end token would count, and headspan leaves them out"));
    }
    let class_token = raw.embed_cls.unwrap_or_default();
    if class_token && (!causal || padded || raw.pad_id.is_some_and(|id| id != 0)) {
        return Err(refused("embed_cls", "a class token stands behind causal tokens, and the id of padding is 0"));
    }
    let width = raw.width.unwrap_or(512);
    Ok(TextConfig {
        context_length: raw.context_length.unwrap_or(77),
        vocab_size: raw.vocab_size.unwrap_or(49_408),
        width,
        heads: raw.heads.unwrap_or(8),
        layers: raw.layers.unwrap_or(12),
        mlp_width: scaled(width, raw.mlp_ratio),
        norm_epsilon,
        style: TextStyle {
            causal,
            padded,
            class_token,
            projection_bias: raw.proj_bias.unwrap_or_default(),
            layer_scale: raw.ls_init_value.is_some(),
            gelu_tanh,
            tokens,
        },
    })
}

fn preprocess(path: &Path, raw: &RawPreprocess) -> Result<PreprocessConfig> {
    let refused = |key: &str, value: &str, why| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("preprocess_cfg.{key} = `{value}`"),
        why,
    };
    let resize = match raw.resize_mode.as_deref() {
        None | Some("shortest") => Resize::Shortest,
        Some("squash") => Resize::Squash,
        Some(mode) => {
            return Err(refused(
                "resize_mode",
                mode,
                "the supported modes are `shortest` (shortest side, then centre crop) and `squash`",
            ));
        }
    };
    if let Some(filter) = raw.interpolation.as_deref().filter(|filter| *filter != "bicubic") {
        return Err(refused("interpolation", filter, "the supported interpolation is `bicubic`"));
    }
    let standard = PreprocessConfig::default();
    let std = raw.std.unwrap_or(standard.std);
    check_std(path, "preprocess_cfg.std", std)?;
    Ok(PreprocessConfig { mean: raw.mean.unwrap_or(standard.mean), std, resize })
}

fn scaled(width: usize, ratio: Option<f64>) -> usize {
    // Truncation is what OpenCLIP does: `int(width * mlp_ratio)`.
    (width as f64 * ratio.unwrap_or(4.0)) as usize
}
