//! From the files of a checkpoint to modules with weights.

mod names;
mod read;
mod save;
mod shards;
mod stored_rows;
pub(crate) mod weights;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use burn_store::{ModuleSnapshot, ModuleStore, PytorchStore, burn_pack::Tensor as StoredTensor};

pub use save::SavedPrecision;
pub(crate) use stored_rows::StoredRows;
use weights::Weights;

use crate::families::clip::{expected, huggingface};

use crate::{
    backends::burn::{BurnVisionTower, Clip},
    device::rounds_factors,
    error::{ClipError, Result},
    families::clip::ClipConfig,
    text_encoder::TextEncoder,
};

const CONFIG_NAMES: &[&str] = &["open_clip_config.json", "config.json"];
const WEIGHT_NAMES: &[&str] = &[
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "open_clip_model.pt",
    "model.pt",
];
const TOKENIZER_NAMES: &[&str] = &["tokenizer.json"];

/// OpenCLIP's name of the token embedding.
const TOKEN_EMBEDDING: &str = "token_embedding.weight";

/// The three files of a checkpoint folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFiles {
    /// `open_clip_config.json`, or the `config.json` of Hugging Face transformers.
    pub config: PathBuf,
    /// Weights.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
}

impl CheckpointFiles {
    /// Finds the files in a folder, the first name that exists of each kind.
    pub fn find(folder: &Path) -> Result<Self> {
        let find = |what: &'static str, expected: &'static [&'static str]| {
            expected
                .iter()
                .map(|name| folder.join(name))
                .find(|path| path.is_file())
                .ok_or_else(|| ClipError::MissingFile { folder: folder.to_owned(), what, expected })
        };
        let whole = |missing: ClipError| shards::in_folder(folder).map_or(missing, shards::unsupported);
        Ok(Self {
            config: find("configuration", CONFIG_NAMES)?,
            weights: find("weights", WEIGHT_NAMES).map_err(whole)?,
            tokenizer: find("tokenizer", TOKENIZER_NAMES)?,
        })
    }
}

/// How the tensors of a file are named and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointLayout {
    /// OpenCLIP's and OpenAI's names, fused `in_proj`.
    OpenClip,
    /// `CLIPModel` of Hugging Face transformers, split q, k and v.
    HuggingFace,
}

/// An opened weights file; tensors are read when they are put into a module.
pub struct Checkpoint {
    path: PathBuf,
    layout: CheckpointLayout,
    /// Under OpenCLIP's names and in its layout, whatever the file's.
    tensors: BTreeMap<String, Weights>,
}

impl Checkpoint {
    /// Opens safetensors (`.safetensors`) or PyTorch (`.bin`, `.pt`, `.pth`) weights in any float type.
    pub fn open(path: &Path) -> Result<Self> {
        // Reading the folder's entry first gives the operating system's own message for a file that is not there.
        fs_err::metadata(path)?;
        shards::refuse(path)?;
        let stored = if path.extension().is_some_and(|extension| extension == "safetensors") {
            read::safetensors(path)?
        } else {
            let mut store = PytorchStore::from_file(path);
            let tensors =
                store.get_all_tensors().map_err(|source| ClipError::Pytorch { path: path.to_owned(), source })?;
            tensors.iter().map(|(name, tensor)| (name.clone(), Weights::whole(tensor.clone()))).collect()
        };
        let stored: BTreeMap<String, Weights> = names::unwrapped(stored);
        let layout = if stored.keys().any(|name| name.starts_with("vision_model.")) {
            CheckpointLayout::HuggingFace
        } else {
            CheckpointLayout::OpenClip
        };
        let tensors = match layout {
            CheckpointLayout::OpenClip => stored,
            CheckpointLayout::HuggingFace => huggingface::to_open_clip(path, stored)?,
        };
        Ok(Self { path: path.to_owned(), layout, tensors })
    }

