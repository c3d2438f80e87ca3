//! Stage 4 of headspan: how cleanly heads specialise. Definitions, formulas and a worked example are in `docs/metrics.md`.
//!
//! - [`score`] computes entanglement, association and concept consistency of one model from its labels alone.
//! - [`compare`] puts the scores of several runs side by side, with one null for all of them.
//! - [`diff`] puts two runs over the same images side by side, head by head.
//! - [`head_weights`] names the directions in which each head can write, from its readout alone.
//! - [`jaccard`] and [`krippendorff_alpha`] say how stable picks and labels are; [`agreements`] how far people and labellers agree.
//! - [`predict`] classifies images without training, [`accuracies`] counts; [`ablations`] and [`reconstructions`] measure what is left of it
//!   without some heads, and where heads may speak along some directions alone.
//! - [`ablate`], [`group_accuracy`], [`explained_variance`] and [`spurious_correlation`] compare a run with the true attributes of
//!   rendered scenes.
//!
//! It uses `artifacts`, `notes`, `headspace` and `textspan`, and no model: what it needs of images are moments and activations. `pipeline` runs [`score`] as the
//! stage `metrics`.
//!
//! ```
//! use headspan_artifacts::LabelRow;
//! use headspan_metrics::{PropertyFrequencies, Settings, Synonyms, score};
//!
//! let head = |head: u32, property: &str, consistent: usize| LabelRow {
//!     layer: 11, head, labeller: "lexicon".into(), property: Some(property.into()), description: None,
//!     consistent: (0..5).map(|text| Some(text < consistent)).collect(), agreement: None,
//!     prompt_sha256: None, llm_model: None, tokens_in: 0, tokens_out: 0,
//! };
//! let labels = [head(0, "colors", 5), head(1, "Color", 2), head(2, "animals", 3)];
//! let synonyms = Synonyms::default();
//! let pooled = PropertyFrequencies::of(&labels, &synonyms);
//! let rows = score(&labels, &pooled, &Settings::default(), &synonyms);
//! let value = |metric: &str| rows.iter().find(|row| row.metric == metric && row.scope == "model").and_then(|row| row.value);
//! assert_eq!(value("entanglement_repeated"), Some(1.0 / 3.0)); // `Color` repeats `colors`
//! assert_eq!(value("association_associated_heads"), Some(2.0 / 3.0)); // 5 and 3 of 5 texts, not 2
//! ```

mod agreement;
mod association;
mod bootstrap;
mod classification;
mod compare;
mod concepts;
mod diff;
mod draws;
mod entanglement;
mod fold;
mod judges;
mod score;
mod settings;
mod stability;
mod truth;
mod weights;

/// Version of the scores. Raise it when they change for the same labels and settings. 3: the interval of association holds the disagreement of judges.
pub const VERSION: u32 = 3;

pub use agreement::{About, AgreementRow, agreements, cohens_kappa};
pub use classification::{
    AblationPlan, AccuracyRow, CLASSIFICATION_VERSION, Choice, ClassificationError, Classifier, LabelledImages,
    MadeCorrelation, PrunedRow, ReconstructionPlan, Removed, RepairPlan, RepairRow, Replacement, ReplacementError,
    Target, TargetKind, ablations, accuracies, classify, is_for_means, predict, pruned_rows, pruning_parquet,
    reconstructions, repair, repair_parquet, wilson,
};
pub use compare::{Comparison, ComparisonError, compare};
pub use diff::{DiffError, DiffSettings, Difference, HeadPair, HeadState, Pairing, ReadoutLikeness, ScoreChange, diff};
pub use draws::draw_heads;
pub use entanglement::{pairwise, repeated, repeated_prefix, shared_heads};
pub use fold::{Synonyms, SynonymsError};
pub use judges::{Association, associations};
pub use score::{PropertyFrequencies, score, score_labeller};
pub use settings::Settings;
pub use stability::{
    StabilityRow, alpha_with_interval, jaccard, krippendorff_alpha, mean_share, random_halves, stability_parquet,
    stability_rows,
};
pub use truth::{
    Ablation, AblationRow, AblationSettings, AttributeTable, GroupAccuracy, HeadVariance, Prompt, Responses, Sides,
    Specificity, SpuriousCorrelation, SpuriousSettings, TruthError, ablate, associated_heads, explained_variance,
    group_accuracy, spurious_correlation,
};
pub use weights::{
    Agreement, HeadWeights, HeadWeightsError, HeadWeightsSettings, NamedDirection, NamingText, WeighedHead,
    head_weights,
};
