//! How a published figure is measured: which command, and which of its rows.

use headspan_query::HeadSelection;
use serde::Deserialize;

use crate::{classification::ccs_level, papers::paper::Unit};

/// A command and the row of its answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// Accuracy by `zeroshot`.
    Zeroshot {
        /// `top1` or `top5`.
        #[serde(default = "top1")]
        metric: String,
        /// `all` or `worst_group`.
        #[serde(default = "all")]
        scope: String,
    },
    /// Accuracy by `ablate`, with means.
    Ablate {
        /// What is ablated without being named.
        kind: AblatedKind,
        /// Its name, as `ablations.parquet` has it; none where there is but one.
        target: Option<String>,
        /// Which accuracy.
        #[serde(default)]
        value: AblatedValue,
    },
    /// Accuracy by `ablate --reconstruct`.
    Reconstruct {
        /// `texts`, `random`, `pca`, `all` or `model`.
        directions: String,
        /// Number of directions; none for `all` and `model`.
        k: Option<u32>,
    },
    /// Accuracy by `repair`, with means. Without heads and texts, heads are chosen by ablation.
    Repair {
        /// Heads, as `--heads` names them.
        heads: Option<String>,
        /// Texts of the cue.
        #[serde(default)]
        text: Vec<String>,
        /// Which accuracy.
        value: RepairedValue,
        /// `worst_group` or `all`.
        #[serde(default = "worst_group")]
        scope: String,
    },
    /// Accuracy by `prune`.
    Prune {
        /// Level of concept consistency, such as `5` or `0-1`.
        ccs: String,
        /// Which accuracy.
        value: PrunedValue,
    },
    /// Scores of the run, added up.
    Metrics {
        /// Names of the scores, as `metrics.parquet` has them.
        metrics: Vec<String>,
    },
}

/// What `ablate` ablates without being told its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AblatedKind {
    /// All that is no extracted head.
    Rest,
    /// The first extracted layers.
    Layers,
    /// A single head.
    Head,
    /// The heads of a property.
    Property,
}

/// Which accuracy of an ablation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AblatedValue {
    /// That after it.
    #[default]
    After,
    /// That before it less that after it.
    Drop,
}

/// Which accuracy of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairedValue {
    /// That of the whole model.
    Before,
    /// The mean without as many random heads.
    Random,
    /// That without the heads.
    After,
}

/// Which accuracy of a pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrunedValue {
    /// That of the model as it is.
    Before,
    /// That with the heads at zero.
    After,
}

fn top1() -> String {
    "top1".to_owned()
}

fn all() -> String {
    "all".to_owned()
}

fn worst_group() -> String {
    "worst_group".to_owned()
}

/// A figure of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredFigure {
    /// Its value: a share from 0 to 1.
    pub value: f64,
    /// Its interval, if it has one.
    pub interval: Option<(f64, f64)>,
    /// Images or heads that it is over.
    pub n: u64,
}

impl MeasuredFigure {
    /// Value and interval in a unit.
    pub fn in_unit(&self, unit: Unit) -> (f64, Option<(f64, f64)>) {
        let factor = match unit {
            Unit::Share => 1.0,
            Unit::Percent => 100.0,
            Unit::Heads => self.n as f64,
        };
        (self.value * factor, self.interval.map(|(low, high)| (low * factor, high * factor)))
    }
}

impl Measure {
    /// Name of the command, with what it is asked.
    pub fn command(&self) -> String {
        match self {
            Self::Zeroshot { .. } => "zeroshot".to_owned(),
            Self::Ablate { .. } => "ablate".to_owned(),
            Self::Reconstruct { .. } => "ablate --reconstruct".to_owned(),
            Self::Repair { heads: Some(heads), .. } => format!("repair --heads {heads}"),
            Self::Repair { text, .. } if !text.is_empty() => format!("repair --text '{}'", text.join("' --text '")),
            Self::Repair { .. } => "repair".to_owned(),
            Self::Prune { ccs, .. } => format!("prune --ccs {ccs}"),
            Self::Metrics { .. } => "run-all".to_owned(),
        }
    }

    /// What is wrong with it, if something is.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Prune { ccs, .. } => ccs_level(ccs).map(|_level| ()),
            Self::Repair { heads: Some(heads), .. } => {
                heads.parse::<HeadSelection>().map(|_heads| ()).map_err(|error| error.to_string())
            }
            Self::Metrics { metrics } if metrics.is_empty() => Err("it names no score".to_owned()),
            _ => Ok(()),
        }
    }
}

impl AblatedKind {
    /// As `ablations.parquet` has it.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Rest => &["rest", "mlps"],
            Self::Layers => &["layers"],
            Self::Head => &["head"],
            Self::Property => &["property"],
        }
    }
}
