use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use headspan_artifacts::{AtomicFile, RunDirectory, Table, write_atomic};
use headspan_metrics::{Comparison, compare as compare_runs};

use crate::{
    error::{PipelineError, Result},
    progress::Silent,
    report::comparison_page,
    runner::statuses,
    scope::Scope,
    settings::Settings,
    stages::{IMAGES, METRICS, synonyms},
};

/// A comparison of runs, and where it lies.
pub struct ComparedRuns {
    /// The runs that have metrics, in the order of their names.
    pub runs: Vec<RunDirectory>,
    /// Scores of all of them.
    pub comparison: Comparison,
    /// `comparison.parquet`.
    pub table: PathBuf,
    /// The report in HTML.
    pub page: PathBuf,
}

/// Compares all runs of the data set that have metrics, and writes `comparison.parquet` and the report (by default
/// `comparison.html` beside it). Warns of runs that are left out or out of date.
pub fn compare(settings: &Settings, page: Option<&Path>) -> Result<ComparedRuns> {
    let all = RunDirectory::list(&settings.runs, Some(&settings.dataset))?;
    let (runs, without): (Vec<_>, Vec<_>) = all.into_iter().partition(|run| run.table(Table::Metrics).is_file());
    for run in &without {
        tracing::warn!("left out `{}`, which has no metrics yet", run.id().model());
    }
    for run in &runs {
        warn_of_unfinished(settings, run, None)?;
    }
    warn_of_settings(&runs)?;
    let folder = settings.runs.join(&settings.dataset);
    if runs.is_empty() {
        return Err(PipelineError::NoMetrics { folder });
    }
    let mut comparison = compare_runs(&runs, &settings.metrics.scores, &synonyms(settings)?)?;
    let table = folder.join("comparison.parquet");
    let mut file = AtomicFile::create(&table)?;
    comparison.write_parquet(&mut file)?;
    file.commit()?;
    let page = page.map_or_else(|| folder.join("comparison.html"), Path::to_owned);
    write_atomic(&page, comparison_page(&settings.dataset, &runs, &comparison)?.as_bytes())?;
    Ok(ComparedRuns { runs, comparison, table, page })
}

/// Scores that were computed by different settings are not comparable, whoever asks for a comparison.
fn warn_of_settings(runs: &[RunDirectory]) -> Result<()> {
    let mut found: Vec<(String, serde_json::Value)> = Vec::new();
    for run in runs {
        if let Some(record) = run.record(METRICS)? {
            found.push((run.id().model().to_owned(), record.config));
        }
    }
    let Some((first, settings)) = found.first() else { return Ok(()) };
    for (other, _) in found.iter().filter(|(_, own)| own != settings) {
        tracing::warn!("`{other}` was scored with other settings than `{first}`; run `headspan metrics` for both");
    }
    Ok(())
}

/// What is wrong with a run in itself, each in a sentence: stages that are missing, or older than what they were made from.
pub fn notices(settings: &Settings, run: &RunDirectory) -> Result<Vec<String>> {
    let found = statuses(&Scope::of_run(settings, run, &Silent).as_recorded())?;
    let wrong = found.iter().filter_map(|status| status.wrong());
    Ok(wrong.map(|wrong| format!("The {wrong}; `headspan run-all` brings it up to date.")).collect())
}

/// Warns of unfinished stages before `stage`, or of all if `stage` is none. A run of nothing but imported labels has none.
pub fn warn_of_unfinished(settings: &Settings, run: &RunDirectory, stage: Option<&str>) -> Result<()> {
    if run.record(IMAGES)?.is_none() && run.parts()?.is_empty() {
        return Ok(());
    }
    let found = statuses(&Scope::of_run(settings, run, &Silent).as_recorded())?;
    for status in found.iter().take_while(|status| Some(status.stage) != stage) {
        if let Some(wrong) = status.wrong() {
            tracing::warn!("{}: the {wrong}; `headspan run-all` brings it up to date", run.id().model());
        }
    }
    Ok(())
}

/// Labellers of a model in a comparison, by name.
pub fn labellers(comparison: &Comparison, model: &str) -> Vec<String> {
    let (models, labellers) = (comparison.text("model"), comparison.text("labeller"));
    let found: BTreeSet<String> =
        models.into_iter().zip(labellers).filter(|(own, _)| own == model).map(|(_, labeller)| labeller).collect();
    found.into_iter().collect()
}
