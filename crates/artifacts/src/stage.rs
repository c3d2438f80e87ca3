use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

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
    /// Name of the stage.
    pub stage: String,
    /// headspan's version.
    pub headspan: String,
    /// The stage's fingerprint, hexadecimal.
    pub fingerprint: String,
    /// Fingerprint of what later stages read of it, where some of its settings decide only what else it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<String>,
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
    /// Where the stage found what it read, in the form that the pipeline gives it; none where only tables were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<serde_json::Value>,
}

impl StageRecord {
    /// The fingerprint that later stages have among their inputs.
    pub fn for_later(&self) -> &str {
        self.results.as_deref().unwrap_or(&self.fingerprint)
    }
}
