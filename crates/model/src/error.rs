use std::path::PathBuf;

use headspan_headspace::HeadId;

use crate::{backends::cuda::CudaProblem, checkpoint::CheckpointLayout, precision::Precision};

/// What can go wrong between a checkpoint's files and a model on a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The operating system refused; the source names the path and the call.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A checkpoint folder lacks a file.
    #[error("`{folder}` has no {what}: expected {}", expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "))]
    MissingFile {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// What the file would be.
        what: &'static str,
        /// The names looked for, in order.
        expected: &'static [&'static str],
    },
    /// A configuration is not the JSON that is expected.
    #[error("`{path}` is not a CLIP configuration")]
    Config {
        /// The file.
        path: PathBuf,
        /// What the JSON library said, with line and column.
        source: serde_json::Error,
    },
    /// A configuration describes a model that headspan does not decompose.
    #[error("`{path}`: {what} is not supported: {why}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Key and value.
        what: String,
        /// Why, or what is supported instead.
        why: &'static str,
    },
    /// Of weights in several files, one is not there.
    #[error("`{missing}` is missing, a part of the weights that `{path}` belongs to")]
    NoShard {
        /// The index, or one of the files.
        path: PathBuf,
        /// The file that is not there.
        missing: PathBuf,
    },
    /// An index of weights in several files cannot be read.
    #[error("`{path}` is not an index of weights in several files")]
    ShardIndex {
        /// The index.
        path: PathBuf,
        /// What the JSON library said, with line and column.
        source: serde_json::Error,
    },
    /// An index names a tensor that its files do not have.
    #[error("`{index}` says that `{file}` holds `{tensor}`, which it does not")]
    NotInShard {
        /// The index.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file.
        file: PathBuf,
    },
    /// A configuration contradicts itself.
    #[error("`{path}`: {what}")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The keys and their values.
        what: String,
    },
    /// A file is no weights at all.
    #[error("`{path}` holds no weights: it is {kind}")]
    NotWeights {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: ForeignFile,
    },
    /// A file ends before what it describes.
    #[error("`{path}` is cut off: {what}")]
    CutOff {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The header of a safetensors file is not the JSON that is expected.
    #[error("`{path}` has no valid safetensors header")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the JSON library said.
        source: serde_json::Error,
    },
    /// A PyTorch file could not be opened.
    #[error("`{path}` is not a readable PyTorch checkpoint")]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: Box<pytorch_reader::PytorchError>,
    },
    /// A TorchScript archive whose tensors cannot be found.
    #[error("`{path}` is a TorchScript archive (torch.jit.save) that cannot be read: {what}")]
    TorchScript {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A pickle holds an object that only its own program can make.
    #[error(
        "`{path}` is a pickle with an object of `{class}`, which only the program that wrote it can read; headspan runs no code of a checkpoint"
    )]
    ForeignClass {
        /// The file.
        path: PathBuf,
        /// Class or function, with its module.
        class: String,
    },
    /// A file without the first layer of an image tower.
    #[error(
        "`{path}` has no image tower of CLIP: none of its {count} tensors is a `visual.conv1.weight` ({})",
        listed(first)
    )]
    NoTower {
        /// The file.
        path: PathBuf,
        /// Number of its tensors.
        count: usize,
        /// The first of their names.
        first: Vec<String>,
    },
    /// A file with an image tower alone.
    #[error("`{path}` has an image tower and no text tower; headspan describes heads by texts and needs both")]
    NoTextTower {
        /// The file.
        path: PathBuf,
    },
    /// Something needs texts of an image tower alone.
    #[error("this tower has no texts: it was trained on images alone, or its text tower is not part of the model")]
    NoTexts,
    /// An `alignment.json` is not the JSON that is expected.
    #[error("`{path}` does not describe an aligned model")]
    Alignment {
        /// The file.
        path: PathBuf,
        /// What the JSON library said, with line and column.
        source: serde_json::Error,
    },
    /// A file that an aligned model is made of is not there.
    #[error("`{path}` refers to `{missing}` ({what}), which does not exist")]
    AlignmentPart {
        /// The `alignment.json`.
        path: PathBuf,
        /// What the file would be.
        what: &'static str,
        /// The file.
        missing: PathBuf,
    },
    /// The map of an aligned model cannot be read.
    #[error("`{path}` is not a map in safetensors")]
    AlignmentMap {
        /// The file.
        path: PathBuf,
        /// What the safetensors library said.
        source: safetensors::SafeTensorError,
    },
    /// Something was said of an aligned model that its map depends on.
    #[error("architecture, activation and image size of an aligned model are those that its map was fitted with")]
    FixedByAlignment,
    /// One attention and value were asked for of a tower whose pooling looks at every token several times.
    #[error("a token has no single attention in this model: its tokens are pooled by attention")]
    NoSingleAttention,
    /// Position embeddings for another number of patches.
    #[error("the position embeddings of `{path}` are for images of {stored} pixels, the configuration says {expected}")]
    Resolution {
        /// The file.
        path: PathBuf,
        /// Side that the weights are for.
        stored: usize,
        /// Side that the configuration says.
        expected: usize,
    },
    /// A folder has several files that may be the weights.
    #[error("`{}` has {} files that may be the weights: {}", folder.display(), found.len(), file_names(found))]
    SeveralWeights {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// The files.
        found: Vec<PathBuf>,
    },
    /// A name that stands for no architecture.
    #[error("unknown architecture `{name}`")]
    UnknownArchitecture {
        /// The name.
        name: String,
    },
    /// Neither a configuration file nor the name of an architecture.
    #[error("there is neither a configuration file nor the name of an architecture")]
    NoConfiguration,
    /// A head that is to be scaled does not exist, or its factor is not a finite number.
    #[error("{head} cannot be scaled by {scale}: the model has no such head, or the factor is not a finite number")]
    ScaledHead {
        /// The head.
        head: HeadId,
        /// Its factor.
        scale: f32,
    },
    /// Heads of a tower whose outputs are normalised together cannot be scaled in its weights.
    #[error(
        "{head} cannot be scaled in the weights: a norm takes the outputs of all heads together before the output projection"
    )]
    ScaledNorm {
        /// The first head that was to be scaled.
        head: HeadId,
    },
    /// A family that OpenCLIP's own towers do not have.
    #[error("a {family} cannot be saved for OpenCLIP: its towers are built otherwise")]
    SavedFamily {
        /// The family.
        family: &'static str,
    },
    /// Weights whose names and layout OpenCLIP does not load.
    #[error("`{path}` cannot be saved for OpenCLIP: its names are {layout}")]
    SavedLayout {
        /// The file.
        path: PathBuf,
        /// How its tensors are named.
        layout: CheckpointLayout,
    },
    /// An image size that no whole number of patches fills.
    #[error("image_size {size} is not a multiple of the model's patch size {patch}")]
    ImageSize {
        /// The size asked for.
        size: usize,
        /// The patch size.
        patch: usize,
    },
    /// Tensors do not match the configuration.
    #[error("`{path}` does not fit its configuration:\n{}", problems.join("\n"))]
    Tensors {
        /// The file.
        path: PathBuf,
        /// One line a tensor: its name, and both shapes where it is misshapen.
        problems: Vec<String>,
    },
    /// Weights could not be put into a file.
    #[error("the weights cannot be saved")]
    Save {
        /// What the safetensors library said.
        source: safetensors::SafeTensorError,
    },
    /// A tensor could not be put into a file.
    #[error("tensor `{tensor}` cannot be saved")]
    SaveTensor {
        /// The tensor's name in the file.
        tensor: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tokenizer file could not be read or used.
    #[error("tokenizer `{path}` cannot be used")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizers library said.
        source: tokenizers::Error,
    },
    /// A tokenizer has no such special token.
    #[error("tokenizer `{path}` has no token `{token}`: it is not a CLIP tokenizer")]
    NoSpecialToken {
        /// The file.
        path: PathBuf,
        /// The token looked for.
        token: &'static str,
    },
    /// A tokenizer yields ids that the model has no embedding for.
    #[error(
        "text {text:?} has token id {id}, the model's vocabulary has {vocabulary}: tokenizer and weights do not match"
    )]
    TokenOutOfVocabulary {
        /// The text.
        text: String,
        /// The id.
        id: u32,
        /// The model's vocabulary size.
        vocabulary: usize,
    },
    /// A requested layer does not exist.
    #[error("layer {layer} was asked for, the model has layers 0 to {last}")]
    NoLayer {
        /// The layer asked for.
        layer: usize,
        /// The last layer.
        last: usize,
    },
    /// A precision that the device does not have.
    #[error("`images.precision = \"{precision}\"`: {why}")]
    Precision {
        /// What was asked for.
        precision: Precision,
        /// Why not.
        why: &'static str,
    },
    /// Pixels are not a whole number of images.
    #[error("{values} pixel values are not a whole number of images of {image}")]
    Pixels {
        /// Values given.
        values: usize,
        /// Values of an image.
        image: usize,
    },
    /// The device asked for is not there.
    #[error("device `{wanted}` is not available")]
    NoDevice {
        /// The device asked for.
        wanted: String,
        /// Why.
        source: DeviceProblem,
    },
    /// A device failed.
    #[error("the device failed while {doing}")]
    Device {
        /// What was under way.
        doing: &'static str,
        /// What Burn or CUDA said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<CudaProblem> for ClipError {
    fn from(problem: CudaProblem) -> Self {
        Self::Device { doing: "computing by CUDA", source: problem.into() }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "it has none".to_owned();
    }
    let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("the first are {}", shown.join(", "))
}

