use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{MetricRow, RunDirectory, RunId, Table as RunTable, read_rows};
use headspan_scenes::DatasetFiles;

use headspan_pipeline::{
    ModelChoice, Outcome, Pipeline, RunReport, Settings, StageReport, Wanted, demo, dry_run as prompts,
    figures::duration, score_imported, warn_of_unfinished,
};

use crate::{
    cli::PipelineArgs,
    commands::{UsageError, choices, compare::compare, print, registry, settings},
    hints::{Hinted, report},
    progress::Terminal,
};

/// Runs stages of the models, one model after another. A model that fails does not stop the others; the command fails at
/// the end.
pub(crate) fn run(names: &[String], arguments: &PipelineArgs, wanted: Wanted, quiet: bool) -> Result<()> {
    let common = settings(arguments, None)?;
    if wanted == Wanted::All && is_demo(names, &common) {
        return demo(arguments, quiet);
    }
    let chosen = choices(names, &common, &registry(&arguments.configs)?)?;
    let mut reports = Vec::new();
    let mut failures = Vec::new();
    for choice in &chosen {
        let own = settings(arguments, Some(&choice.id))?;
        match Pipeline::new(&own, &Terminal { quiet }).run(choice, wanted) {
            Ok(report) => {
                tell(&report);
                reports.push(report);
            }
            Err(error) if chosen.len() == 1 => return Err(error.into()),
            Err(error) => {
                tracing::error!("{}: {}", choice.id, report(&error.into()));
                failures.push(choice.id.clone());
            }
        }
    }
    if matches!(wanted, Wanted::All | Wanted::Only("metrics")) && !reports.is_empty() {
        print(&summary(&reports)?)?;
    }
    if failures.is_empty() {
        Ok(())
    } else {
        anyhow::bail!("{} of {} models failed: {}", failures.len(), chosen.len(), failures.join(", "))
    }
}

/// Whether nothing at all was said of models and images.
pub(crate) fn is_demo(names: &[String], common: &Settings) -> bool {
    let said = [
        names.is_empty(),
        common.models.is_empty(),
        common.checkpoint.is_none(),
        common.data.path.as_os_str().is_empty(),
    ];
    said.iter().all(|nothing| *nothing)
}

/// The whole pipeline over rendered scenes with the models that the program carries, and their comparison.
pub(crate) fn demo(arguments: &PipelineArgs, quiet: bool) -> Result<()> {
    let (names, own) = demo_of(arguments)?;
    let scenes = DatasetFiles::below(own.images.as_deref().and_then(Path::parent).unwrap_or(Path::new("."))).scenes;
    self::run(&names, &own, Wanted::All, quiet)?;
    compare(&own, None)?;
    let attributes = scenes.display();
    tracing::info!(
        "against the truth: headspan truth {} --attributes {attributes} --dataset {}",
        names[0],
        demo::DATASET
    );
    Ok(())
}

/// The models that the program carries, and the flags that name the scenes, which are rendered if they are not there.
pub(crate) fn demo_of(arguments: &PipelineArgs) -> Result<(Vec<String>, PipelineArgs)> {
    let common = settings(arguments, None)?;
    let files = demo::scenes(&common.runs)?;
    let mut own = arguments.clone();
    own.dataset.get_or_insert_with(|| demo::DATASET.to_owned());
    own.images = Some(files.images);
    own.classes = Some(files.classes);
    own.texts.get_or_insert(files.descriptions);
    Ok((demo::MODELS.iter().map(|model| model.id.to_owned()).collect(), own))
}

/// Runs one later stage: of the models named, else of every run of the data set.
pub(crate) fn stage(names: &[String], arguments: &PipelineArgs, stage: &'static str, quiet: bool) -> Result<()> {
    if !names.is_empty() || arguments.checkpoint.is_some() {
        let own = settings(arguments, None)?;
        // A run's folder is enough: a model of one's own has no id among the known ones.
        if let Some(choices) = existing(names, &own)? {
            return each(&choices, arguments, stage, quiet);
        }
        return run(names, arguments, Wanted::Only(stage), quiet);
    }
    let common = settings(arguments, None)?;
    let runs = RunDirectory::list(&common.runs, Some(&common.dataset))?;
    if runs.is_empty() {
        let message = format!("no runs in `{}/{}`", common.runs.display(), common.dataset);
        return Err(Hinted::new(message, "run `headspan extract` first").into());
    }
    let found: Vec<ModelChoice> = runs.iter().map(|run| ModelChoice::by_run(run.id().model())).collect();
    each(&found, arguments, stage, quiet)
}

