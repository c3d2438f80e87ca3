use std::path::PathBuf;

use crate::precision::Precision;

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
    /// Weights in more than one file.
    #[error("`{path}` is one of several files of a sharded checkpoint; the weights must be in one file")]
    Sharded {
        /// The file.
        path: PathBuf,
    },
    /// A configuration contradicts itself.
    #[error("`{path}`: {what}")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// The keys and their values.
        what: String,
    },
    /// A safetensors file could not be opened.
    #[error("`{path}` is not a readable safetensors file")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: burn_store::SafetensorsStoreError,
    },
    /// A PyTorch file could not be opened.
    #[error("`{path}` is not a readable PyTorch checkpoint")]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: burn_store::PytorchStoreError,
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
    /// Something was asked of the CPU pass that only Burn's keeps.
    #[error("the CPU pass does not keep {what}: `VisionTower::trace` does")]
    NotTraced {
        /// What was asked for.
        what: &'static str,
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
    /// A device failed while reading results back.
    #[error("the device failed while {doing}")]
    Device {
        /// What was under way.
        doing: &'static str,
        /// What Burn said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a device is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceProblem {
    /// The program was built without the backend.
    #[error("this headspan was built without it")]
    NotBuiltIn,
    /// The driver does not list it.
    #[error("no such device was found")]
    NotFound,
    /// It cannot add two numbers.
    #[error("its driver failed at the first operation")]
    DriverFailed,
}

/// Result with [`ClipError`].
pub type Result<T, E = ClipError> = std::result::Result<T, E>;