fn file_names(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 8;
    let names = paths.iter().take(SHOWN).filter_map(|path| path.file_name());
    let mut shown: Vec<String> = names.map(|name| format!("`{}`", name.display())).collect();
    if paths.len() > SHOWN {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// What people hand in for weights, most of it what a server sent instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignFile {
    /// No byte.
    #[error("an empty file")]
    Empty,
    /// HTML.
    #[error("a web page (HTML)")]
    WebPage,
    /// JSON.
    #[error("JSON text, as servers send for an error")]
    Json,
    /// What Git keeps in place of a large file.
    #[error("a Git LFS pointer, which stands for the file")]
    LfsPointer,
    /// Other text.
    #[error("text")]
    Text,
    /// Nothing but zeros, which a download left that reserved the space.
    #[error("filled with zeros")]
    Zeros,
    /// A zip archive of something else.
    #[error("a zip archive without a PyTorch checkpoint (`data.pkl`)")]
    Zip,
    /// Something compressed.
    #[error("compressed with {0}; unpack it first")]
    Compressed(&'static str),
    /// Another known format.
    #[error("{0}, a format that headspan does not read")]
    Format(&'static str),
    /// A file named as safetensors that does not begin as one.
    #[error("named safetensors and has no header of that format")]
    BadHeader,
    /// Anything else.
    #[error("of a format that headspan does not know")]
    Unknown,
}

/// Why a device is not available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceProblem {
    /// CUDA cannot be used.
    #[error(transparent)]
    Cuda(#[from] CudaProblem),
    /// The driver does not list it.
    #[error("no such device was found")]
    NotFound,
    /// It cannot add two numbers.
    #[error("its driver failed at the first operation")]
    DriverFailed,
}

/// Result with [`ClipError`].
pub type Result<T, E = ClipError> = std::result::Result<T, E>;
