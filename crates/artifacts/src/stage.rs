use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Stages of the pipeline, in order (design section 2). Extraction has two, because images and texts depend on different
/// settings and neither should be repeated for the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Images to activations, readout and moments.
    Images,
    /// Descriptions to text embeddings.
    Texts,
    /// Moments and embeddings to the TEXTSPAN basis.
    Textspan,
    /// Basis to property labels.
    Label,
    /// Labels to scores.
    Metrics,
}

impl Stage {
    /// All stages in pipeline order.
    pub const ALL: [Self; 5] = [Self::Images, Self::Texts, Self::Textspan, Self::Label, Self::Metrics];

    /// Name in messages, records and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Texts => "texts",
            Self::Textspan => "textspan",
            Self::Label => "label",
            Self::Metrics => "metrics",
        }
    }

    /// Stages whose fingerprints are inputs of this one.
    pub const fn inputs(self) -> &'static [Self] {
        match self {
            Self::Images | Self::Texts => &[],
            Self::Textspan => &[Self::Images, Self::Texts],
            Self::Label => &[Self::Textspan, Self::Texts],
            Self::Metrics => &[Self::Label],
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// State of a stage of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// The artifacts carry the expected fingerprint.
    Done,
    /// The artifacts were made from other settings or inputs.
    Stale,
    /// Some shards are there.
    Partial,
    /// Nothing is there.
    Missing,
}

impl fmt::Display for StageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::Missing => "missing",
        })
    }
}

/// What a finished stage leaves in `stages/<stage>.json`, written last: the stage is done when its record carries the
/// expected fingerprint. Times live here and not in the tables, so that tables are byte-equal between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecord {
    /// Which stage.
    pub stage: Stage,
    /// headspan's version.
    pub headspan: String,
    /// The stage's fingerprint, hexadecimal.
    pub fingerprint: String,
    /// The slice of the configuration that the stage reads.
    pub config: serde_json::Value,
    /// Fingerprints and hashes of the inputs by name.
    pub inputs: BTreeMap<String, String>,
    /// Rows written.
    pub rows: u64,
    /// Bytes of the artifacts.
    pub bytes: u64,
    /// Seconds that this process worked on the stage, resumed work not counted.
    pub seconds: f64,
    /// Unix time of the end, in seconds.
    pub finished_at: u64,
    /// Figures of the run's own checks and of its work: identity error, probe error, skipped images, rate.
    pub figures: BTreeMap<String, serde_json::Value>,
}
