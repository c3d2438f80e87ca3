use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use headspan_artifacts::{LabelRow, MetricRow, RunDirectory, RunId, Table, hash_file, read_rows, write_rows};
use headspan_label::{LabelError, import};
use headspan_metrics::{PropertyFrequencies, Synonyms, VERSION, score_labeller};
use serde_json::{Value, json};

use crate::{
    error::{PipelineError, Result},
    people::labels_in_notes,
    plan::StagePlan,
    progress::Silent,
    scope::Scope,
    settings::{BUILT_IN, MetricsSection, Settings},
    stage::{Estimate, Stage, StageJob, StageOutcome, StageResult, stage},
    stages::{IMAGES, LABEL, images::heads},
};

pub(crate) const NAME: &str = "metrics";
pub(super) static STAGE: Metrics = Metrics;

const SYNONYMS: &str = include_str!("../../../../configs/synonyms.toml");

/// Labels to scores.
pub(super) struct Metrics;

impl Stage for Metrics {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[LABEL]
    }

    fn tables(&self) -> &'static [Table] {
        &[Table::Metrics]
    }

    /// The synonym table itself is in it, so that a changed word reruns the stage whatever the file is called.
    fn slice(&self, scope: &Scope<'_>) -> Result<Value> {
        slice(scope.settings)
    }

    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate> {
        let sources = scope.need_sources(NAME)?;
        let (heads, _) = heads(scope.settings, &sources.model.files().config)?;
        Ok(Estimate { rows: heads * 4, bytes: heads * 80 })
    }

    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome> {
        let labels: Vec<LabelRow> = read_rows(&job.scope.run.table(Table::Labels))?;
        let rows = scored(&labels, job.scope.settings, &synonyms(job.scope.settings)?);
        job.write(&rows)?;
        Ok(StageOutcome::Done(StageResult { rows: rows.len() as u64, ..StageResult::default() }))
    }
}

/// The settings that scores depend on.
pub(crate) fn slice(settings: &Settings) -> Result<Value> {
    let MetricsSection { synonyms: _, scores } = &settings.metrics;
    let (_, table) = synonyms_text(settings)?;
    Ok(json!({ "scores": scores, "synonyms": table }))
}

/// Text of the synonym table and its name.
fn synonyms_text(settings: &Settings) -> Result<(String, String)> {
    let path = &settings.metrics.synonyms;
    if path == Path::new(BUILT_IN) {
        return Ok(("configs/synonyms.toml".to_owned(), SYNONYMS.to_owned()));
    }
    Ok((path.display().to_string(), fs_err::read_to_string(path)?))
}

/// The synonym table of the settings.
pub fn synonyms(settings: &Settings) -> Result<Synonyms> {
    let (name, text) = synonyms_text(settings)?;
    Ok(Synonyms::parse(&name, &text)?)
}

/// Scores of each labeller's labels. The null of a run is its own; `compare` redraws it from all compared models.
fn scored(labels: &[LabelRow], settings: &Settings, synonyms: &Synonyms) -> Vec<MetricRow> {
    let labellers: BTreeSet<&str> = labels.iter().map(|row| row.labeller.as_str()).collect();
    let of_one = |labeller: &str| {
        let own = labels.iter().filter(|row| row.labeller == labeller);
        // The others judge the same texts.
        let pooled = PropertyFrequencies::of(own, synonyms);
        score_labeller(labeller, labels, &pooled, &settings.metrics.scores, synonyms)
    };
    labellers.into_iter().flat_map(of_one).collect()
}

/// Labels of a file that were scored.
pub struct ScoredLabels {
    /// Where their tables are.
    pub run: RunDirectory,
    /// The run of the same model that has labels of its own, which are left as they are; none if there is no such run.
    pub beside: Option<RunDirectory>,
}

