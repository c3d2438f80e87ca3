use std::error::Error;

use headspan_artifacts::RunFacts;
use headspan_images::RgbImage8;

use crate::{model::ExploreModel, run::ExploreRun};

/// Why a run's model or images cannot be had: they moved, changed, or are damaged. The source says more.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AccessError(Box<dyn Error + Send + Sync>);

impl AccessError {
    /// Keeps what went wrong, with its own causes.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// A run with its model and its images, which are opened when they are first wanted.
pub trait RunAccess: Send + Sync {
    /// The run.
    fn run(&self) -> &ExploreRun;

    /// What is wrong with the run's artifacts, such as a stage that is stale or missing, each in a sentence.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the figures of the labels that are shown were made with.
    fn facts(&self) -> RunFacts {
        RunFacts::default()
    }

    /// Names of the data set's classes, in their order; none if it has no classes.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// The model that the run was made with.
    fn model(&self) -> Result<&ExploreModel, AccessError>;

    /// Bytes of an image file of the run, as they lie in the data set.
    fn image_bytes(&self, index: u64) -> Result<Vec<u8>, AccessError>;

    /// Decodes an image file, bounded in pixels.
    fn decode(&self, bytes: &[u8]) -> Result<RgbImage8, AccessError>;
}
