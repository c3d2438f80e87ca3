use std::path::PathBuf;

use headspan_artifacts::ArtifactError;
use headspan_model::ClipError;

use crate::pool::PoolError;
use headspan_images::{DatasetError, ReadError};

/// What stops an extraction. A bad image does not, unless the run is strict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// Whoever was told of progress asked to stop.
    #[error("stopped; what is committed stays, and the same call continues it")]
    Stopped,
    /// The data set could not be listed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The description pool could not be read.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The model failed.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// A file of the run could not be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A bad image in a strict run.
    #[error("image `{image_id}`: {message}")]
    BadImage {
        /// The image.
        image_id: String,
        /// What is wrong with it.
        message: String,
    },
    /// The machine could not read an image.
    #[error("image `{image_id}` could not be read")]
    Unreadable {
        /// The image.
        image_id: String,
        /// Why; [`ReadError::is_of_the_machine`] holds.
        source: ReadError,
    },
    /// No image of the data set could be used.
    #[error("none of the {images} images could be decoded; the first error: {first}")]
    NothingDecoded {
        /// Images of the data set.
        images: u64,
        /// Why the first was skipped.
        first: String,
    },
    /// The run's own check failed.
    #[error(
        "the {check} check failed on the first batch: error {error:.2e} of the largest value, tolerance {tolerance:.0e}"
    )]
    Check {
        /// `sum identity` or `CPU probe`.
        check: &'static str,
        /// Error over the largest absolute value.
        error: f64,
        /// What was allowed.
        tolerance: f64,
    },
    /// NaN or infinities, on whatever device.
    #[error("the {check} check found values that are not finite in the first batch")]
    NotFinite {
        /// `sum identity` or `CPU probe`.
        check: &'static str,
    },
    /// A text whose feature has no direction.
    #[error("the feature of the text {text:?} is not a finite direction")]
    NoFeature {
        /// The text.
        text: String,
    },
    /// Fewer images than a map between two models needs.
    #[error(
        "a map needs {needed} images to be fitted on, as many as the tower's representation is long, and {least} held-out ones; there are \
         {fitted} and {held_out}"
    )]
    TooFewImages {
        /// Images that the map would be fitted on.
        fitted: u64,
        /// Held-out images.
        held_out: u64,
        /// Length of the tower's representation.
        needed: u64,
        /// Fewest held-out images.
        least: u64,
    },
    /// Representations from which no map can be computed.
    #[error("the representations give no map: their moments are not finite")]
    NoMap,
    /// A layer selection that the model does not have.
    #[error("layers `{selection}`: {why}")]
    Layers {
        /// As it was given.
        selection: String,
        /// What is wrong.
        why: String,
    },
    /// Not all parts are there.
    #[error("{missing} of {total} activation parts are missing")]
    PartsMissing {
        /// Parts that are not there.
        missing: u64,
        /// All parts.
        total: u64,
    },
    /// Sums of parts that are not of the run's heads.
    #[error("`{path}` has sums of other heads or lengths than the parts before it")]
    Sums {
        /// The file.
        path: PathBuf,
    },
    /// The machine has no thread left for a worker.
    #[error("could not start a worker thread")]
    Thread(#[source] std::io::Error),
    /// A pool of worker threads could not be started.
    #[error("could not start worker threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A worker ended without a result.
    #[error("a worker stopped before its work was done; all committed parts are kept")]
    WorkerStopped,
}

/// Result with [`ExtractError`].
pub type Result<T, E = ExtractError> = std::result::Result<T, E>;
