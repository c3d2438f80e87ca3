use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use headspan_artifacts::{Fingerprint, RunDirectory, StageRecord, StageState, TableMetadata};
use serde_json::Value;

use crate::{
    error::{PipelineError, Result},
    scope::Scope,
    stage::{Stage, StageResult},
};

/// What a stage is about to do: its slice of the settings, its inputs, and the fingerprint of both.
#[derive(Debug, Clone)]
pub struct StagePlan {
    stage: &'static str,
    slice: Value,
    inputs: BTreeMap<String, String>,
    fingerprint: Fingerprint,
    /// Of what later stages read.
    results: Fingerprint,
}

impl StagePlan {
    pub(crate) fn new(stage: &dyn Stage, slice: Value, inputs: BTreeMap<String, String>) -> Self {
        let fingerprint = |slice: &Value| {
            let builder = Fingerprint::builder(stage.name(), stage.version()).config(slice);
            inputs.iter().fold(builder, |builder, (name, hash)| builder.input(name, hash)).finish()
        };
        let (own, results) = (fingerprint(&slice), fingerprint(&stage.slice_for_later(slice.clone())));
        Self { stage: stage.name(), slice, inputs, fingerprint: own, results }
    }

    /// From the settings and the inputs as they are. An error if a stage before has not run.
    pub fn of(stage: &dyn Stage, scope: &Scope<'_>) -> Result<Self> {
        let mut inputs = stage.files(scope)?.ok_or(PipelineError::NeedsModel { stage: stage.name() })?;
        for input in stage.inputs() {
            let record = scope.run.record(input)?.ok_or_else(|| PipelineError::InputMissing {
                stage: stage.name(),
                input,
                run: scope.run.path().to_owned(),
            })?;
            inputs.insert((*input).to_owned(), record.for_later().to_owned());
        }
        Ok(Self::new(stage, stage.slice(scope)?, inputs))
    }

    /// Name of the stage.
    pub fn stage(&self) -> &'static str {
        self.stage
    }

    /// Its fingerprint, hexadecimal.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.as_str()
    }

    /// The fingerprint of what later stages read of it, where that is another.
    pub fn results(&self) -> Option<&str> {
        (self.results != self.fingerprint).then(|| self.results.as_str())
    }

    /// Leaves the record that says the stage is done; to be called last.
    pub(crate) fn commit(
        &self,
        stage: &dyn Stage,
        run: &RunDirectory,
        seconds: f64,
        result: &StageResult,
    ) -> Result<()> {
        run.commit(&StageRecord {
            stage: self.stage.to_owned(),
            headspan: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: self.fingerprint.to_string(),
            results: self.results().map(str::to_owned),
            config: self.slice.clone(),
            inputs: self.inputs.clone(),
            rows: result.rows,
            bytes: bytes_of(stage, run)?,
            seconds,
            finished_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            figures: result.figures.clone(),
            provenance: result.provenance.as_ref().map(serde_json::to_value).transpose()?,
        })?;
        Ok(())
    }
}

/// Bytes of all files that a stage leaves.
fn bytes_of(stage: &dyn Stage, run: &RunDirectory) -> Result<u64> {
    // Of many files, as activations are, one look at the folder costs less than one at each.
    let run = if stage.writes_parts() { run.look()? } else { run.clone() };
    let mut paths: Vec<_> = stage.tables().iter().map(|table| run.table(*table)).collect();
    if stage.writes_parts() {
        paths.extend(run.parts()?);
    }
    paths.iter().map(|path| Ok(run.length_of(path)?)).sum()
}

/// State of one stage of one run, and why it is not done.
#[derive(Debug, Clone)]
pub struct StageStatus {
    /// Name of the stage.
    pub stage: &'static str,
    /// Its state.
    pub state: StageState,
    /// Why, unless it is done.
    pub reason: Option<String>,
    /// Its record, if it ever finished.
    pub record: Option<StageRecord>,
    /// Parts that are there, of a stage that writes them.
    pub parts: u64,
}

impl StageStatus {
    /// What is wrong with the stage, in a sentence without its beginning; none if it is done.
    pub fn wrong(&self) -> Option<String> {
        let why = self.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        (self.state != StageState::Done).then(|| format!("stage `{}` is {}{why}", self.stage, self.state))
    }
}

/// The state of a stage, for `run-all`, `plan`, `status` and `run` alike. `before` are the stages before it: a stage after
/// one that is not done is not done either.
pub fn state_of(stage: &dyn Stage, scope: &Scope<'_>, before: &[StageStatus]) -> Result<StageStatus> {
    let record = scope.run.record(stage.name())?;
    let parts = if stage.writes_parts() { scope.run.parts_there()? } else { 0 };
    let (state, reason) = match &record {
        None if parts > 0 => (StageState::Partial, Some(format!("{parts} parts are there"))),
        None => (StageState::Missing, None),
        Some(record) => judge(stage, scope, record, before)?,
    };
    Ok(StageStatus { stage: stage.name(), state, reason, record, parts })
}

