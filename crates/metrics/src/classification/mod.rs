//! Zero-shot classification of a data set, and what is left of it without some heads. `docs/science.md` has the formulas and their sources.
//!
//! An image's score for a class is the cosine `e·r/|r|` of its representation and the class's embedding. A head adds `e·B u` to it, so the
//! classes are taken into each head's space once (`E B`, `[classes, head_dim + 3]`), and what a head says to all classes about a block of
//! images is one small matrix product. Images are read part by part, and nothing is kept but counts.

mod ablation;
mod accuracy;
mod error;
mod images;
mod means;
mod permutation;
mod predict;
mod pruning;
mod reconstruction;
mod repair;
mod scores;
mod targets;
mod trials;

/// Version of the answers. Raise it when they change for the same tables.
pub const CLASSIFICATION_VERSION: u32 = 1;

pub use ablation::{AblationPlan, ablations};
pub use accuracy::{AccuracyRow, accuracies, wilson};
pub use error::ClassificationError;
pub use images::{LabelledImages, is_for_means};
pub use predict::{classify, predict};
pub use pruning::{PrunedRow, pruned_rows, pruning_parquet};
pub use reconstruction::{ReconstructionPlan, reconstructions};
pub use repair::{Choice, Classifier, MadeCorrelation, RepairPlan, RepairRow, repair, repair_parquet};
pub use targets::{Removed, Replacement, ReplacementError, Target, TargetKind};