/// Scores the labels of a file (also of a run's `notes.parquet`: those of each person) for every model in it that is wanted (all if none is named), without activations: each model gets a
/// run with `labels.parquet` and `metrics.parquet`. A run that was extracted, or that has labels of a labeller, keeps its labels
/// and scores; those of the file then go to a run beside it, `MODEL+FILE`.
pub fn score_imported(settings: &Settings, file: &Path, wanted: &[String]) -> Result<Vec<ScoredLabels>> {
    let mut models: Vec<(String, Vec<LabelRow>)> = Vec::new();
    let labels = match labels_in_notes(file) {
        Some(labels) => labels,
        None => import::read(file, None).map_err(LabelError::from)?,
    };
    for (model, row) in labels {
        match models.iter_mut().find(|(known, _)| *known == model) {
            Some((_, rows)) => rows.push(row),
            None => models.push((model, vec![row])),
        }
    }
    let none_of = |model: &String| models.iter().all(|(known, _)| known != model);
    if let Some(model) = wanted.iter().find(|model| none_of(model)).cloned() {
        return Err(LabelError::NoLabels { file: file.to_owned(), model: Some(model) }.into());
    }
    if models.is_empty() {
        return Err(LabelError::NoLabels { file: file.to_owned(), model: None }.into());
    }
    let synonyms = synonyms(settings)?;
    let hash = hash_file(file)?;
    let mut scored = Vec::new();
    for (model, labels) in models.into_iter().filter(|(model, _)| wanted.is_empty() || wanted.contains(model)) {
        let own = RunDirectory::at(&settings.runs, &RunId::new(&settings.dataset, &model)?);
        let beside = has_own_labels(&own)?.then_some(own);
        let id = if beside.is_some() { format!("{model}+{}", file_stem(file)) } else { model };
        let run = RunDirectory::create(&settings.runs, &RunId::new(&settings.dataset, &id)?)?;
        let _lock = run.lock()?;
        score_labels(settings, &synonyms, &run, &labels, &hash)?;
        scored.push(ScoredLabels { run, beside });
    }
    Ok(scored)
}

/// Whether a run has more than the labels of a file, or may have: a table that cannot be read is not replaced.
fn has_own_labels(run: &RunDirectory) -> Result<bool> {
    if run.record(IMAGES)?.is_some() || run.parts_there()? > 0 {
        return Ok(true);
    }
    // Labels of people come from a file, too.
    if run.record(LABEL)?.is_some_and(|record| record.config["labeller"] == json!(import::NAME)) {
        return Ok(false);
    }
    let table = run.table(Table::Labels);
    let others = |rows: Vec<LabelRow>| rows.iter().any(|row| row.labeller != import::NAME);
    Ok(run.has(&table)? && read_rows(&table).map_or(true, others))
}

/// Name of a file without its ending, as a run's name may have it.
fn file_stem(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let stem: String = stem.chars().map(plain).collect();
    if stem.is_empty() { "labels".to_owned() } else { stem }
}

fn score_labels(
    settings: &Settings,
    synonyms: &Synonyms,
    run: &RunDirectory,
    labels: &[LabelRow],
    hash: &str,
) -> Result<()> {
    let started = Instant::now();
    let label = stage(LABEL).ok_or_else(|| PipelineError::NoStage { stage: LABEL.to_owned() })?;
    let slice = json!({ "labeller": import::NAME, "settings": {} });
    let plan = StagePlan::new(label, slice, BTreeMap::from([("labels".to_owned(), hash.to_owned())]));
    run.forget(LABEL)?;
    write_rows(&run.table(Table::Labels), run.id(), plan.fingerprint(), labels)?;
    let result = StageResult { rows: labels.len() as u64, ..StageResult::default() };
    plan.commit(label, run, started.elapsed().as_secs_f64(), &result)?;

    let scope = Scope::of_run(settings, run, &Silent);
    let plan = StagePlan::of(&STAGE, &scope)?;
    let rows = scored(labels, settings, synonyms);
    StageJob { scope: &scope, plan: &plan }.write(&rows)?;
    let result = StageResult { rows: rows.len() as u64, ..StageResult::default() };
    plan.commit(&STAGE, run, started.elapsed().as_secs_f64(), &result)
}