    /// How the file's tensors are named.
    pub fn layout(&self) -> CheckpointLayout {
        self.layout
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
        let Clip { visual, text, .. } = self.fill(config, device, Some(TOKEN_EMBEDDING))?;
        Ok((visual, TextEncoder::with_rows(text, rows?)))
    }

    /// Makes Burn's modules of `config` and fills them, as float32, for training ([`LoadedModel`](crate::LoadedModel) is for everything
    /// else). A tensor that is missing, extra or misshapen is an error:
    /// nothing is ever drawn at random in its place. On a device whose matrix units round what they multiply, products are split
    /// ([`Clip::with_split_products`]).
    pub fn load(&self, config: &ClipConfig, device: &Device) -> Result<Clip> {
        self.fill(config, device, None)
    }

    /// Fills the modules but for one tensor, which is checked all the same. What is not filled must not be used: Burn would draw it at
    /// its first use.
    fn fill(&self, config: &ClipConfig, device: &Device, left_out: Option<&str>) -> Result<Clip> {
        let expected = expected::tensors(config);
        let mut problems = Vec::new();
        for (name, shape) in &expected {
            match self.tensors.get(name) {
                None => problems.push(format!("  `{name}` is missing, the configuration expects {shape:?}")),
                Some(tensor) if tensor.shape != *shape => problems
                    .push(format!("  `{name}` has shape {:?}, the configuration expects {shape:?}", tensor.shape)),
                Some(tensor) if !tensor.dtype.is_float() => {
                    problems.push(format!("  `{name}` holds {:?}, the configuration expects floats", tensor.dtype));
                }
                Some(_) => {}
            }
        }
        let extra = self.tensors.iter().filter(|(name, _)| !expected.contains_key(*name) && !expected::is_buffer(name));
        problems.extend(
            extra.map(|(name, tensor)| {
                format!("  `{name}` of shape {:?} has no place in this architecture", tensor.shape)
            }),
        );
        if !problems.is_empty() {
            return Err(self.misfit(problems));
        }
        let tensors = expected
            .keys()
            .filter(|name| Some(name.as_str()) != left_out)
            .filter_map(|name| self.tensors.get(name).map(|tensor| module_tensor(name, tensor.clone())))
            .collect();
        let mut model = config.init(device);
        let result = model.apply(tensors, None, None, false);
        // The shapes were checked above, so what remains are unreadable bytes and a module that drifted from the table.
        let mut problems: Vec<String> = result.errors.iter().map(|error| format!("  {error}")).collect();
        let meant = |name: &str| left_out.is_some_and(|left| name == format!("text.{left}"));
        let missing = result.missing.iter().filter(|(name, _)| !meant(name));
        problems.extend(missing.map(|(name, _)| format!("  `{name}` was not filled")));
        problems.extend(result.unused.iter().map(|name| format!("  `{name}` found no module")));
        if !problems.is_empty() {
            return Err(self.misfit(problems));
        }
        Ok(if rounds_factors(device) { model.with_split_products() } else { model })
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

/// Names of linear layers' weights; a projection is no such layer.
const LINEAR_WEIGHTS: [&str; 4] =
    [".attn.in_proj.weight", ".attn.out_proj.weight", ".mlp.c_fc.weight", ".mlp.c_proj.weight"];

/// OpenCLIP's name and layout to our module's: Burn calls a norm's weight and bias gamma and beta, and has a linear layer's weight
/// transposed. The rest is the same by choice.
fn module_tensor(name: &str, weights: Weights) -> StoredTensor {
    let mut renamed = name
        .replace("attn.in_proj_weight", "attn.in_proj.weight")
        .replace("attn.in_proj_bias", "attn.in_proj.bias")
        .replace("conv1.weight", "conv1");
    if let Some((norm, kind)) = name.rsplit_once('.').filter(|(norm, _)| is_norm(norm)) {
        renamed = format!("{norm}.{}", if kind == "weight" { "gamma" } else { "beta" });
    }
    let top_level = renamed.starts_with("visual.") || renamed == "logit_scale";
    let renamed = if top_level { renamed } else { format!("text.{renamed}") };
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
