//! Whose activations a run keeps.

use serde_json::Value;

use crate::{
    error::{ArtifactError, Result},
    run::RunDirectory,
};

/// The stage that extracts, whose record says what it kept.
const IMAGES: &str = "images";

/// Images of a run whose activations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All that could be read.
    All,
    /// A uniform sample.
    Sample {
        /// Images of the sample that could be read.
        kept: u64,
        /// Images of the data set.
        images: u64,
    },
    /// None: the run has moments alone.
    Moments {
        /// Images of the data set.
        images: u64,
    },
}

impl Kept {
    /// What answers about images are of, in a sentence; none where they are of all images.
    pub fn note(self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Sample { kept, images } => {
                Some(format!("The run keeps activations of a uniform sample: {kept} of {images} images."))
            }
            Self::Moments { images } => {
                Some(format!("The run keeps moments alone: the activations of its {images} images were not stored."))
            }
        }
    }
}

impl RunDirectory {
    /// Whose activations the run keeps. A run that never finished keeps what it has.
    pub fn kept(&self) -> Result<Kept> {
        let Some(record) = self.record(IMAGES)? else { return Ok(Kept::All) };
        let figure = |name: &str| record.figures.get(name).and_then(Value::as_u64).unwrap_or(0);
        let images = figure("images");
        // The setting stands in the record only where it is not the default.
        Ok(match record.config.get("keep").and_then(Value::as_str) {
            None => Kept::All,
            Some("moments") => Kept::Moments { images },
            Some(_sample) => Kept::Sample { kept: figure("kept"), images },
        })
    }

    /// An error if the run has moments alone.
    pub(crate) fn refuse_moments_alone(&self) -> Result<()> {
        match self.kept()? {
            Kept::Moments { images } => Err(ArtifactError::MomentsAlone { run: self.path().to_owned(), images }),
            Kept::All | Kept::Sample { .. } => Ok(()),
        }
    }
}
