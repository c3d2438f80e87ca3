//! From the files of a checkpoint to modules with weights.

mod facts;
mod files;
mod fold;
mod heads;
mod inner_norms;
mod kind;
mod names;
mod notices;
mod positions;
mod pytorch;
mod query_pool;
mod safetensors;
mod save;
mod shards;
mod stored_rows;
mod torchscript;
pub(crate) mod weights;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use burn_store::{ModuleSnapshot, burn_pack::Tensor as StoredTensor};

pub use facts::{FittingArchitecture, TextFacts, WeightsFacts};
pub use files::{CheckpointFiles, FoundFiles};
use kind::Kind;
use names::Found;
use notices::{SHOWN_NAMES, of_calls, of_dropped, of_others};
pub(crate) use positions::Resample;
use positions::Stored;
pub use save::SavedPrecision;
pub(crate) use save::{SavedTensor, serialised};
use shards::Split;
pub(crate) use stored_rows::StoredRows;
pub(crate) use weights::ValueType;
use weights::Weights;

use crate::{
    backends::burn::{BurnVisionTower, Clip},
    error::{ClipError, Result},
    families::{
        Parts,
        clip::{ClipConfig, expected, huggingface},
        timm_names,
    },
    text_encoder::TextEncoder,
};

/// OpenCLIP's name of the token embedding.
const TOKEN_EMBEDDING: &str = "token_embedding.weight";

const POSITIONS: &str = "visual.positional_embedding";

/// The temperature. It is a scalar in PyTorch; some programs keep it as `[1]`, and some save none. No feature depends on it.
const TEMPERATURE: &str = "logit_scale";

/// How the tensors of a file are named and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointLayout {
    /// OpenCLIP's and OpenAI's names, fused `in_proj`.
    OpenClip,
    /// `CLIPModel` and `SiglipModel` of Hugging Face transformers, split q, k and v.
    HuggingFace,
    /// timm's `VisionTransformer`, alone or as the image tower of an OpenCLIP model.
    Timm,
    /// `ViTModel` and `Dinov2Model` of Hugging Face transformers.
    Vit,
    /// The image tower of `CLIPModel` or `SiglipModel` by itself.
    VisionModel,
}

impl fmt::Display for CheckpointLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenClip => "OpenCLIP's",
            Self::HuggingFace => "transformers' CLIPModel or SiglipModel",
            Self::Timm => "timm's",
            Self::Vit => "transformers' ViTModel or Dinov2Model",
            Self::VisionModel => "the image tower of transformers' CLIPModel or SiglipModel",
        })
    }
}

/// Something about a checkpoint that its user may not expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What, in a sentence.
    pub text: String,
    /// Whether results may be other ones than expected.
    pub is_warning: bool,
}

/// An opened weights file; tensors are read when they are put into a module.
#[derive(Clone)]
pub struct Checkpoint {
    path: PathBuf,
    layout: CheckpointLayout,
    /// Under OpenCLIP's names and in its layout, whatever the file's.
    tensors: BTreeMap<String, Weights>,
    notices: Vec<Notice>,
}

impl Checkpoint {
    /// Opens weights of safetensors, `torch.save` or `torch.jit.save`, in any float type. The content says which it is, not the name.
    /// Weights in several files are opened by their index, or by any of them.
    pub fn open(path: &Path) -> Result<Self> {
        // Reading the folder's entry first gives the operating system's own message for a file that is not there.
        fs_err::metadata(path)?;
        let mut notices = Vec::new();
        let mut read = |path: &Path| stored(path, &mut notices);
        let stored = match Split::find(path)? {
            Some(split) => split.tensors(read)?,
            None => read(path)?,
        };
        let first: Vec<String> = stored.keys().take(SHOWN_NAMES).cloned().collect();
        let count = stored.len();
        let Some(Found { layout, prefix, others, tensors, mut dropped }) = names::model(stored) else {
            return Err(ClipError::NoTower { path: path.to_owned(), count, first });
        };
        let tensors = match layout {
            CheckpointLayout::OpenClip => open_clip_text(tensors),
            CheckpointLayout::HuggingFace => huggingface::to_open_clip(path, tensors)?,
            CheckpointLayout::Timm => {
                huggingface::fused_parts(path, timm_names::of_timm(open_clip_text(tensors)), true)?
            }
            CheckpointLayout::VisionModel => {
                let whole = tensors.into_iter().map(|(name, tensor)| (format!("vision_model.{name}"), tensor));
                huggingface::to_open_clip(path, whole.collect())?
            }
            CheckpointLayout::Vit => huggingface::fused_parts(path, timm_names::of_vit(tensors), true)?,
        };
        let (tensors, beside): (BTreeMap<String, Weights>, BTreeMap<String, Weights>) =
            tensors.into_iter().partition(|(name, _)| expected::is_of_model(name));
        notices.extend(of_others(path, &prefix, &others));
        dropped.extend(beside.into_keys().filter(|name| !expected::is_buffer(name)));
        notices.extend(of_dropped(path, &dropped));
        Ok(Self { path: path.to_owned(), layout, tensors, notices })
    }

