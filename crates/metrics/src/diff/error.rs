use std::path::PathBuf;

use headspan_artifacts::{ArtifactError, HeadId, ParquetError};

use crate::diff::Pairing;

/// Why two runs cannot be compared head by head.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// A table of a run could not be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The figures could not be written as Parquet.
    #[error("the differences could not be written as Parquet")]
    Write(#[from] ParquetError),
    /// The runs are over different images.
    #[error("`{}` and `{}` are over different images", before.display(), after.display())]
    OtherImages {
        /// Run before.
        before: PathBuf,
        /// Run after.
        after: PathBuf,
    },
    /// Heads at the same position do not exist.
    #[error("heads cannot be paired by position: `{}` has no {head}", run.display())]
    NoHead {
        /// The run without the head.
        run: PathBuf,
        /// The head.
        head: HeadId,
    },
    /// An assignment compares outputs over images.
    #[error("heads can be {pairing} only over activations of the same images, and the runs have none in common")]
    NoActivations {
        /// How heads were to be paired.
        pairing: Pairing,
    },
    /// A labeller that not both runs have.
    #[error("not both runs have labels of `{labeller}`; in common they have {}", listed(common))]
    NoLabeller {
        /// The labeller asked for.
        labeller: String,
        /// Those that both have.
        common: Vec<String>,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
