use std::path::Path;

use fs_err as fs;
use headspan_images::Preprocess;
use serde::{Deserialize, Serialize};

use crate::{
    error::{ClipError, Result},
    families::{
        ModelOptions,
        clip::{architectures, huggingface::config as huggingface_config},
    },
};

/// OpenAI's normalisation, the default where a configuration gives none (OpenCLIP's `OPENAI_DATASET_MEAN`/`STD`).
const OPENAI_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const OPENAI_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Everything that fixes the architecture of a CLIP model, as `open_clip_config.json` gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClipConfig {
    /// Length `d` of the joint embedding.
    pub embed_dim: usize,
    /// Image tower.
    pub vision: VisionConfig,
    /// Text tower.
    pub text: TextConfig,
    /// QuickGELU (`x·sigmoid(1.702x)`, OpenAI's weights) instead of exact GELU. The classic silent error when it is wrong.
    pub quick_gelu: bool,
    /// Whether somebody said so: the configuration or the user. Else it is the default of the configuration's format.
    #[serde(skip)]
    pub activation_is_stated: bool,
    /// Whether position embeddings for another number of patches are interpolated.
    #[serde(skip)]
    pub interpolated: bool,
    /// How images become pixels.
    pub preprocess: PreprocessConfig,
}

/// Image tower: a `ViT` with a class token, `ln_pre`, `ln_post` and a projection without bias.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisionConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Number of blocks `L`.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of one head, `head_dim`.
    pub head_width: usize,
    /// Width of the hidden layer of an MLP.
    pub mlp_width: usize,
    /// Epsilon of the LayerNorms.
    pub norm_epsilon: f64,
}

impl VisionConfig {
    /// Number of heads `H` of a block.
    pub fn heads(&self) -> usize {
        self.width / self.head_width
    }

    /// Patches on one side of the grid.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Number of tokens `N`, the class token included.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + 1
    }
}

/// Text tower: a causal transformer whose feature is taken at the end token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextConfig {
    /// Most tokens of a text, start and end token included.
    pub context_length: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of heads of a block.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Width of the hidden layer of an MLP.
    pub mlp_width: usize,
    /// Epsilon of the LayerNorms.
    pub norm_epsilon: f64,
}

/// Normalisation of pixels; the resize is always OpenCLIP's (shortest side, bicubic, centre crop).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PreprocessConfig {
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

impl Default for PreprocessConfig {
    fn default() -> Self {
        Self { mean: OPENAI_MEAN, std: OPENAI_STD }
    }
}

/// `open_clip_config.json` as it is stored. Unknown keys of a tower change the architecture in ways that we cannot know,
/// so they are refused; those that matter only in training are named and read over.
#[derive(Deserialize)]
struct RawFile {
    model_cfg: RawModel,
    #[serde(default)]
    preprocess_cfg: RawPreprocess,
}

#[derive(Deserialize)]
struct RawModel {
    embed_dim: usize,
    vision_cfg: serde_json::Map<String, serde_json::Value>,
    text_cfg: serde_json::Map<String, serde_json::Value>,
    quick_gelu: Option<bool>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
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
    image_size: serde_json::Value,
    layers: usize,
    width: usize,
    patch_size: usize,
    head_width: Option<usize>,
    mlp_ratio: Option<f64>,
}

#[derive(Deserialize)]
struct RawText {
    context_length: Option<usize>,
    vocab_size: Option<usize>,
    width: Option<usize>,
    heads: Option<usize>,
    layers: Option<usize>,
    mlp_ratio: Option<f64>,
}

/// Keys of a tower that headspan reads.
const VISION_KEYS: [&str; 6] = ["image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"];
const TEXT_KEYS: [&str; 6] = ["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"];

/// Keys that do not change the forward pass as long as they hold the value given here (null: whatever the value).
const HARMLESS: [(&str, Option<&str>); 36] = [
    ("patch_dropout", None),
    ("output_tokens", None),
    ("global_average_pool", Some("false")),
    ("attentional_pool", Some("false")),
    ("pool_type", Some("\"tok\"")),
    ("pool_type", Some("\"argmax\"")),
    ("final_ln_after_pool", Some("false")),
    ("no_ln_pre", Some("false")),
    ("input_patchnorm", Some("false")),
    ("pos_embed_type", Some("\"learnable\"")),
    ("act_kwargs", Some("null")),
    ("norm_kwargs", Some("null")),
    ("ls_init_value", Some("null")),
    ("timm_model_name", Some("null")),
    ("hf_model_name", Some("null")),
    ("embed_cls", Some("false")),
    ("no_causal_mask", Some("false")),
    ("proj_bias", Some("false")),
    ("proj_type", Some("\"linear\"")),
    ("pad_id", None),
    ("bos_id", None),
    ("eos_id", None),
    ("attn_pooler_queries", None),
    ("attn_pooler_heads", Some("8")),
    ("block_type", Some("null")),
    ("block_type", Some("\"default\"")),
    ("qk_norm", Some("false")),
    ("scaled_cosine_attn", Some("false")),
    ("scale_heads", Some("false")),
    ("scale_attn_inner", Some("false")),
    ("scale_attn", Some("false")),
    ("scale_fc", Some("false")),
    ("hf_tokenizer_name", Some("null")),
    ("tokenizer_mode", Some("null")),
    ("tokenizer_kwargs", Some("null")),
    ("timm_model_pretrained", Some("false")),
];

