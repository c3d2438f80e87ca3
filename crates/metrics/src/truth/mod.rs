//! What can be said of heads when the truth of every image is known: ablation and explained variance.

mod ablation;
mod attributes;
mod error;
mod groups;
mod responses;
mod spurious;
mod variance;

pub use ablation::{Ablation, AblationRow, AblationSettings, Specificity, ablate, associated_heads};
pub use attributes::AttributeTable;
pub use error::TruthError;
pub use groups::{GroupAccuracy, Sides, group_accuracy};
pub use responses::{Prompt, Responses};
pub use spurious::{SpuriousCorrelation, SpuriousSettings, spurious_correlation};
pub use variance::{HeadVariance, explained_variance};
