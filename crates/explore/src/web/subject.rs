use headspan_clip::RgbImage8;

use crate::{model::ExploreModel, run::ExploreRun};

/// Why a run's model or images cannot be had: they moved, changed, or are damaged.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SubjectError {
    /// What is wrong and what to do, in a sentence.
    pub message: String,
}

/// A run that is shown, with its model and images, which are opened when they are first wanted.
pub trait Subject: Send + Sync {
    /// The run.
    fn run(&self) -> &ExploreRun;

    /// What is wrong with the run's artifacts, such as a stage that is stale or missing, each in a sentence.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// The model that the run was made with.
    fn model(&self) -> Result<&ExploreModel, SubjectError>;

    /// Bytes of an image file of the run, as they lie in the data set.
    fn image_bytes(&self, index: u64) -> Result<Vec<u8>, SubjectError>;

    /// Decodes an image file, bounded in pixels.
    fn decode(&self, bytes: &[u8]) -> Result<RgbImage8, SubjectError>;
}
