//! The stages of the pipeline. A new one is a file here and its line in the table.

use crate::stage::Stage;

/// Declares the modules and the table. Each module has its stage as `STAGE`.
macro_rules! stages {
    ($($(#[doc = $what:literal])* $module:ident),+ $(,)?) => {
        $($(#[doc = $what])* mod $module;)+

        /// All stages in pipeline order: a stage stands after those whose tables it reads.
        pub static STAGES: &[&dyn Stage] = &[$(&$module::STAGE),+];
    };
}

stages! {
    /// Images to activations, readouts and moments.
    images,
    /// Descriptions to text embeddings.
    texts,
    /// Moments and embeddings to the texts that span each head.
    textspan,
    /// Texts to a property label for each head.
    label,
    /// Labels to scores.
    metrics,
}

pub(crate) use images::{NAME as IMAGES, open_dataset, parts_done, work_of};
pub(crate) use label::NAME as LABEL;
pub use label::dry_run;
pub(crate) use metrics::{NAME as METRICS, slice as metrics_slice};
pub use metrics::{ScoredLabels, score_imported, synonyms};
pub(crate) use texts::{NAME as TEXTS, POOL_FILE};
pub(crate) use textspan::{NAME as TEXTSPAN, one_head};