    /// The files that hold the weights which are opened by `path`: several, where it is an index or a shard.
    pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
        Ok(Split::find(path)?.map_or_else(|| vec![path.to_owned()], Split::into_files))
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the file's tensors are named.
    pub fn layout(&self) -> CheckpointLayout {
        self.layout
    }

    /// What its user may not expect of the model that `config` makes of it.
    pub fn notices(&self, config: &ClipConfig) -> Vec<Notice> {
        self.notices_of(&config.parts())
    }

    pub(crate) fn notices_of(&self, parts: &Parts<'_>) -> Vec<Notice> {
        let mut notices = self.notices.clone();
        if parts.text.is_some() && !self.tensors.contains_key(TEMPERATURE) {
            let text = format!("`{}` has no `{TEMPERATURE}`; no result of headspan depends on it", self.path.display());
            notices.push(Notice { text, is_warning: false });
        }
        if let Some((from, to)) = self.grids(parts).filter(|_| parts.resample.is_some()) {
            let size = |side: usize| side * parts.vision.patch_size;
            let text = format!(
                "position embeddings of `{}` are interpolated from {from} × {from} patches (image_size {}) to {to} × {to} \
                 (image_size {})",
                self.path.display(),
                size(from),
                size(to)
            );
            notices.push(Notice { text, is_warning: true });
        }
        notices
    }

    /// The stored position embeddings, if the tower can have them.
    fn positions(&self, parts: &Parts<'_>) -> Option<Stored> {
        let vision = parts.vision;
        let rows = match self.tensors.get(POSITIONS)?.shape[..] {
            [rows, width] if width == vision.width => rows,
            _ => return None,
        };
        // Registers have positions in some towers of timm; in others no token without a patch has.
        let befores = match (vision.shape.prefix(), usize::from(vision.shape.class_token)) {
            (1, 1) if vision.shape.is_plain() => vec![1],
            (prefix, class) => vec![prefix, class, 0],
        };
        Stored::of(rows, &befores, vision.grid())
    }

    /// The grid that the stored position embeddings are for and the configuration's, where they differ.
    fn grids(&self, parts: &Parts<'_>) -> Option<(usize, usize)> {
        let from = self.positions(parts)?.side;
        // With other patches it is another architecture, not another resolution.
        if self.tensors.get("visual.conv1.weight")?.shape.last() != Some(&parts.vision.patch_size) {
            return None;
        }
        let to = parts.vision.grid();
        (from != to).then_some((from, to))
    }

    /// A tensor as the configuration wants it.
    fn tensor(&self, name: &str, parts: &Parts<'_>) -> Option<Weights> {
        let stored = self.tensors.get(name)?.clone();
        if name == POSITIONS
            && let Some(own) = self.positions(parts)
        {
            let (prefix, to) = (parts.vision.shape.prefix(), parts.vision.grid());
            let is_whole = own.side == to && own.before == prefix;
            return match parts.resample {
                _ if is_whole => Some(stored),
                None if own.side != to => Some(stored),
                resample => {
                    let resample = resample.unwrap_or(Resample::Antialiased);
                    Some(positions::of_tokens(stored, own, prefix, to, resample))
                }
            };
        }
        if name == TEMPERATURE && stored.elements() == 1 {
            return Some(stored.of_shape(Vec::new()));
        }
        Some(stored)
    }