/// Keys of `model_cfg` that matter only in training, or that the weights themselves say.
const MODEL_KEYS: [&str; 6] =
    ["custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "cast_dtype", "output_dict"];

const NO_CLASS_TOKEN: &str = "the decomposition needs a class token as representation (CLIP, not CoCa or SigLIP)";

/// Keys that are often met and refused, and why.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("timm_model_name", "timm image towers are built differently; use an OpenCLIP ViT of section 4 of the design"),
    ("hf_model_name", "text towers of Hugging Face transformers other than CLIP's have no class of their own here"),
    ("attentional_pool", NO_CLASS_TOKEN),
    ("attn_pooler_heads", NO_CLASS_TOKEN),
    ("pool_type", NO_CLASS_TOKEN),
    ("global_average_pool", NO_CLASS_TOKEN),
];

/// Why a key is refused.
fn reason(key: &str) -> &'static str {
    REFUSED.iter().find(|(refused, _)| *refused == key).map_or(
        "it changes the forward pass and headspan does not know how; OpenAI's and LAION's ViTs do not use it",
        |(_, why)| why,
    )
}

impl ClipConfig {
    /// Reads `open_clip_config.json`, or the `config.json` of a Hugging Face `CLIPModel`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
        Self::from_json(path, value)
    }

    /// A configuration file with what the user says beside it. The architecture that is named, if one is, counts instead of the file.
    pub fn with_options(path: Option<&Path>, options: &ModelOptions) -> Result<Self> {
        match (&options.architecture, path) {
            (Some(name), _) => architectures::config(name)?.with(options),
            (None, Some(path)) => Self::read(path)?.with(options),
            (None, None) => Err(ClipError::NoConfiguration),
        }
    }

    /// As [`ClipConfig::read`], of the file's content.
    pub(super) fn from_json(path: &Path, value: serde_json::Value) -> Result<Self> {
        let config = if value.get("model_cfg").is_some() {
            Self::from_open_clip(path, value)?
        } else {
            huggingface_config(path, value)?
        };
        config.check(path)?;
        Ok(config)
    }

    /// How images become pixels.
    pub fn preprocessing(&self) -> Preprocess {
        Preprocess { size: self.vision.image_size, mean: self.preprocess.mean, std: self.preprocess.std }
    }

    /// With what the user says of the model.
    pub(super) fn with(mut self, options: &ModelOptions) -> Result<Self> {
        if let Some(quick_gelu) = options.quick_gelu {
            (self.quick_gelu, self.activation_is_stated) = (quick_gelu, true);
        }
        if let Some(size) = options.image_size {
            let patch = self.vision.patch_size;
            if size == 0 || !size.is_multiple_of(patch) {
                return Err(ClipError::ImageSize { size, patch });
            }
            (self.vision.image_size, self.interpolated) = (size, true);
        }
        Ok(self)
    }

    fn from_open_clip(path: &Path, value: serde_json::Value) -> Result<Self> {
        let config = |source| ClipError::Config { path: path.to_owned(), source };
        let raw: RawFile = serde_json::from_value(value).map_err(config)?;
        let model = raw.model_cfg;
        if let Some(layers) = model.vision_cfg.get("layers")
            && layers.is_array()
        {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("vision_cfg.layers = {layers} (a ResNet)"),
                why: "only ViT image towers have attention heads in every block",
            });
        }
        refuse_unknown(path, "model_cfg", &model.other, &MODEL_KEYS)?;
        refuse_unknown(path, "vision_cfg", &model.vision_cfg, &VISION_KEYS)?;
        refuse_unknown(path, "text_cfg", &model.text_cfg, &TEXT_KEYS)?;
        let vision: RawVision = serde_json::from_value(model.vision_cfg.into()).map_err(config)?;
        let text: RawText = serde_json::from_value(model.text_cfg.into()).map_err(config)?;
        let text_width = text.width.unwrap_or(512);
        if let Some(mode) = raw.preprocess_cfg.resize_mode.as_deref().filter(|mode| *mode != "shortest") {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("preprocess_cfg.resize_mode = `{mode}`"),
                why: "the supported mode is `shortest` (shortest side, then centre crop)",
            });
        }
        if let Some(filter) = raw.preprocess_cfg.interpolation.as_deref().filter(|filter| *filter != "bicubic") {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("preprocess_cfg.interpolation = `{filter}`"),
                why: "the supported interpolation is `bicubic`",
            });
        }
        let standard = PreprocessConfig::default();
        let std = raw.preprocess_cfg.std.unwrap_or(standard.std);
        check_std(path, "preprocess_cfg.std", std)?;
        Ok(Self {
            embed_dim: model.embed_dim,
            vision: VisionConfig {
                image_size: square(path, &vision.image_size)?,
                patch_size: vision.patch_size,
                layers: vision.layers,
                width: vision.width,
                head_width: vision.head_width.unwrap_or(64),
                mlp_width: scaled(vision.width, vision.mlp_ratio),
                norm_epsilon: 1e-5,
            },
            text: TextConfig {
                context_length: text.context_length.unwrap_or(77),
                vocab_size: text.vocab_size.unwrap_or(49_408),
                width: text_width,
                heads: text.heads.unwrap_or(8),
                layers: text.layers.unwrap_or(12),
                mlp_width: scaled(text_width, text.mlp_ratio),
                norm_epsilon: 1e-5,
            },
            // OpenCLIP's default is GELU.
            quick_gelu: model.quick_gelu.unwrap_or_default(),
            activation_is_stated: model.quick_gelu.is_some(),
            interpolated: false,
            preprocess: PreprocessConfig { mean: raw.preprocess_cfg.mean.unwrap_or(standard.mean), std },
        })
    }

    fn check(&self, path: &Path) -> Result<()> {
        let wrong = |what: String| Err(ClipError::Inconsistent { path: path.to_owned(), what });
        let vision = &self.vision;
        if vision.patch_size == 0 || !vision.image_size.is_multiple_of(vision.patch_size) {
            return wrong(format!(
                "image_size {} is not a multiple of patch_size {}",
                vision.image_size, vision.patch_size
            ));
        }
        if vision.head_width == 0 || !vision.width.is_multiple_of(vision.head_width) {
            return wrong(format!(
                "vision width {} is not a multiple of head_width {}",
                vision.width, vision.head_width
            ));
        }
        if self.text.heads == 0 || !self.text.width.is_multiple_of(self.text.heads) {
            return wrong(format!("text width {} is not a multiple of heads {}", self.text.width, self.text.heads));
        }
        let counts = [vision.image_size, vision.layers, self.text.layers, self.embed_dim];
        if counts.contains(&0) || self.text.context_length < 2 {
            return wrong("image_size, layers and embed_dim must be at least 1, context_length at least 2".to_owned());
        }
        Ok(())
    }
}

