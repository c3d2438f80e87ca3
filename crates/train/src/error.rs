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
    Clip(#[from] headspan_model::ClipError),
    /// An image of the data set cannot be read.
    #[error(transparent)]
    Read(#[from] headspan_images::ReadError),
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] headspan_images::ImageError),
    /// A file of a run could not be hashed or written.
    #[error(transparent)]
    Artifact(#[from] headspan_artifacts::ArtifactError),
    /// A model whose layout headspan does not write.
    #[error(
        "only CLIP as OpenAI built it can be trained further: class token, a norm before the blocks, causal texts, no LayerScale"
    )]
    Family,
    /// An image that captions cannot be made for.
    #[error("`{image}` has no class, so it has no caption")]
    NoClass {
        /// Id of the image.
        image: String,
    },
    /// Images that say nothing against each other.
    #[error("all images are of one class, `{name}`")]
    OneClass {
        /// Name of the class.
        name: String,
    },
    /// A class of the images for tests that was not trained.
    #[error("the images to measure on have the class `{name}`, which the images to learn from have not")]
    UnknownClass {
        /// Name of the class.
        name: String,
    },
    /// Too little to learn from.
    #[error("{images} images are left to learn from: a contrast needs 2 or more")]
    TooFewImages {
        /// Their number.
        images: usize,
    },
    /// One image after another that cannot be read.
    #[error("{images} images one after another cannot be read")]
    Unreadable {
        /// Their number.
        images: u64,
    },
    /// A recipe that contradicts itself.
    #[error("the recipe's {key}: {what}")]
    Recipe {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        what: String,
    },
    /// A model to begin with that is not of the recipe's architecture.
    #[error("`{path}` says {key} = {found}, the recipe gives {expected}")]
    OtherModel {
        /// The model's configuration.
        path: PathBuf,
        /// First key that differs.
        key: String,
        /// Its value there.
        found: String,
        /// Its value by the recipe.
        expected: String,
    },
    /// The tokenizers library failed while learning the merges.
    #[error("the tokenizer cannot be trained")]
    Tokenizer {
        /// What the library said.
        source: tokenizers::Error,
    },
    /// A checkpoint of another recipe.
    #[error("`{path}` was trained with another recipe (it differs in {key})")]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// First key that differs.
        key: String,
    },
    /// A checkpoint that cannot be read.
    #[error("`{path}` is not a readable training checkpoint")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The training curve could not be written.
    #[error("`{path}` cannot be written")]
    Curve {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: parquet::errors::ParquetError,
    },
    /// The loss is no longer a number.
    #[error("the loss of step {step} is {loss}")]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f32,
    },
    /// Trained weights that the model's file cannot hold: float16 ends at 65,504.
    #[error(
        "the trained weights are not finite: tensor `{tensor}` has a value that is NaN or too large; no model was written"
    )]
    Weights {
        /// First tensor with such a value.
        tensor: String,
    },
    /// Features that point nowhere, so that nothing is nearest to them.
    #[error("the model's {what} features are not finite or all zero (norm {norm})")]
    Features {
        /// Of images or of texts.
        what: &'static str,
        /// The norm that is not finite and above zero.
        norm: f32,
    },
    /// A value that the device did not give back.
    #[error("{what} could not be read back from the device")]
    Device {
        /// Which value.
        what: &'static str,
        /// What the device said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Result of this crate.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;
