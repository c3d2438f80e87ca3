use std::path::PathBuf;

use headspan_artifacts::{ArtifactError, HeadId, ParquetError};

/// Why heads cannot be described from their weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadWeightsError {
    /// A table of the run could not be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The figures could not be written as Parquet.
    #[error("the directions could not be written as Parquet")]
    Write(#[from] ParquetError),
    /// Directions are named by texts, and a single one has no direction of its own.
    #[error("`{}` has fewer than two texts to name directions by", run.display())]
    NoTexts {
        /// The run.
        run: PathBuf,
    },
    /// A readout with numbers that are not finite.
    #[error("the readout of {head} holds numbers that are not finite")]
    NotFinite {
        /// The head.
        head: HeadId,
    },
    /// The run has no labels of the labeller.
    #[error("the run has no labels of `{labeller}`; it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NoLabeller {
        /// The labeller asked for.
        labeller: String,
        /// Those that it has.
        known: Vec<String>,
    },
}