fn refuse_unknown(
    path: &Path,
    section: &str,
    keys: &serde_json::Map<String, serde_json::Value>,
    known: &[&str],
) -> Result<()> {
    for (key, value) in keys {
        let harmless =
            HARMLESS.iter().any(|(name, only)| name == key && only.is_none_or(|only| *value.to_string() == *only));
        if !known.contains(&key.as_str()) && !harmless {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("{section}.{key} = {value}"),
                why: reason(key),
            });
        }
    }
    Ok(())
}

/// `image_size` is a number or a pair of equal numbers.
fn square(path: &Path, value: &serde_json::Value) -> Result<usize> {
    let side = match value {
        serde_json::Value::Array(sides) => match &sides[..] {
            [height, width] if height == width => height.as_u64(),
            _ => None,
        },
        side => side.as_u64(),
    };
    side.map(|side| side as usize).ok_or_else(|| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("vision_cfg.image_size = {value}"),
        why: "the image must be square: a whole number, or two equal ones",
    })
}

/// Pixels are divided by it.
pub(crate) fn check_std(path: &Path, key: &str, std: [f32; 3]) -> Result<()> {
    if std.iter().all(|std| *std > 0.0 && std.is_finite()) {
        return Ok(());
    }
    Err(ClipError::Inconsistent { path: path.to_owned(), what: format!("{key} {std:?} must be above 0") })
}

fn scaled(width: usize, ratio: Option<f64>) -> usize {
    // Truncation is what OpenCLIP does: `int(width * mlp_ratio)`.
    (width as f64 * ratio.unwrap_or(4.0)) as usize
}
