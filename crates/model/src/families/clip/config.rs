use std::path::Path;

use fs_err as fs;
use headspan_images::{Preprocess, Resize};
use serde::Serialize;

use crate::{
    checkpoint::Resample,
    error::{ClipError, Result},
    families::{
        ModelOptions, Parts, Pooling, TextStyle, VisionShape,
        clip::{architectures, huggingface::config as huggingface_config, open_clip, siglip},
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

/// Image tower: a `ViT`.
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
    /// How it is built; that of OpenAI's CLIP by default.
    #[serde(skip)]
    pub shape: VisionShape,
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

    /// Number of tokens `N`, those without a patch included.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + self.shape.prefix()
    }

    /// Why its heads cannot have the positions that it says.
    pub(crate) fn rotary_problem(&self) -> Option<String> {
        let is_odd = self.shape.rotary.is_some() && !self.head_width.is_multiple_of(4);
        is_odd.then(|| format!("rotary positions need heads of a multiple of 4 channels, not {}", self.head_width))
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
    /// How it is built; that of OpenAI's CLIP by default.
    #[serde(skip)]
    pub style: TextStyle,
}

/// How images become pixels: resize (Pillow's bicubic), centre crop, normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PreprocessConfig {
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
    /// How an image is resized.
    #[serde(skip)]
    pub resize: Resize,
}

impl PreprocessConfig {
    /// For a square of so many pixels.
    pub(crate) fn of_size(&self, size: usize) -> Preprocess {
        Preprocess { size, resize: self.resize, mean: self.mean, std: self.std }
    }
}

impl Default for PreprocessConfig {
    fn default() -> Self {
        Self { mean: OPENAI_MEAN, std: OPENAI_STD, resize: Resize::default() }
    }
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
            open_clip::config(path, value)?
        } else {
            match value.get("model_type").and_then(serde_json::Value::as_str) {
                Some("siglip") => siglip::config(path, &value)?,
                Some("siglip2") => {
                    return Err(ClipError::Unsupported {
                        path: path.to_owned(),
                        what: "model_type = `siglip2`".to_owned(),
                        why: "its images have any number of patches (NaFlex); SigLIP 2 of a fixed resolution is a `siglip`",
                    });
                }
                _ => huggingface_config(path, value)?,
            }
        };
        config.check(path)?;
        Ok(config)
    }

    /// How images become pixels.
    pub fn preprocessing(&self) -> Preprocess {
        self.preprocess.of_size(self.vision.image_size)
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

    /// What says which tensors a checkpoint has.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            vision: &self.vision,
            embed_dim: self.embed_dim,
            text: Some(&self.text),
            quick_gelu: self.quick_gelu,
            resample: self.interpolated.then_some(Resample::Antialiased),
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        let wrong = |what: String| Err(ClipError::Inconsistent { path: path.to_owned(), what });
        let vision = &self.vision;
        if vision.patch_size == 0 || (1..vision.patch_size).contains(&vision.image_size) {
            return wrong(format!("image_size {} is less than patch_size {}", vision.image_size, vision.patch_size));
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
        if let Some(what) = vision.rotary_problem() {
            return wrong(what);
        }
        if let Pooling::Queries { heads, queries } = vision.shape.pooling
            && (heads == 0 || queries == 0 || !self.embed_dim.is_multiple_of(heads))
        {
            return wrong(format!("embed_dim {} is not a multiple of attn_pooler_heads {heads}", self.embed_dim));
        }
        let counts = [vision.image_size, vision.layers, self.text.layers, self.embed_dim];
        if counts.contains(&0) || self.text.context_length < 2 {
            return wrong("image_size, layers and embed_dim must be at least 1, context_length at least 2".to_owned());
        }
        Ok(())
    }
}

/// `image_size` is a number or a pair of equal numbers.
pub(crate) fn square(path: &Path, key: &str, value: &serde_json::Value) -> Result<usize> {
    let side = match value {
        serde_json::Value::Array(sides) => match &sides[..] {
            [height, width] if height == width => height.as_u64(),
            _ => None,
        },
        side => side.as_u64(),
    };
    side.map(|side| side as usize).ok_or_else(|| ClipError::Unsupported {
        path: path.to_owned(),
        what: format!("{key} = {value}"),
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
