use std::path::PathBuf;

/// Why training cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The model or its files.
    #[error(transparent)]
    Clip(#[from] headspan_clip::ClipError),
    /// A recipe that contradicts itself.
    #[error("the recipe's {key}: {what}")]
    Recipe {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        what: String,
    },
    /// The tokenizers library failed while learning the merges.
    #[error("the tokenizer cannot be trained: {source}")]
    Tokenizer {
        /// What the library said.
        source: tokenizers::Error,
    },
    /// A checkpoint of another recipe.
    #[error(
        "`{path}` was trained by another recipe (it differs in {key}); train into another folder, or remove this one to \
         start anew"
    )]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// First key that differs.
        key: String,
    },
    /// A checkpoint that cannot be read.
    #[error("`{path}` is not a readable training checkpoint ({message}); remove it to start anew")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The training curve could not be written.
    #[error("writing `{path}`: {source}; the disk may be full")]
    Curve {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: parquet::errors::ParquetError,
    },
    /// The loss is no longer a number.
    #[error("the loss of step {step} is {loss}; lower `learning_rate` or lengthen `warmup_steps`")]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f32,
    },
    /// A value that the device did not give back.
    #[error("the device did not give back {what}: {message}")]
    Device {
        /// Which value.
        what: &'static str,
        /// What the device said.
        message: String,
    },
}

/// Result of this crate.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;
