use std::path::PathBuf;

use headspan_artifacts::ArtifactError;

/// Why a run cannot be compared with the true attributes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// An artifact of the run.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The attribute table cannot be read.
    #[error("attribute table `{path}` cannot be read")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ArtifactError,
    },
    /// No image of the run is in the attribute table.
    #[error("`{path}` lists none of the run's {images} images")]
    NoImages {
        /// The attribute table.
        path: PathBuf,
        /// Images of the run.
        images: usize,
    },
    /// A prompt that the run's pool does not have.
    #[error("the run has no description {text:?}")]
    NoPrompt {
        /// The prompt.
        text: String,
    },
    /// A head without a readout or moments.
    #[error("head {head} has no {what}")]
    NoHead {
        /// The head.
        head: String,
        /// What is missing.
        what: &'static str,
    },
    /// A category that the attribute table or the prompts do not have.
    #[error("neither the attribute table nor the descriptions have the category `{category}`")]
    NoCategory {
        /// The category.
        category: String,
    },
}
