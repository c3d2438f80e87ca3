use headspan_artifacts::HeadId;

/// Why a question about a run has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExploreError {
    /// An artifact that is missing or damaged.
    #[error(transparent)]
    Artifact(#[from] headspan_artifacts::ArtifactError),
    /// The model or its device.
    #[error(transparent)]
    Clip(#[from] headspan_model::ClipError),
    /// TEXTSPAN's directions, computed anew for a head.
    #[error(transparent)]
    Textspan(#[from] headspan_textspan::TextspanError),
    /// A head that was not extracted.
    #[error("head {head} was not extracted; the run `{run}` has {first} to {last}")]
    NoHead {
        /// The head asked for.
        head: HeadId,
        /// The run.
        run: String,
        /// First head of the run.
        first: HeadId,
        /// Last head of the run.
        last: HeadId,
    },
    /// A layer that was not extracted.
    #[error("layer {layer} was not extracted; the run `{run}` has the layers {first} to {last}")]
    NoLayer {
        /// The layer asked for.
        layer: u32,
        /// The run.
        run: String,
        /// First layer of the run.
        first: u32,
        /// Last layer of the run.
        last: u32,
    },
    /// A property that no head has.
    #[error("no head of the run `{run}` is labelled `{property}`; its properties are {known}")]
    NoProperty {
        /// The property asked for.
        property: String,
        /// The run.
        run: String,
        /// Properties that there are.
        known: String,
    },
    /// A run without heads.
    #[error("the run `{run}` holds no heads; run `headspan extract` for it")]
    Empty {
        /// The run.
        run: String,
    },
    /// An image that is not in the run.
    #[error("the run `{run}` has no extracted image `{image}`")]
    NoImage {
        /// The image's id or index.
        image: String,
        /// The run.
        run: String,
    },
    /// A class that no image has.
    #[error("no image of the run `{run}` is of the class `{class}`")]
    NoClass {
        /// The class.
        class: String,
        /// The run.
        run: String,
    },
    /// A vector or number that is not what it has to be.
    #[error("{what}: {found}, expected {expected}")]
    Invalid {
        /// What it is.
        what: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A feature that is no direction: weights that are not finite, or a projection of zeros.
    #[error(
        "the model's feature of {what} is not a finite direction: look for numbers that are not finite in its weights"
    )]
    NoFeature {
        /// The image or text.
        what: String,
    },
    /// Parts of different shape.
    #[error("the activations of `{run}` are not of one extraction; run `headspan extract` again")]
    MixedParts {
        /// The run.
        run: String,
    },
}

/// Result of this crate.
pub type Result<T, E = ExploreError> = std::result::Result<T, E>;
