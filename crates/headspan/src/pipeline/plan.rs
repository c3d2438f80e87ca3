use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use headspan_artifacts::{Fingerprint, RunDirectory, Stage, StageRecord, StageState, read_metadata};
use serde_json::Value;

/// Versions of the stages: raise one when its results change for the same inputs.
const fn version(stage: Stage) -> u32 {
    match stage {
        Stage::Images | Stage::Texts | Stage::Textspan | Stage::Metrics => 1,
        // 2: heads without texts have rows.
        Stage::Label => 2,
    }
}

/// Tables that a stage leaves.
pub(crate) const fn tables(stage: Stage) -> &'static [&'static str] {
    match stage {
        Stage::Images => &["images", "readout", "moments"],
        Stage::Texts => &["texts", "categories"],
        Stage::Textspan => &["textspan"],
        Stage::Label => &["labels"],
        Stage::Metrics => &["metrics"],
    }
}

/// Bytes of all files that a stage leaves.
pub(crate) fn bytes_of(stage: Stage, run: &RunDirectory) -> Result<u64> {
    let mut paths: Vec<_> = tables(stage).iter().map(|table| run.table(table)).collect();
    if stage == Stage::Images {
        paths.extend(run.parts()?);
    }
    paths.iter().map(|path| Ok(fs_err::metadata(path)?.len())).sum()
}

/// What a stage is about to do: its slice of the configuration, its inputs, and the fingerprint of both.
#[derive(Debug, Clone)]
pub(crate) struct StagePlan {
    pub(crate) stage: Stage,
    config: Value,
    inputs: BTreeMap<String, String>,
    pub(crate) fingerprint: Fingerprint,
}

/// What a stage did.
#[derive(Debug, Clone)]
pub(crate) struct StageResult {
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    pub(crate) figures: BTreeMap<String, Value>,
}

impl StagePlan {
    pub(crate) fn new(stage: Stage, config: Value, inputs: BTreeMap<String, String>) -> Self {
        let mut builder = Fingerprint::builder(stage.name(), version(stage)).config(&config);
        for (name, hash) in &inputs {
            builder = builder.input(name, hash);
        }
        Self { stage, config, inputs, fingerprint: builder.finish() }
    }

    /// Whether the artifacts already carry this fingerprint. A table that is damaged or of other settings than its record is made again.
    pub(crate) fn state(&self, run: &RunDirectory) -> Result<StageState> {
        let Some(record) = run.record(self.stage)? else { return Ok(StageState::Missing) };
        let of_record =
            |table: &&str| read_metadata(&run.table(table)).is_ok_and(|found| found.fingerprint == record.fingerprint);
        // Parts that are lost or cut show in the bytes of all.
        let whole = bytes_of(self.stage, run).is_ok_and(|bytes| bytes == record.bytes)
            && tables(self.stage).iter().all(of_record);
        Ok(match (whole, record.fingerprint == self.fingerprint.as_str()) {
            (true, true) => StageState::Done,
            (true, false) => StageState::Stale,
            (false, _) => StageState::Missing,
        })
    }

    /// Forgets that the stage was done, to be called before its tables are replaced: whatever ends the process then, no table of other
    /// settings stands under a record that takes it for its own.
    pub(crate) fn begin(&self, run: &RunDirectory) -> Result<()> {
        Ok(run.forget(self.stage)?)
    }

    /// Leaves the record that says the stage is done; to be called last.
    pub(crate) fn commit(&self, run: &RunDirectory, result: &StageResult) -> Result<()> {
        let bytes = bytes_of(self.stage, run)?;
        run.commit(&StageRecord {
            stage: self.stage,
            headspan: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: self.fingerprint.to_string(),
            config: self.config.clone(),
            inputs: self.inputs.clone(),
            rows: result.rows,
            bytes,
            seconds: result.seconds,
            finished_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            figures: result.figures.clone(),
        })?;
        Ok(())
    }
}