    /// Bytes of the weights once they are loaded as float32.
    pub fn loaded_bytes(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.elements() * size_of::<f32>()).sum()
    }

    /// As [`Checkpoint::loaded_bytes`], of [`Checkpoint::load_towers`].
    pub fn towers_bytes(&self) -> usize {
        let left = self.tensors.get(TOKEN_EMBEDDING).filter(|tensor| tensor.has_stored_rows());
        self.loaded_bytes() - left.map_or(0, |tensor| tensor.elements() * size_of::<f32>())
    }

    /// As [`Checkpoint::load`], but leaves the token embedding in the file, where a text's rows are read from it. Of a PyTorch file
    /// it is loaded as well.
    pub fn load_towers(&self, config: &ClipConfig, device: &Device) -> Result<(BurnVisionTower, TextEncoder)> {
        let Some(rows) = self.tensors.get(TOKEN_EMBEDDING).and_then(Weights::stored_rows) else {
            let Clip { visual, text, .. } = self.load(config, device)?;
            return Ok((visual, text.into()));
        };
        let Clip { visual, text, .. } = self.fill_model(config, device, Some(TOKEN_EMBEDDING))?;
        Ok((visual, TextEncoder::with_rows(text, rows?)))
    }

    /// Makes Burn's modules of `config` and fills them, as float32, for training ([`LoadedModel`](crate::LoadedModel) is for everything
    /// else). A tensor that is missing, extra or misshapen is an error:
    /// nothing is ever drawn at random in its place.
    pub fn load(&self, config: &ClipConfig, device: &Device) -> Result<Clip> {
        self.fill_model(config, device, None)
    }

    /// As [`Checkpoint::load`], of an image tower that has no texts.
    pub(crate) fn load_vision(&self, parts: &Parts<'_>, device: &Device) -> Result<BurnVisionTower> {
        let mut tower = BurnVisionTower::new(parts.vision, parts.embed_dim, parts.quick_gelu, device);
        self.fill(&mut tower, "visual.", parts, None)?;
        Ok(tower)
    }

    fn fill_model(&self, config: &ClipConfig, device: &Device, left_out: Option<&str>) -> Result<Clip> {
        let mut model = config.init(device);
        self.fill(&mut model, "", &config.parts(), left_out)?;
        Ok(model)
    }

    /// Fills a module, whose names are those of the whole model without `prefix`, but for one tensor, which is checked all the same.
    /// What is not filled must not be used: Burn would draw it at its first use.
    fn fill<M: ModuleSnapshot>(
        &self,
        module: &mut M,
        prefix: &str,
        parts: &Parts<'_>,
        left_out: Option<&str>,
    ) -> Result<()> {
        let tensors = self.checked(parts)?.into_iter().filter(|(name, _)| Some(name.as_str()) != left_out);
        let tensors = fold::folded(tensors.collect(), parts)
            .into_iter()
            .map(|(name, weights)| module_tensor(&name, prefix, weights))
            .collect();
        let result = module.apply(tensors, None, None, false);
        // The shapes were checked above, so what remains are unreadable bytes and a module that drifted from the table.
        let mut problems: Vec<String> = result.errors.iter().map(|error| format!("  {error}")).collect();
        let meant = |name: &str| name == TEMPERATURE || left_out.is_some_and(|left| name == format!("text.{left}"));
        let missing = result.missing.iter().filter(|(name, _)| !meant(name));
        problems.extend(missing.map(|(name, _)| format!("  `{name}` was not filled")));
        problems.extend(result.unused.iter().map(|name| format!("  `{name}` found no module")));
        if problems.is_empty() { Ok(()) } else { Err(self.misfit(problems)) }
    }

    /// All tensors of the configuration, each of its shape.
    fn checked(&self, parts: &Parts<'_>) -> Result<BTreeMap<String, Weights>> {
        if let Some((from, to)) = self.grids(parts).filter(|_| parts.resample.is_none()) {
            let size = |side: usize| side * parts.vision.patch_size;
            return Err(ClipError::Resolution { path: self.path.clone(), stored: size(from), expected: size(to) });
        }
        let expected = expected::tensors(parts);
        let of_text = |name: &&String| !name.starts_with("visual.") && name.as_str() != TEMPERATURE;
        if parts.text.is_some() && !self.tensors.keys().filter(of_text).any(|name| expected.contains_key(name)) {
            return Err(ClipError::NoTextTower { path: self.path.clone() });
        }
        let problems = self.problems(parts, &expected);
        if !problems.is_empty() {
            return Err(self.misfit(problems));
        }
        let own = |name: &String| Some((name.clone(), self.tensor(name, parts)?));
        Ok(expected.keys().filter_map(own).collect())
    }

    /// Why tensors do not fit, one line each.
    fn problems(&self, parts: &Parts<'_>, expected: &BTreeMap<String, Vec<usize>>) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, shape) in expected {
            match self.tensor(name, parts) {
                None if name == TEMPERATURE => {}
                None => problems.push(format!("  `{name}` is missing, the configuration expects {shape:?}")),
                Some(tensor) if tensor.shape != *shape => problems
                    .push(format!("  `{name}` has shape {:?}, the configuration expects {shape:?}", tensor.shape)),
                Some(tensor) if !tensor.stored_as.is_float() => {
                    problems.push(format!("  `{name}` holds {}, the configuration expects floats", tensor.stored_as));
                }
                Some(_) => {}
            }
        }
        // An image tower alone may come with a text tower, which nothing asks for.
        let is_asked_for = |name: &str| parts.text.is_some() || name.starts_with("visual.");
        let extra = self
            .tensors
            .iter()
            .filter(|(name, _)| !expected.contains_key(*name) && !expected::is_buffer(name) && is_asked_for(name));
        problems.extend(
            extra.map(|(name, tensor)| {
                format!("  `{name}` of shape {:?} has no place in this architecture", tensor.shape)
            }),
        );
        problems
    }

    fn misfit(&self, mut problems: Vec<String>) -> ClipError {
        const SHOWN: usize = 12;
        let hidden = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        if hidden > 0 {
            problems.push(format!("  and {hidden} more"));
        }
        ClipError::Tensors { path: self.path.clone(), problems }
    }
}

