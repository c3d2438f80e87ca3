use std::{fmt, path::Path, sync::Arc};

use burn::tensor::Device;
use headspan_images::Preprocess;
use serde::{Deserialize, Serialize};

use crate::{
    backends::burn::BurnVisionTower,
    checkpoint::{Checkpoint, Notice},
    device::OpenDevice,
    error::{ClipError, Result},
    families::{FAMILIES, Pooling, TokenStyle, Towers, VisionTower, clip},
};

/// What a configuration says of a model, whatever its family.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// Image tower.
    pub vision: VisionGeometry,
    /// Texts; none for an image tower alone ([`ModelConfig::texts`]).
    pub text: Option<TextLimits>,
    /// How images become pixels.
    pub preprocess: Preprocess,
    towers: Arc<dyn FamilyTowers>,
}

/// What the user says of a model beside its configuration, or instead of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOptions {
    /// Name of an architecture of OpenCLIP, instead of a configuration file.
    pub architecture: Option<String>,
    /// Whether the activation is `QuickGELU`; none as the configuration says.
    pub quick_gelu: Option<bool>,
    /// Side of the square input in pixels; position embeddings are interpolated where the weights have another one.
    pub image_size: Option<usize>,
}

impl ModelOptions {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The activation of a model's MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// `QuickGELU` instead of GELU.
    pub quick_gelu: bool,
    /// GELU's approximation by `tanh`.
    pub tanh: bool,
    /// Whether the configuration or the user says so; else it is assumed.
    pub is_stated: bool,
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.quick_gelu, self.tanh) {
            (true, _) => "QuickGELU",
            (false, true) => "GELU by tanh",
            (false, false) => "GELU",
        })
    }
}

/// Sizes of an image tower. The first `prefix` tokens have no place in the image: the class token, where there is one, is token 0, and
/// registers follow. Token `prefix + row · grid + column` is a patch, rows from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisionGeometry {
    /// Number of blocks `L`.
    pub layers: usize,
    /// Heads `H` of a block.
    pub heads: usize,
    /// Numbers that a trace gives of a head: its width, or `d` where the tokens are pooled by attention.
    pub head_dim: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Width of the hidden layer of an MLP.
    pub mlp_width: usize,
    /// Length `d` of the joint embedding.
    pub d: usize,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Patches along one side.
    pub grid: usize,
    /// Tokens before the patches.
    pub prefix: usize,
    /// How the tokens become one representation.
    pub pooling: Pooling,
}

impl VisionGeometry {
    /// Whether traces give contributions of heads themselves, because tokens are pooled by attention.
    pub fn gives_contributions(&self) -> bool {
        self.pooling.is_attention()
    }

    /// Number of tokens `N`, those before the patches included.
    pub fn tokens(&self) -> usize {
        self.grid * self.grid + self.prefix
    }
}

/// What a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// Most tokens of a text, start and end token included.
    pub context_length: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// How texts become tokens.
    pub tokens: TokenStyle,
}

/// What makes the towers of a family: its own configuration.
pub(crate) trait FamilyTowers: fmt::Debug + Send + Sync {
    /// The family's name, for people.
    fn family(&self) -> &'static str;

    /// The configuration as OpenCLIP writes it; none where its own towers are built otherwise.
    fn open_clip(&self) -> Option<serde_json::Value> {
        None
    }

    /// Whether a checkpoint has the tensors of this configuration.
    fn check(&self, checkpoint: &Checkpoint) -> Result<()>;

    /// The configuration with what the user says of the model.
    fn with(&self, options: &ModelOptions) -> Result<ModelConfig>;

    /// The activation of the MLPs.
    fn activation(&self) -> Activation;

    /// What the user may not expect of a checkpoint.
    fn notices(&self, checkpoint: &Checkpoint) -> Vec<Notice>;

