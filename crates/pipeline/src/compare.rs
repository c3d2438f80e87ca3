use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use headspan_artifacts::{Fact, RunDirectory, RunFacts, Table, differences, write_atomic};
use headspan_metrics::{Comparison, compare as compare_runs};

use crate::{
    error::{PipelineError, Result},
    facts::facts,
    people::agreement,
    progress::Silent,
    report::comparison_page,
    runner::statuses,
    scope::Scope,
    settings::Settings,
    stages::{IMAGES, synonyms},
};

/// A comparison of runs, and where it lies.
pub struct ComparedRuns {
    /// The runs that have metrics, in the order of their names.
    pub runs: Vec<RunDirectory>,
    /// Models and labellers of the figures, by name.
    pub rows: Vec<ComparedRow>,
    /// What figures that stand side by side were made with differently, a sentence for each fact.
    pub differences: Vec<(Fact, String)>,
    /// Scores of all of them.
    pub comparison: Comparison,
    /// `comparison.parquet`.
    pub table: PathBuf,
    /// The report in HTML.
    pub page: PathBuf,
}

/// Whose figures stand in one row.
pub struct ComparedRow {
    /// Id of the model.
    pub model: String,
    /// The labeller.
    pub labeller: String,
    /// What the figures were made with.
    pub facts: RunFacts,
}

/// Columns of `comparison.parquet` for what figures were made with. `labeller` alone names another column already.
const COLUMNS: [(Fact, &str); Fact::ALL.len()] = [
    (Fact::Images, "images"),
    (Fact::Pool, "pool"),
    (Fact::K, "k"),
    (Fact::Rank, "rank"),
    (Fact::Layers, "layers"),
    (Fact::Precision, "precision"),
    (Fact::Labeller, "labelled_by"),
    (Fact::Scores, "scores"),
];

/// Compares all runs of the data set that have metrics, and writes `comparison.parquet` and the report (by default
/// `comparison.html` beside it). Warns of runs that are left out or out of date, and of what they were made with differently.
pub fn compare(settings: &Settings, page: Option<&Path>) -> Result<ComparedRuns> {
    let (mut runs, mut without) = (Vec::new(), Vec::new());
    for run in RunDirectory::list(&settings.runs, Some(&settings.dataset))? {
        let run = run.look()?;
        if run.has(&run.table(Table::Metrics))? { runs.push(run) } else { without.push(run) }
    }
    for run in &without {
        tracing::warn!("left out `{}`, which has no metrics yet", run.id().model());
    }
    for run in &runs {
        warn_of_unfinished(settings, run, None)?;
    }
    let folder = settings.runs.join(&settings.dataset);
    if runs.is_empty() {
        return Err(PipelineError::NoMetrics { folder });
    }
    let mut comparison = compare_runs(&runs, &settings.metrics.scores, &synonyms(settings)?)?;
    let rows = rows(&runs, &comparison)?;
    let differences = differing(&rows);
    for (_, told) in &differences {
        tracing::warn!("{told}");
    }
    for (fact, name) in COLUMNS {
        let of = |model: &str, labeller: &str| rows.iter().find(|row| row.model == model && row.labeller == labeller);
        comparison.add_text(name, |model, labeller| Some(of(model, labeller)?.facts.get(fact)?.to_owned()))?;
    }
    let table = folder.join("comparison.parquet");
    write_atomic(&table, &comparison.to_parquet()?)?;
    let page = page.map_or_else(|| folder.join("comparison.html"), Path::to_owned);
    let agreed = runs.iter().map(|run| agreement(settings, run)).collect::<Result<Vec<_>>>()?;
    let html = comparison_page(&settings.dataset, &runs, &comparison, &rows, &differences, &agreed)?;
    write_atomic(&page, html.as_bytes())?;
    Ok(ComparedRuns { runs, rows, differences, comparison, table, page })
}

fn rows(runs: &[RunDirectory], comparison: &Comparison) -> Result<Vec<ComparedRow>> {
    let mut rows = Vec::new();
    for run in runs {
        let model = run.id().model();
        for labeller in labellers(comparison, model) {
            let facts = facts(run, &labeller)?;
            rows.push(ComparedRow { model: model.to_owned(), labeller, facts });
        }
    }
    Ok(rows)
}

/// Differences between rows, each named by its model, and by its labeller where the model has several.
fn differing(rows: &[ComparedRow]) -> Vec<(Fact, String)> {
    let several = |model: &str| rows.iter().filter(|row| row.model == model).count() > 1;
    let name = |row: &ComparedRow| {
        if several(&row.model) { format!("{}, {}", row.model, row.labeller) } else { row.model.clone() }
    };
    let named: Vec<(String, &RunFacts)> = rows.iter().map(|row| (name(row), &row.facts)).collect();
    differences(named.iter().map(|(name, facts)| (name.as_str(), *facts)))
}

/// What is wrong with a run in itself, each in a sentence: stages that are missing, or older than what they were made from.
pub fn notices(settings: &Settings, run: &RunDirectory) -> Result<Vec<String>> {
    let found = statuses(&Scope::of_run(settings, &run.look()?, &Silent).as_recorded())?;
    let wrong = found.iter().filter_map(|status| status.wrong());
    Ok(wrong.map(|wrong| format!("The {wrong}; `headspan run-all` brings it up to date.")).collect())
}

/// Warns of unfinished stages before `stage`, or of all if `stage` is none. A run of nothing but imported labels has none.
pub fn warn_of_unfinished(settings: &Settings, run: &RunDirectory, stage: Option<&str>) -> Result<()> {
    let run = &run.look()?;
    if run.record(IMAGES)?.is_none() && run.parts_there()? == 0 {
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
