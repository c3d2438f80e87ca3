use std::path::PathBuf;

use headspan_artifacts::StageRecord;
use headspan_images::DatasetSettings;
use serde::{Deserialize, Serialize};

use crate::error::{PipelineError, Result};

/// Where an extraction found its images and weights, for questions that are asked later. Not part of the fingerprint: both
/// may move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Settings of the data set, paths absolute.
    pub data: Option<DatasetSettings>,
    /// The checkpoint folder, absolute, where the weights are not a known model's.
    pub checkpoint: Option<PathBuf>,
    /// Number of blocks of the model.
    pub blocks: Option<usize>,
    /// Blocks whose heads were extracted, ascending.
    pub layers: Option<Vec<usize>>,
}

impl Provenance {
    /// As the extraction's record has it. Records of schema 1 kept it among the figures.
    pub fn of(record: &StageRecord) -> Result<Self> {
        let damaged = |source| PipelineError::Provenance { stage: record.stage.clone(), source };
        if let Some(provenance) = &record.provenance {
            return serde_json::from_value(provenance.clone()).map_err(damaged);
        }
        let figure = |key: &str| record.figures.get(key).cloned();
        Ok(Self {
            data: figure("data").map(serde_json::from_value).transpose().map_err(damaged)?,
            checkpoint: figure("checkpoint").map(serde_json::from_value).transpose().map_err(damaged)?,
            blocks: None,
            layers: None,
        })
    }
}