    /// Both towers with the weights of a checkpoint.
    fn load(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers>;

    /// As [`FamilyTowers::load`], but may leave in the file what a text needs little of.
    fn load_for_queries(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers>;

    /// The image tower alone.
    fn load_vision(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Box<dyn VisionTower>>;

    /// The image tower alone as Burn's module, for a family that is made of another one's tower.
    fn load_module(&self, checkpoint: &Checkpoint, device: &Device) -> Result<BurnVisionTower>;

    /// Bytes of weights that are loaded from other files than the checkpoint's.
    fn bytes_beside(&self) -> Result<usize> {
        Ok(0)
    }

    /// An image tower of these sizes with so many blocks, with weights drawn at random: for measurements.
    fn draw_vision(&self, blocks: usize, device: &OpenDevice) -> Result<Box<dyn VisionTower>>;

    /// As [`FamilyTowers::load_for_queries`], with weights drawn at random.
    fn draw(&self, device: &OpenDevice) -> Result<Towers>;
}

impl ModelConfig {
    pub(crate) fn new(
        vision: VisionGeometry,
        text: Option<TextLimits>,
        preprocess: Preprocess,
        towers: Arc<dyn FamilyTowers>,
    ) -> Self {
        Self { vision, text, preprocess, towers }
    }

    /// Reads a configuration file by the first of [`FAMILIES`] that recognises it. An error names what the family refuses.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
        // What no family recognises is read as CLIP's, so that the message says which key is missing.
        let family = FAMILIES.iter().find(|family| (family.recognises)(&value)).unwrap_or(&clip::FAMILY);
        (family.read)(path, value)
    }

    /// A configuration file and what the user says beside it. The architecture that is named, if one is, counts instead of the file.
    pub fn with_options(config: Option<&Path>, options: &ModelOptions) -> Result<Self> {
        match (&options.architecture, config) {
            (Some(name), _) => clip::config_of(name)?.towers.with(options),
            (None, Some(path)) => Self::read(path)?.towers.with(options),
            (None, None) => Err(ClipError::NoConfiguration),
        }
    }

    /// The configuration as the text of `open_clip_config.json`, for weights that [`Checkpoint::to_open_clip`] saves. `file` is the one that it was read
    /// from; what headspan does not know of it stays. An error for a family that OpenCLIP has under other names.
    pub fn open_clip_json(&self, file: Option<&Path>) -> Result<String> {
        let read = |path: &Path| -> Result<serde_json::Value> {
            let text = fs_err::read_to_string(path)?;
            serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.to_owned(), source })
        };
        let written = file.map(read).transpose()?.filter(|value| value.get("model_cfg").is_some());
        let mut value =
            written.or_else(|| self.towers.open_clip()).ok_or(ClipError::SavedFamily { family: self.family() })?;
        // What the user said counts beside what stood there.
        value["model_cfg"]["quick_gelu"] = self.activation().quick_gelu.into();
        value["model_cfg"]["vision_cfg"]["image_size"] = self.vision.image_size.into();
        Ok(format!("{value:#}"))
    }

    /// What a text may be. An error for an image tower alone.
    pub fn texts(&self) -> Result<&TextLimits> {
        self.text.as_ref().ok_or(ClipError::NoTexts)
    }

    /// The name of the model's family, for people.
    pub fn family(&self) -> &'static str {
        self.towers.family()
    }

    /// The activation of the MLPs, and whether it is assumed.
    pub fn activation(&self) -> Activation {
        self.towers.activation()
    }

    /// Bytes of weights that are loaded as float32 from other files than the checkpoint's: the texts of an aligned tower.
    pub fn bytes_beside(&self) -> Result<usize> {
        self.towers.bytes_beside()
    }

    /// What the user may not expect of the model that a checkpoint gives.
    pub fn notices(&self, checkpoint: &Checkpoint) -> Vec<Notice> {
        self.towers.notices(checkpoint)
    }

    pub(crate) fn towers(&self) -> &dyn FamilyTowers {
        &*self.towers
    }
}