/// OpenCLIP stores a projection with a bias as a linear layer, and without one as its transpose.
fn open_clip_text(mut tensors: BTreeMap<String, Weights>) -> BTreeMap<String, Weights> {
    if let Some(weights) = tensors.remove("text_projection.weight") {
        tensors.insert("text_projection".to_owned(), weights.transposed());
    }
    if let Some(bias) = tensors.remove("text_projection.bias") {
        tensors.insert("text_projection_bias".to_owned(), bias);
    }
    tensors
}

/// The tensors of one file under its own names, and what its user may not expect.
fn stored(path: &Path, notices: &mut Vec<Notice>) -> Result<BTreeMap<String, Weights>> {
    match kind::of(path)? {
        Kind::Safetensors => safetensors::tensors(path),
        Kind::TorchScript => torchscript::tensors(path),
        Kind::Pytorch => {
            let stored = pytorch::tensors(path)?;
            notices.extend(of_calls(path, &pytorch::calls(path)));
            Ok(stored)
        }
    }
}

/// Names of linear layers' weights; a projection is no such layer.
const LINEAR_WEIGHTS: [&str; 4] =
    [".attn.in_proj.weight", ".attn.out_proj.weight", ".mlp.c_fc.weight", ".mlp.c_proj.weight"];

/// OpenCLIP's name and layout to our module's: Burn calls a norm's weight and bias gamma and beta, and has a linear layer's weight
/// transposed. The rest is the same by choice.
fn module_tensor(name: &str, prefix: &str, weights: Weights) -> StoredTensor {
    let mut renamed = name
        .replace("attn.in_proj_weight", "attn.in_proj.weight")
        .replace("attn.in_proj_bias", "attn.in_proj.bias")
        .replace("conv1.weight", "conv1");
    if let Some((norm, kind)) = name.rsplit_once('.').filter(|(norm, _)| is_norm(norm)) {
        renamed = format!("{norm}.{}", if kind == "weight" { "gamma" } else { "beta" });
    }
    let top_level = renamed.starts_with("visual.") || renamed == "logit_scale";
    let renamed = if top_level { renamed } else { format!("text.{renamed}") };
    let renamed = renamed.strip_prefix(prefix).map(str::to_owned).unwrap_or(renamed);
    if LINEAR_WEIGHTS.iter().any(|weight| renamed.ends_with(weight)) {
        return weights.into_transposed_tensor(renamed);
    }
    // The temperature is a scalar in PyTorch; Burn has no rank 0.
    let shape = if weights.shape.is_empty() { vec![1] } else { weights.shape.clone() };
    weights.into_tensor(renamed, shape)
}

fn is_norm(module: &str) -> bool {
    module.rsplit('.').next().is_some_and(|last| last.starts_with("ln_"))
}
