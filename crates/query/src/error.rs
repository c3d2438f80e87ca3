use headspan_artifacts::{HeadId, similar_name};

use crate::selection::meant_head;

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
    #[error("no head of the run `{run}` is labelled `{property}`; {}", properties(known))]
    NoProperty {
        /// The property asked for.
        property: String,
        /// The run.
        run: String,
        /// Properties that there are.
        known: Vec<String>,
    },
    /// A run without heads.
    #[error("the run `{run}` has no heads")]
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
        /// An image that may have been meant.
        similar: Option<String>,
    },
    /// A class that no image has.
    #[error("no image of the run `{run}` has the class `{class}`")]
    NoClass {
        /// The class.
        class: String,
        /// The run.
        run: String,
        /// The classes that there are.
        known: Vec<String>,
    },
    /// A vector or number that does not fit.
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
    #[error("the model's feature of {what} is not a finite direction")]
    NoFeature {
        /// The image or text.
        what: String,
    },
    /// Parts of different shape.
    #[error("the activations of `{run}` come from different extractions")]
    MixedParts {
        /// The run.
        run: String,
    },
}

impl ExploreError {
    /// What may have been meant instead of a name that the run does not have.
    pub fn suggestion(&self) -> Option<String> {
        match self {
            Self::NoProperty { property, known, .. } => {
                let head = meant_head(property).map(|head| head.to_string());
                head.or_else(|| similar_name(property, known.iter().map(String::as_str)).map(str::to_owned))
            }
            Self::NoClass { known, class, .. } => {
                similar_name(class, known.iter().map(String::as_str)).map(str::to_owned)
            }
            Self::NoImage { similar, .. } => similar.clone(),
            _ => None,
        }
    }
}

fn properties(known: &[String]) -> String {
    if known.is_empty() {
        "it has no labels yet".to_owned()
    } else {
        format!("its properties are {}", known.join(", "))
    }
}

/// Result of this crate.
pub type Result<T, E = ExploreError> = std::result::Result<T, E>;
