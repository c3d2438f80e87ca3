//! Zero-shot classification of a run's images, and what is left of it without some heads. The answers are tables of the run with records of
//! their own: they are computed when somebody asks for them, since not every data set has classes, and found up to date like stages.

mod ablations;
mod classes;
mod groups;
mod made;
mod names;
mod predictions;
mod pruning;
mod repair;
mod templates;

pub use ablations::{AblateOptions, AblationKind, Ablations, ablate};
pub use groups::GroupChoice;
pub(crate) use names::named_classes;
pub use predictions::{Zeroshot, ZeroshotOptions, zeroshot};
pub use pruning::{PruneOptions, Pruned, ccs_level, prune, save_scaled};
pub use repair::{Learning, RepairOptions, Repaired, repair};
pub use templates::Templates;
