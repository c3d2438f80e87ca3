use std::path::PathBuf;

use headspan_artifacts::StageRecord;
use headspan_images::DatasetSettings;
use headspan_model::ModelOptions;
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
    /// What was said of the model beside its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelOptions>,
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
            model: None,
            blocks: None,
            layers: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A record as schema 1 had it: where things lie stood among the figures.
    fn record_of_schema_1() -> Result<StageRecord, serde_json::Error> {
        serde_json::from_value(json!({
            "stage": "images", "headspan": "0.1.0", "fingerprint": "f00d",
            "config": { "layers": "last:4", "max_pixels": 178_956_970, "part_rows": 1024 },
            "inputs": { "checkpoint": "aa", "dataset": "bb" },
            "rows": 3, "bytes": 4, "seconds": 0.5, "finished_at": 1_790_000_000,
            "figures": {
                "checkpoint": "/models/mine", "device": "cpu", "images": 3,
                "data": {
                    "path": "/photos", "kind": "auto", "classes": null, "root": null, "path_column": "path",
                    "class_column": "class", "image_column": "image", "label_column": "label", "sample": null,
                    "limit": null, "max_file_bytes": 536_870_912
                }
            }
        }))
    }

    #[test]
    fn records_of_schema_1_say_where_things_are() -> Result<(), Box<dyn std::error::Error>> {
        let record = record_of_schema_1()?;
        let found = Provenance::of(&record)?;
        assert_eq!(found.data.map(|data| data.path), Some("/photos".into()));
        assert_eq!(found.checkpoint, Some("/models/mine".into()));
        assert_eq!(found.blocks, None);
        Ok(())
    }

    #[test]
    fn a_damaged_provenance_names_the_stage() -> Result<(), Box<dyn std::error::Error>> {
        let mut record = record_of_schema_1()?;
        record.provenance = Some(json!({ "data": 7 }));
        assert!(matches!(Provenance::of(&record), Err(PipelineError::Provenance { stage, .. }) if stage == "images"));
        Ok(())
    }
}
