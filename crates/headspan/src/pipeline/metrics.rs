use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use anyhow::{Result, bail};
use headspan_artifacts::{
    LabelRow, MetricRow, RunDirectory, RunId, Stage, StageState, hash_file, read_rows, write_rows,
};
use headspan_label::import;
use headspan_metrics::{PropertyFrequencies, Synonyms, score};
use serde_json::{Value, json};

use crate::{
    pipeline::{
        plan::{StagePlan, StageResult},
        run::StageReport,
    },
    settings::{BUILT_IN, Labeller, Settings},
};

const SYNONYMS: &str = include_str!("../../../../configs/synonyms.toml");

/// Text of the synonym table and its name.
fn synonyms_text(settings: &Settings) -> Result<(String, String)> {
    let path = &settings.metrics.synonyms;
    if path == Path::new(BUILT_IN) {
        return Ok(("configs/synonyms.toml".to_owned(), SYNONYMS.to_owned()));
    }
    Ok((path.display().to_string(), fs_err::read_to_string(path)?))
}

/// The synonym table of the settings.
pub(crate) fn synonyms(settings: &Settings) -> Result<Synonyms> {
    let (name, text) = synonyms_text(settings)?;
    Ok(Synonyms::parse(&name, &text)?)
}

pub(crate) fn slice(settings: &Settings) -> Value {
    // The table itself is in the slice, so that a changed word reruns the stage whatever the file is called.
    let table = synonyms_text(settings).map(|(_, text)| text).unwrap_or_default();
    json!({ "scores": settings.metrics.scores, "synonyms": table })
}

/// What the stage will do.
pub(crate) fn plan(settings: &Settings, inputs: BTreeMap<String, String>) -> StagePlan {
    StagePlan::new(Stage::Metrics, slice(settings), inputs)
}

pub(crate) fn run(settings: &Settings, run: &RunDirectory, inputs: BTreeMap<String, String>) -> Result<StageReport> {
    let plan = plan(settings, inputs);
    if plan.state(run)? == StageState::Done {
        return Ok(StageReport::up_to_date(Stage::Metrics));
    }
    let started = Instant::now();
    let labels: Vec<LabelRow> = read_rows(&run.table("labels"))?;
    let rows = scored(&labels, settings, &synonyms(settings)?);
    commit(run, &plan, &rows, started)
}

/// Scores of each labeller's labels. The null of a run is its own; `compare` redraws it from all compared models.
fn scored(labels: &[LabelRow], settings: &Settings, synonyms: &Synonyms) -> Vec<MetricRow> {
    let labellers: BTreeSet<&str> = labels.iter().map(|row| row.labeller.as_str()).collect();
    let of_one = |labeller: &str| {
        let own: Vec<LabelRow> = labels.iter().filter(|row| row.labeller == labeller).cloned().collect();
        score(&own, &PropertyFrequencies::of(&own, synonyms), &settings.metrics.scores, synonyms)
    };
    labellers.into_iter().flat_map(of_one).collect()
}

fn commit(run: &RunDirectory, plan: &StagePlan, rows: &[MetricRow], started: Instant) -> Result<StageReport> {
    plan.begin(run)?;
    write_rows(&run.table("metrics"), run.id(), plan.fingerprint.as_str(), rows)?;
    let seconds = started.elapsed().as_secs_f64();
    let rows = rows.len() as u64;
    plan.commit(run, &StageResult { rows, seconds, figures: BTreeMap::new() })?;
    Ok(StageReport::done(Stage::Metrics, rows, seconds, Vec::new()))
}

/// Scores the labels of a file for every model in it, without activations: each model gets a run with `labels.parquet` and
/// `metrics.parquet`. Labels of other labellers that a run has stay.
pub(crate) fn score_imported(settings: &Settings, file: &Path) -> Result<Vec<RunDirectory>> {
    let mut models: Vec<(String, Vec<LabelRow>)> = Vec::new();
    for (model, row) in import::read(file, None)? {
        match models.iter_mut().find(|(known, _)| *known == model) {
            Some((_, rows)) => rows.push(row),
            None => models.push((model, vec![row])),
        }
    }
    if models.is_empty() {
        bail!("`{}` holds no labels", file.display());
    }
    let synonyms = synonyms(settings)?;
    let hash = hash_file(file)?;
    let mut runs = Vec::new();
    for (model, imported) in models {
        let run = RunDirectory::create(&settings.runs, &RunId::new(&settings.dataset, &model)?)?;
        let _lock = run.lock()?;
        let started = Instant::now();
        let mut labels = imported;
        if run.table("labels").is_file() {
            let others = read_rows::<LabelRow>(&run.table("labels"))?;
            labels.extend(others.into_iter().filter(|row| row.labeller != Labeller::Import.name()));
        }
        let inputs = BTreeMap::from([("labels".to_owned(), hash.clone())]);
        let config = json!({ "labeller": Labeller::Import, "settings": { "file": file } });
        let label = StagePlan::new(Stage::Label, config, inputs);
        label.begin(&run)?;
        write_rows(&run.table("labels"), run.id(), label.fingerprint.as_str(), &labels)?;
        let seconds = started.elapsed().as_secs_f64();
        label.commit(&run, &StageResult { rows: labels.len() as u64, seconds, figures: BTreeMap::new() })?;
        let inputs = BTreeMap::from([(Stage::Label.name().to_owned(), label.fingerprint.to_string())]);
        commit(&run, &plan(settings, inputs), &scored(&labels, settings, &synonyms), started)?;
        runs.push(run);
    }
    Ok(runs)
}