fn judge(
    stage: &dyn Stage,
    scope: &Scope<'_>,
    record: &StageRecord,
    before: &[StageStatus],
) -> Result<(StageState, Option<String>)> {
    let verdict = |state, why: String| Ok((state, Some(why)));
    if let Some(damage) = damage(stage, scope.run, record)? {
        return verdict(StageState::Missing, damage);
    }
    let slice = if scope.as_recorded { record.config.clone() } else { stage.slice(scope)? };
    if slice != record.config {
        return verdict(StageState::Stale, "made with other settings".to_owned());
    }
    let own: BTreeMap<&str, &str> = named(&record.inputs, |name| !stage.inputs().contains(&name));
    let files = if scope.as_recorded { None } else { stage.files(scope)? };
    if let Some(files) = files {
        let found = named(&files, |_| true);
        if let Some(name) = differing(&found, &own) {
            return verdict(StageState::Stale, format!("{name} changed"));
        }
    }
    if let Some(why) = changed_input(stage, scope, record, before) {
        return verdict(StageState::Stale, why);
    }
    // What is left to differ is the version of the stage.
    if StagePlan::new(stage, slice, record.inputs.clone()).fingerprint() != record.fingerprint {
        return verdict(StageState::Stale, "made by another version of the stage".to_owned());
    }
    Ok(stage.unfinished(scope, record).map_or((StageState::Done, None), |why| (StageState::Partial, Some(why))))
}

/// The state of a stage whose record has the fingerprint of its plan: settings and inputs are the same, so only its files and
/// what it left open are looked at.
pub(crate) fn state_of_same(stage: &dyn Stage, scope: &Scope<'_>, record: &StageRecord) -> Result<StageState> {
    Ok(if damage(stage, scope.run, record)?.is_some() {
        StageState::Missing
    } else if stage.unfinished(scope, record).is_some() {
        StageState::Partial
    } else {
        StageState::Done
    })
}

fn named(inputs: &BTreeMap<String, String>, wanted: impl Fn(&str) -> bool) -> BTreeMap<&str, &str> {
    inputs.iter().map(|(name, hash)| (name.as_str(), hash.as_str())).filter(|(name, _)| wanted(name)).collect()
}

/// The first name whose value is not the same in both.
fn differing<'a>(one: &BTreeMap<&'a str, &str>, other: &BTreeMap<&'a str, &str>) -> Option<&'a str> {
    let names = one.keys().chain(other.keys());
    names.copied().find(|name| one.get(name) != other.get(name))
}

/// What is wrong with the files that a stage left, if anything: a table that is lost, damaged, or of another run of the stage.
fn damage(stage: &dyn Stage, run: &RunDirectory, record: &StageRecord) -> Result<Option<String>> {
    for table in stage.tables() {
        if !run.has(&run.table(*table))? {
            return Ok(Some(format!("{table}.parquet is gone")));
        }
    }
    // Parts that are lost or cut show in the bytes of all.
    if unless_the_store_fails(bytes_of(stage, run))? != Some(record.bytes) {
        return Ok(Some("its files are not as it left them".to_owned()));
    }
    for table in stage.tables() {
        let found: Option<TableMetadata> = unless_the_store_fails(run.table_metadata(*table).map_err(Into::into))?;
        if found.is_none_or(|found| found.fingerprint != record.fingerprint) {
            return Ok(Some(format!("{table}.parquet is not the one that it wrote")));
        }
    }
    Ok(None)
}

/// None for what cannot be read. A store that does not answer is an error: nothing is known of its files then.
fn unless_the_store_fails<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) => match &error {
            PipelineError::Artifact(inner) if inner.is_of_the_store() => Err(error),
            _ => Ok(None),
        },
    }
}

/// Which of the stages before is another than the one that this one read, or will be.
fn changed_input(stage: &dyn Stage, scope: &Scope<'_>, record: &StageRecord, before: &[StageStatus]) -> Option<String> {
    let read_any = stage.inputs().iter().any(|input| record.inputs.contains_key(*input));
    stage.inputs().iter().find_map(|input| {
        let status = before.iter().find(|status| status.stage == *input)?;
        let current = status.record.as_ref().map(StageRecord::for_later);
        // Labels of a file alone are made from nothing of the run.
        if !read_any && (scope.as_recorded || status.record.is_none() && scope.sources.is_none()) {
            return None;
        }
        if status.state != StageState::Done {
            return Some(format!("`{input}` is {}", status.state));
        }
        (current != record.inputs.get(*input).map(String::as_str)).then(|| format!("`{input}` changed"))
    })
}