fn each(choices: &[ModelChoice], arguments: &PipelineArgs, stage: &'static str, quiet: bool) -> Result<()> {
    let mut reports = Vec::new();
    for choice in choices {
        let own = settings(arguments, Some(&choice.id))?;
        let run = RunDirectory::at(&own.runs, &RunId::new(&own.dataset, &choice.id)?);
        warn_of_unfinished(&own, &run, Some(stage))?;
        let report = Pipeline::new(&own, &Terminal { quiet }).run(choice, Wanted::Only(stage))?;
        tell(&report);
        reports.push(report);
    }
    if stage == "metrics" { print(&summary(&reports)?) } else { Ok(()) }
}

fn existing(names: &[String], settings: &Settings) -> Result<Option<Vec<ModelChoice>>> {
    let runs = RunDirectory::list(&settings.runs, Some(&settings.dataset))?;
    let all = !names.is_empty() && names.iter().all(|name| runs.iter().any(|run| run.id().model() == name));
    Ok(all.then(|| names.iter().map(|name| ModelChoice::by_run(name)).collect()))
}

/// Prints the prompts of every model asked for.
pub(crate) fn dry_run(names: &[String], arguments: &PipelineArgs) -> Result<()> {
    let own = settings(arguments, None)?;
    let runs = RunDirectory::list(&own.runs, Some(&own.dataset))?;
    let wanted: Vec<&RunDirectory> =
        runs.iter().filter(|run| names.is_empty() || names.iter().any(|name| name == run.id().model())).collect();
    if wanted.is_empty() {
        return Err(UsageError(format!("no such run in `{}/{}`", own.runs.display(), own.dataset)).into());
    }
    for run in wanted {
        print(&prompts(&own, run)?)?;
    }
    Ok(())
}

/// Scores a file of labels without any activations.
pub(crate) fn score_file(file: &Path, arguments: &PipelineArgs) -> Result<()> {
    let own = settings(arguments, None)?;
    let runs = score_imported(&own, file)?;
    let reports: Vec<RunReport> = runs
        .into_iter()
        .map(|run| RunReport {
            run,
            stages: vec![StageReport { stage: "metrics", outcome: Outcome::UpToDate, notes: Vec::new() }],
        })
        .collect();
    print(&summary(&reports)?)
}

fn tell(report: &RunReport) {
    for stage in &report.stages {
        let outcome = match stage.outcome {
            Outcome::UpToDate => "up to date".to_owned(),
            Outcome::Partial => "partial".to_owned(),
            Outcome::Done { rows, seconds } => format!("{rows} rows in {}", duration(seconds)),
        };
        tracing::info!("{} {}: {outcome}", report.run.id().model(), stage.stage);
        for note in &stage.notes {
            tracing::info!("  {note}");
        }
    }
    tracing::info!("artifacts in {}", report.run.path().display());
}

/// The default scores of the runs, one line a model and labeller.
fn summary(reports: &[RunReport]) -> Result<String> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["model", "labeller", "heads", "properties", "entanglement ↓", "association ↑"]);
    for report in reports {
        let rows: Vec<MetricRow> = read_rows(&report.run.table(RunTable::Metrics))?;
        let mut labellers: Vec<&str> = rows.iter().map(|row| row.labeller.as_str()).collect();
        labellers.dedup();
        for labeller in labellers {
            let find = |metric: &str| {
                rows.iter().find(|row| row.labeller == labeller && row.scope == "model" && row.metric == metric)
            };
            let count = |metric: &str| {
                find(metric).and_then(|row| row.value).map_or_else(|| "n/a".to_owned(), |value| format!("{value:.0}"))
            };
            table.add_row([
                Cell::new(report.run.id().model()),
                Cell::new(labeller),
                Cell::new(count("heads")).set_alignment(CellAlignment::Right),
                Cell::new(count("distinct_properties")).set_alignment(CellAlignment::Right),
                Cell::new(interval(find("entanglement_repeated"))).set_alignment(CellAlignment::Right),
                Cell::new(interval(find("association_associated_heads"))).set_alignment(CellAlignment::Right),
            ]);
        }
    }
    Ok(table.to_string())
}

/// `0.437 (0.312–0.562)`, or `n/a`.
pub(crate) fn interval(row: Option<&MetricRow>) -> String {
    let Some(value) = row.and_then(|row| row.value) else { return "n/a".to_owned() };
    match row.and_then(|row| Some((row.ci_low?, row.ci_high?))) {
        Some((low, high)) => format!("{value:.3} ({low:.3}–{high:.3})"),
        None => format!("{value:.3}"),
    }
}

/// The run of one model, which must exist.
pub(crate) fn existing_run(own: &Settings, model: &str) -> Result<RunDirectory> {
    let id = RunId::new(&own.dataset, model)?;
    let run = RunDirectory::at(&own.runs, &id);
    fs_err::metadata(run.path())
        .with_context(|| format!("no run of `{model}` over `{}` in `{}`", own.dataset, own.runs.display()))?;
    Ok(run)
}
