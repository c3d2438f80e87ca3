//! Tables that are computed when somebody asks for them, with records like those of stages.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use headspan_artifacts::{Fingerprint, Row, RunDirectory, StageRecord, read_rows, write_rows};
use serde_json::Value;

use crate::error::Result;

/// A table and what it depends on.
pub(super) struct Made<'a> {
    pub(super) run: &'a RunDirectory,
    /// Name of the record.
    pub(super) name: &'static str,
    pub(super) version: u32,
    /// Values that the table depends on.
    pub(super) slice: Value,
    /// Fingerprints and hashes of its inputs, by name.
    pub(super) inputs: BTreeMap<String, String>,
}

impl Made<'_> {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let builder = Fingerprint::builder(self.name, self.version).config(&self.slice);
        self.inputs.iter().fold(builder, |builder, (name, hash)| builder.input(name, hash)).finish()
    }

    /// The rows if the table fits settings and inputs already.
    pub(super) fn fresh<R: Row>(&self) -> Result<Option<Vec<R>>> {
        let fingerprint = self.fingerprint();
        let path = self.run.table(R::TABLE);
        let is_recorded = self.run.record(self.name)?.is_some_and(|record| record.fingerprint == fingerprint.as_str());
        let is_fresh = is_recorded
            && self.run.has(&path)?
            && self.run.table_metadata(R::TABLE)?.fingerprint == fingerprint.as_str();
        Ok(if is_fresh { Some(read_rows(&path)?) } else { None })
    }

    /// The rows: of the table where it is up to date, else computed and written. A crash never leaves a stale table under a valid record.
    pub(super) fn rows<R: Row>(&self, compute: impl FnOnce() -> Result<Vec<R>>) -> Result<Vec<R>> {
        if let Some(rows) = self.fresh()? {
            tracing::info!("{} is up to date", R::TABLE);
            return Ok(rows);
        }
        let started = Instant::now();
        let rows = compute()?;
        let _lock = self.run.lock()?;
        self.run.forget(self.name)?;
        let (path, fingerprint) = (self.run.table(R::TABLE), self.fingerprint());
        write_rows(&path, self.run.id(), fingerprint.as_str(), &rows)?;
        self.run.commit(&StageRecord {
            stage: self.name.to_owned(),
            headspan: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: fingerprint.to_string(),
            results: None,
            config: self.slice.clone(),
            inputs: self.inputs.clone(),
            rows: rows.len() as u64,
            bytes: self.run.length_of(&path)?,
            seconds: started.elapsed().as_secs_f64(),
            finished_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            figures: BTreeMap::new(),
            provenance: None,
        })?;
        Ok(rows)
    }
}
