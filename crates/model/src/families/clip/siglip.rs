//! `config.json` of `SiglipModel` and `SiglipVisionModel` of Hugging Face transformers.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{ClipError, Result},
    families::{
        Pooling, TextStyle, TokenStyle, VisionShape,
        clip::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig},
        vit,
    },
};

/// SigLIP's normalisation, where no `preprocessor_config.json` gives one.
const HALF: [f32; 3] = [0.5; 3];

#[derive(Deserialize, Default)]
struct RawTower {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    projection_size: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    vision_use_head: Option<bool>,
}

impl RawTower {
    fn read(path: &Path, value: &Value) -> Result<Self> {
        serde_json::from_value(value.clone()).map_err(|source| ClipError::Config { path: path.to_owned(), source })
    }

    /// Width, and heads that share it out evenly.
    fn width_and_heads(&self, path: &Path) -> Result<[usize; 2]> {
        let (width, heads) = (self.hidden_size.unwrap_or(768), self.num_attention_heads.unwrap_or(12));
        if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
            let what = format!("num_attention_heads {heads} does not divide hidden_size {width}");
            return Err(ClipError::Inconsistent { path: path.to_owned(), what });
        }
        Ok([width, heads])
    }

    fn is_tanh(&self, path: &Path) -> Result<bool> {
        match self.hidden_act.as_deref() {
            None | Some("gelu_pytorch_tanh") => Ok(true),
            Some("gelu") => Ok(false),
            Some(other) => Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("hidden_act = `{other}`"),
                why: "SigLIP's activations are `gelu_pytorch_tanh` and `gelu`",
            }),
        }
    }
}

/// Reads the configuration of a `SiglipModel`; absent keys have transformers' defaults.
pub(super) fn config(path: &Path, value: &Value) -> Result<ClipConfig> {
    let text = RawTower::read(path, &value["text_config"])?;
    let (vision, preprocess) = image_tower(path, &value["vision_config"])?;
    let [width, heads] = text.width_and_heads(path)?;
    let embed_dim = text.projection_size.unwrap_or(width);
    if embed_dim != vision.width {
        let what = format!("text_config.projection_size {embed_dim} is not vision_config.hidden_size {}", vision.width);
        return Err(ClipError::Inconsistent { path: path.to_owned(), what });
    }
    Ok(ClipConfig {
        embed_dim,
        vision,
        text: TextConfig {
            context_length: text.max_position_embeddings.unwrap_or(64),
            vocab_size: text.vocab_size.unwrap_or(32_000),
            width,
            heads,
            layers: text.num_hidden_layers.unwrap_or(12),
            mlp_width: text.intermediate_size.unwrap_or(3072),
            norm_epsilon: text.layer_norm_eps.unwrap_or(1e-6),
            style: TextStyle {
                causal: false,
                padded: true,
                class_token: false,
                projection_bias: true,
                layer_scale: false,
                gelu_tanh: text.is_tanh(path)?,
                tokens: TokenStyle::Siglip,
            },
        },
        quick_gelu: false,
        activation_is_stated: true,
        interpolated: false,
        preprocess,
    })
}

/// Reads the image tower of a `SiglipModel`, or a `SiglipVisionModel`, and how images become pixels.
pub(crate) fn image_tower(path: &Path, value: &Value) -> Result<(VisionConfig, PreprocessConfig)> {
    let raw = RawTower::read(path, value)?;
    if raw.vision_use_head == Some(false) {
        return Err(ClipError::Unsupported {
            path: path.to_owned(),
            what: "vision_use_head = false".to_owned(),
            why: "without its pooling a SigLIP tower has no representation of the image",
        });
    }
    let [width, heads] = raw.width_and_heads(path)?;
    let mlp_width = raw.intermediate_size.unwrap_or(3072);
    let shape = VisionShape {
        class_token: false,
        patch_bias: true,
        norm_first: false,
        pooling: Pooling::Attention { mlp_width },
        projection: false,
        gelu_tanh: raw.is_tanh(path)?,
        ..VisionShape::default()
    };
    let image_size = raw.image_size.unwrap_or(224);
    let standard = PreprocessConfig { mean: HALF, std: HALF, resize: headspan_images::Resize::Squash };
    let (preprocess, side) = vit::preprocess(path, image_size, standard)?;
    if side != image_size {
        let what =
            format!("the images of `preprocessor_config.json` have {side} pixels a side, image_size is {image_size}");
        return Err(ClipError::Inconsistent { path: path.to_owned(), what });
    }
    let vision = VisionConfig {
        image_size,
        patch_size: raw.patch_size.unwrap_or(16),
        layers: raw.num_hidden_layers.unwrap_or(12),
        width,
        head_width: width / heads,
        mlp_width,
        norm_epsilon: raw.layer_norm_eps.unwrap_or(1e-6),
        shape,
    };
    Ok((vision, preprocess))
}
