//! One file per subcommand.

mod ablate;
mod align;
mod choices;
mod compare;
mod config;
mod curve;
mod diff;
mod doctor;
mod evaluate;
mod evaluate_segmentation;
mod evaluate_texts;
mod explore;
mod export;
mod fetch;
mod fine_tune;
mod inspect;
mod models;
mod place;
mod plan;
mod prune;
mod query;
mod query_search;
mod repair;
mod replicate;
mod report;
mod review;
mod run;
mod scenes;
mod shards;
mod stability;
mod status;
mod submit;
mod submit_ray;
mod train;
mod truth;
mod truth_neighbours;
mod weights;
mod zeroshot;

use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment};
use headspan_pipeline::{Overrides, Registry, Settings, SettingsFiles, Wanted, meant_variable};

use crate::{
    cli::{Command, DEFAULT_CONFIGS, PipelineArgs, SubmitEngine},
    console::Console,
    hints::Hinted,
};

pub(crate) use choices::choices;
pub(crate) use place::{existing_run, placed, settings_of_runs};

/// Wrong usage that only shows once files are read: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl UsageError {
    /// Wrong usage that a library found, which is kept as the cause.
    pub(crate) fn of<E: std::error::Error + Send + Sync + 'static>(error: E) -> anyhow::Error {
        let usage = Self(error.to_string());
        anyhow::Error::from(error).context(usage)
    }

    /// Wrong usage with what to do about it.
    pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        anyhow::Error::from(Self(message.clone())).context(Hinted::new(message, hint))
    }
}

/// Runs a command.
pub(crate) fn run(command: Command, console: &Console<'_>) -> Result<()> {
    warn_of_variables();
    match command {
        Command::RunAll { models, pipeline, json } => run::run(&models, &pipeline, Wanted::All, json, console),
        Command::Extract(arguments) => {
            let wanted = if arguments.merge { Wanted::Merge } else { Wanted::Extract(arguments.shard) };
            run::run(&arguments.models, &arguments.pipeline(), wanted, false, console)
        }
        Command::Textspan(arguments) => run::stage(&arguments.stage.models, &arguments.pipeline(), "textspan", console),
        Command::Label(arguments) if arguments.dry_run => {
            run::dry_run(&arguments.stage.models, &arguments.pipeline(), console)
        }
        Command::Label(arguments) => run::stage(&arguments.stage.models, &arguments.pipeline(), "label", console),
        Command::Metrics(arguments) => match &arguments.labels {
            Some(file) => run::score_file(file, &arguments.stage.models, &arguments.pipeline(), console),
            None => run::stage(&arguments.stage.models, &arguments.pipeline(), "metrics", console),
        },
        Command::Status(arguments) => status::status(&arguments.pipeline(), arguments.json, console),
        Command::Submit { engine: SubmitEngine::Slurm(arguments) } => submit::slurm(&arguments, console),
        Command::Submit { engine: SubmitEngine::Ray(arguments) } => submit_ray::ray(&arguments, console),
        Command::Plan { models, pipeline, json } => plan::plan(&models, &pipeline, json, console),
        Command::Compare { place, html, json } => compare::compare(&place.alone(), html.as_deref(), json, console),
        Command::Report(arguments) => report::report(&arguments, console),
        Command::Diff(arguments) => diff::diff(&arguments, console),
        Command::Prune(arguments) => prune::prune(&arguments, console),
        Command::Stability(arguments) => stability::stability(&arguments, console),
        Command::Review(arguments) => review::review(&arguments, console),
        Command::Notes(arguments) => review::notes(&arguments, console),
        Command::Weights(arguments) => weights::weights(&arguments, console),
        Command::Zeroshot(arguments) => zeroshot::zeroshot(&arguments, console),
        Command::Ablate(arguments) => ablate::ablate(&arguments, console),
        Command::Repair(arguments) => repair::repair(&arguments, console),
        Command::Replicate(arguments) => replicate::replicate(&arguments, console),
        Command::Fetch { names, configs } => fetch::fetch(&names, &configs, console),
        Command::Inspect(arguments) => inspect::inspect(&arguments, console),
        Command::Models { configs, json } => models::models(&configs, json, console),
        Command::Explore(arguments) => explore::explore(&arguments, console),
        Command::Query { question } => query::query(&question, console),
        Command::Export(arguments) => export::export(&arguments),
        Command::Align(arguments) => align::align(&arguments, console),
        Command::Scenes(arguments) => scenes::scenes(&arguments, console),
        Command::Train(arguments) => train::train(&arguments, console),
        Command::Evaluate(arguments) => evaluate::evaluate(&arguments, console),
        Command::Truth(arguments) => truth::truth(&arguments, console),
        Command::Doctor { configs } => doctor::doctor(&configs, console),
        Command::Config { pipeline } => config::config(&pipeline, console),
    }
}

/// The layers of settings for one model, or for none.
pub(crate) fn settings_files(arguments: &PipelineArgs, model: Option<&str>) -> Result<SettingsFiles> {
    layers(arguments, model, &Overrides::default())
}

/// The settings for one model above some others: those are stronger than the files of the configuration folder, and weaker than all that the person
/// says.
pub(crate) fn settings_above(arguments: &PipelineArgs, model: Option<&str>, beneath: &Overrides) -> Result<Settings> {
    Ok(layers(arguments, model, beneath)?.settings()?)
}

fn layers(arguments: &PipelineArgs, model: Option<&str>, beneath: &Overrides) -> Result<SettingsFiles> {
    let configs = &arguments.place.configs;
    if configs != Path::new(DEFAULT_CONFIGS) && !configs.is_dir() {
        let is = if configs.exists() { "is a file, expected a folder" } else { "does not exist" };
        return Err(UsageError(format!("--configs `{}` {is}", configs.display())).into());
    }
    let mut files = SettingsFiles::new(configs)?;
    if let Some(model) = model {
        files = files.of_model(configs, model)?;
    }
    files = files.overrides(beneath)?;
    for path in &arguments.place.config {
        files = files.file(path)?;
    }
    files = files.environment(environment()?)?;
    for assignment in &arguments.place.set {
        files = files.assignment(assignment)?;
    }
    Ok(files.overrides(&arguments.overrides())?)
}

/// The settings for one model, or for none, after all layers.
pub(crate) fn settings(arguments: &PipelineArgs, model: Option<&str>) -> Result<Settings> {
    Ok(settings_files(arguments, model)?.settings()?)
}

/// The models that are known by id.
pub(crate) fn registry(configs: &Path) -> Result<Registry> {
    Ok(Registry::read(configs)?)
}

/// Warns of environment variables that look like settings and are none.
fn warn_of_variables() {
    for (name, _) in std::env::vars_os() {
        if let Some((name, meant)) = name.to_str().and_then(|name| Some((name, meant_variable(name)?))) {
            tracing::warn!("ignored the environment variable `{name}`; did you mean `{meant}`?");
        }
    }
}

/// The environment variables that are settings; others may be anything.
fn environment() -> Result<::config::Map<String, String>> {
    let mut found = ::config::Map::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("HEADSPAN")) else { continue };
        let value = value.to_str().map(str::to_owned);
        found.insert(name.to_owned(), value.with_context(|| format!("environment variable `{name}` is not UTF-8"))?);
    }
    Ok(found)
}

/// A cell with text at its right end, as numbers are.
pub(crate) fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// A share from 0 to 1, for a table.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Refuses the value of a flag that is no share.
pub(crate) fn share(flag: &str, value: f32) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(UsageError(format!("--{flag} {value}: a share from 0 to 1")).into())
}
