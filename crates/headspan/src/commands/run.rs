use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{MetricRow, RunDirectory, RunId, Table as RunTable, read_rows};
use headspan_label::LabelError;
use headspan_model::ClipError;
use headspan_scenes::DatasetFiles;

use headspan_pipeline::{
    ModelChoice, ModelSource, Outcome, Pipeline, PipelineError, RunReport, ScoredLabels, Settings, StageReport, Wanted,
    cached_files, check_inputs, demo, dry_run as prompts, figures::duration, score_imported, warn_of_unfinished,
};

use serde_json::{Value, json};

use crate::{
    cli::PipelineArgs,
    commands::{
        UsageError, choices,
        compare::compare,
        place::{check_runs, extracted, instead, placed},
        registry, settings,
    },
    console::Console,
    hints::{Hinted, report},
    stop,
};

/// Runs stages of the models, one model after another. A model that fails does not stop the others; the command fails at
/// the end. What concerns all models is told once, before any work.
pub(crate) fn run(
    names: &[String],
    arguments: &PipelineArgs,
    wanted: Wanted,
    json: bool,
    console: &Console<'_>,
) -> Result<()> {
    let common = settings(arguments, None)?;
    check_runs(&common)?;
    if wanted == Wanted::All && is_demo(names, &common) {
        return demo(arguments, json, console);
    }
    let chosen = choices(names, &common, &registry(&arguments.place.configs)?)?;
    // Images and a file of labels may be named in a model's own settings; each model's are checked again.
    match check_inputs(&common, wanted) {
        Ok(()) | Err(PipelineError::NoImages | PipelineError::Label(LabelError::NoImportFile)) => {}
        Err(error) => return Err(error.into()),
    }
    let (mut reports, mut failures) = (Vec::new(), not_fetched(&chosen, wanted));
    for choice in chosen.iter().filter(|choice| !failures.contains(&choice.id)).collect::<Vec<_>>() {
        let own = settings(arguments, Some(&choice.id))?;
        match Pipeline::new(&own, console.progress()).run(choice, wanted) {
            Ok(report) => {
                tell(&report);
                reports.push(report);
            }
            Err(error) if chosen.len() == 1 => return Err(error.into()),
            Err(error) if stop::asked() => return Err(error.into()),
            Err(error) if concerns_all(&error) && own.data == common.data => return Err(error.into()),
            Err(error) => {
                tracing::error!("{}: {}", choice.id, report(&error.into()));
                failures.push(choice.id.clone());
            }
        }
    }
    if matches!(wanted, Wanted::All | Wanted::Only("metrics")) && !reports.is_empty() {
        if json {
            console.print_json(&to_json(&reports))?;
        } else {
            console.print(&summary(&reports)?)?;
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        anyhow::bail!("{} of {} models failed: {}", failures.len(), chosen.len(), failures.join(", "))
    }
}

/// Of several models those whose weights are not here, which is told before the others are run.
fn not_fetched(chosen: &[ModelChoice], wanted: Wanted) -> Vec<String> {
    if chosen.len() == 1 || matches!(wanted, Wanted::Only(_)) {
        return Vec::new();
    }
    let mut missing = Vec::new();
    for choice in chosen {
        if let ModelSource::Hub(model) = &choice.source
            && let Err(error) = cached_files(model)
        {
            tracing::error!("{}: {}", choice.id, report(&error.into()));
            missing.push(choice.id.clone());
        }
    }
    missing
}

/// Whether an error would be every model's: it is of the images, the texts, a setting or the device.
fn concerns_all(error: &PipelineError) -> bool {
    matches!(
        error,
        PipelineError::Dataset(_)
            | PipelineError::Pool(_)
            | PipelineError::Settings(_)
            | PipelineError::Synonyms(_)
            | PipelineError::NoImages
            | PipelineError::NotThere { .. }
            | PipelineError::WrongKind { .. }
            | PipelineError::Inaccessible { .. }
            | PipelineError::Label(LabelError::NoImportFile)
            | PipelineError::Model(ClipError::NoDevice { .. })
    )
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
pub(crate) fn demo(arguments: &PipelineArgs, json: bool, console: &Console<'_>) -> Result<()> {
    let (names, own) = demo_of(arguments)?;
    let scenes =
        DatasetFiles::below(own.images.images.as_deref().and_then(Path::parent).unwrap_or(Path::new("."))).scenes;
    self::run(&names, &own, Wanted::All, json, console)?;
    if json {
        headspan_pipeline::compare(&settings(&own, None)?, None)?;
    } else {
        compare(&own, None, false, console)?;
    }
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
    own.place.dataset.get_or_insert_with(|| demo::DATASET.to_owned());
    own.images.images = Some(files.images);
    own.images.classes = Some(files.classes);
    own.data.texts.get_or_insert(files.descriptions);
    Ok((demo::MODELS.iter().map(|model| model.id.to_owned()).collect(), own))
}

/// Runs one later stage: of the models named, else of every run of the data set.
pub(crate) fn stage(
    names: &[String],
    arguments: &PipelineArgs,
    stage: &'static str,
    console: &Console<'_>,
) -> Result<()> {
    let arguments = &placed(arguments, names.first().map(String::as_str))?;
    let common = settings(arguments, None)?;
    check_runs(&common)?;
    if !names.is_empty() || arguments.checkpoint.checkpoint.is_some() {
        // A run's folder is enough: a model of one's own has no id among the known ones.
        if let Some(choices) = existing(names, &common)? {
            return each(&choices, arguments, stage, console);
        }
        refuse_unknown(names, arguments, &common)?;
        return run(names, arguments, Wanted::Only(stage), false, console);
    }
    let mut runs = RunDirectory::list(&common.runs, Some(&common.dataset))?;
    // Scores of a file of labels have neither texts nor activations to label by.
    if stage != "metrics" {
        runs = extracted(runs)?;
    }
    if runs.is_empty() {
        let message = format!("no runs in `{}/{}`", common.runs.display(), common.dataset);
        let meant = instead(&common, &common.dataset, "")?;
        let hint = if meant.starts_with("did") { meant } else { "run `headspan extract` first".to_owned() };
        return Err(Hinted::new(message, hint).into());
    }
    let found: Vec<ModelChoice> = runs.iter().map(|run| ModelChoice::by_run(run.id().model())).collect();
    each(&found, arguments, stage, console)
}

/// Refuses a name that is neither a run nor a known model, with the runs that there are.
fn refuse_unknown(names: &[String], arguments: &PipelineArgs, common: &Settings) -> Result<()> {
    if common.checkpoint.is_some() {
        return Ok(());
    }
    let registry = registry(&arguments.place.configs)?;
    let is_known = |name: &str| registry.resolve(name).is_ok() || demo::BuiltInModel::find(name).is_some();
    let is_run = |name: &str| {
        RunId::new(&common.dataset, name).map_or(Ok(false), |id| RunDirectory::at(&common.runs, &id).is_there())
    };
    let mut unknown = None;
    for name in names.iter().filter(|name| !is_known(name)) {
        if !is_run(name)? {
            unknown = Some(name);
            break;
        }
    }
    let Some(name) = unknown else { return Ok(()) };
    let message = format!("no run of `{name}` over `{}` in `{}`", common.dataset, common.runs.display());
    Err(UsageError::hinted(message, instead(common, &common.dataset, name)?))
}

fn each(choices: &[ModelChoice], arguments: &PipelineArgs, stage: &'static str, console: &Console<'_>) -> Result<()> {
    let mut reports = Vec::new();
    for choice in choices {
        let own = settings(arguments, Some(&choice.id))?;
        let run = RunDirectory::at(&own.runs, &RunId::new(&own.dataset, &choice.id)?);
        warn_of_unfinished(&own, &run, Some(stage))?;
        let report = Pipeline::new(&own, console.progress()).run(choice, Wanted::Only(stage))?;
        tell(&report);
        reports.push(report);
    }
    if stage == "metrics" { console.print(&summary(&reports)?) } else { Ok(()) }
}

fn existing(names: &[String], settings: &Settings) -> Result<Option<Vec<ModelChoice>>> {
    let runs = RunDirectory::list(&settings.runs, Some(&settings.dataset))?;
    let all = !names.is_empty() && names.iter().all(|name| runs.iter().any(|run| run.id().model() == name));
    Ok(all.then(|| names.iter().map(|name| ModelChoice::by_run(name)).collect()))
}

/// Prints the prompts of every model asked for.
pub(crate) fn dry_run(names: &[String], arguments: &PipelineArgs, console: &Console<'_>) -> Result<()> {
    let arguments = &placed(arguments, names.first().map(String::as_str))?;
    let own = settings(arguments, None)?;
    let runs = RunDirectory::list(&own.runs, Some(&own.dataset))?;
    let unknown = names.iter().find(|name| runs.iter().all(|run| run.id().model() != *name));
    if runs.is_empty() || unknown.is_some() {
        let message = format!("no such run in `{}/{}`", own.runs.display(), own.dataset);
        let name = unknown.map_or("", String::as_str);
        return Err(UsageError::hinted(message, instead(&own, &own.dataset, name)?));
    }
    for run in runs.iter().filter(|run| names.is_empty() || names.iter().any(|name| name == run.id().model())) {
        console.print(&prompts(&own, run)?)?;
    }
    Ok(())
}

/// Scores a file of labels without any activations.
pub(crate) fn score_file(file: &Path, names: &[String], arguments: &PipelineArgs, console: &Console<'_>) -> Result<()> {
    let own = settings(arguments, None)?;
    check_runs(&own)?;
    let scored = score_imported(&own, file, names)?;
    for ScoredLabels { run, beside } in &scored {
        if let Some(kept) = beside {
            let (kept, file, place) = (kept.id().model(), file.display(), run.path().display());
            tracing::info!("the run of `{kept}` keeps its own labels; the scores of `{file}` are in `{place}`");
        }
    }
    let outcome = Outcome::UpToDate;
    let report = |one: ScoredLabels| RunReport {
        run: one.run,
        stages: vec![StageReport { stage: "metrics", outcome, notes: Vec::new() }],
    };
    console.print(&summary(&scored.into_iter().map(report).collect::<Vec<_>>())?)
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

/// Runs with what became of their stages.
fn to_json(reports: &[RunReport]) -> Value {
    let stage = |stage: &StageReport| {
        let (outcome, rows, seconds) = match stage.outcome {
            Outcome::UpToDate => ("up to date", None, None),
            Outcome::Partial => ("partial", None, None),
            Outcome::Done { rows, seconds } => ("done", Some(rows), Some(seconds)),
        };
        json!({ "stage": stage.stage, "outcome": outcome, "rows": rows, "seconds": seconds, "notes": stage.notes })
    };
    let run = |report: &RunReport| {
        let (id, stages) = (report.run.id(), report.stages.iter().map(stage).collect::<Vec<_>>());
        json!({ "dataset": id.dataset(), "model": id.model(), "path": report.run.path(), "stages": stages })
    };
    json!({ "runs": reports.iter().map(run).collect::<Vec<_>>() })
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
