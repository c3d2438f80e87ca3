use headspan_artifacts::{ArtifactError, HeadId};
use headspan_textspan::TextspanError;

/// Why images cannot be classified, or ablations cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassificationError {
    /// A table of the run.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Directions of a head.
    #[error("head {head} has no directions")]
    Directions {
        /// The head.
        head: HeadId,
        /// Why not.
        source: TextspanError,
    },
    /// There is nothing to choose between.
    #[error("{classes} classes: a classification needs 2 or more")]
    FewClasses {
        /// Number of classes.
        classes: usize,
    },
    /// Embeddings of another model.
    #[error("the classes' embeddings have {found} numbers, the representations {expected}")]
    OtherEmbedding {
        /// Length of an embedding.
        found: usize,
        /// Length of a representation.
        expected: usize,
    },
    /// No image is of any of the classes.
    #[error("none of {images} images has one of the {classes} classes")]
    NoLabels {
        /// Images of the run.
        images: usize,
        /// Number of classes.
        classes: usize,
    },
    /// No image has a group.
    #[error("none of {images} images has a group")]
    NoGroups {
        /// Images of the run.
        images: usize,
    },
    /// A class without images in the half that teaches.
    #[error("class `{class}` has no image to learn from in the half that gives means")]
    NothingToLearn {
        /// The class.
        class: String,
    },
    /// Too few images for two halves.
    #[error("{images} images of known classes: one of the two halves, for means and for accuracy, is empty")]
    OneHalf {
        /// Images of known classes.
        images: usize,
    },
    /// A head of a set that was not extracted.
    #[error("head {head} was not extracted")]
    NoHead {
        /// The head.
        head: HeadId,
    },
    /// A head without texts.
    #[error("head {head} has no texts of TEXTSPAN")]
    NoTexts {
        /// The head.
        head: HeadId,
    },
    /// A head without moments.
    #[error("head {head} has no moments")]
    NoMoments {
        /// The head.
        head: HeadId,
    },
}

/// Result of this module.
pub(super) type Result<T, E = ClassificationError> = std::result::Result<T, E>;
