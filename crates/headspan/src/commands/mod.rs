//! One file per subcommand.

mod compare;
mod config;
mod curve;
mod doctor;
mod evaluate;
mod evaluate_segmentation;
mod explore;
mod export;
mod fetch;
mod models;
mod plan;
mod query;
mod run;
mod scenes;
mod status;
mod train;
mod truth;
mod truth_neighbours;

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};
use headspan_artifacts::RunId;

use headspan_pipeline::{ModelChoice, ModelSource, Registry, Settings, SettingsFiles, Wanted, demo::BuiltInModel};

use crate::{
    cli::{Cli, Command, DEFAULT_CONFIGS, PipelineArgs},
    hints::Hinted,
};

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
}

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let quiet = cli.quiet;
    match cli.command {
        Command::RunAll { models, pipeline } => run::run(&models, &pipeline, Wanted::All, quiet),
        Command::Extract { models, pipeline, shard, merge } => {
            let wanted = if merge { Wanted::Merge } else { Wanted::Extract(shard) };
            run::run(&models, &pipeline, wanted, quiet)
        }
        Command::Textspan { models, pipeline } => run::stage(&models, &pipeline, "textspan", quiet),
        Command::Label { models, pipeline, dry_run: true } => run::dry_run(&models, &pipeline),
        Command::Label { models, pipeline, .. } => run::stage(&models, &pipeline, "label", quiet),
        Command::Metrics { pipeline, labels: Some(file), .. } => run::score_file(&file, &pipeline),
        Command::Metrics { models, pipeline, .. } => run::stage(&models, &pipeline, "metrics", quiet),
        Command::Status { pipeline, json } => status::status(&pipeline, json),
        Command::Plan { models, pipeline } => plan::plan(&models, &pipeline, quiet),
        Command::Compare { pipeline, html } => compare::compare(&pipeline, html.as_deref()),
        Command::Fetch { names, configs } => fetch::fetch(&names, &configs, quiet),
        Command::Models { configs, json } => models::models(&configs, json),
        Command::Explore(arguments) => explore::explore(&arguments, quiet),
        Command::Query { question } => query::query(&question),
        Command::Export(arguments) => export::export(&arguments),
        Command::Scenes(arguments) => scenes::scenes(&arguments),
        Command::Train(arguments) => train::train(&arguments, quiet),
        Command::Evaluate(arguments) => evaluate::evaluate(&arguments),
        Command::Truth(arguments) => truth::truth(&arguments),
        Command::Doctor { configs } => doctor::doctor(&configs),
        Command::Config { pipeline } => config::config(&pipeline),
    }
}

/// The layers of settings for one model, or for none.
pub(crate) fn settings_files(arguments: &PipelineArgs, model: Option<&str>) -> Result<SettingsFiles> {
    let configs = &arguments.configs;
    if configs != Path::new(DEFAULT_CONFIGS) && !configs.is_dir() {
        return Err(UsageError(format!("--configs `{}`: there is no such folder", configs.display())).into());
    }
    let mut files = SettingsFiles::new(configs)?;
    if let Some(model) = model {
        files = files.of_model(configs, model)?;
    }
    for path in &arguments.config {
        files = files.file(path)?;
    }
    Ok(files.environment(environment()?)?.overrides(&arguments.overrides())?)
}

/// The settings for one model, or for none, after all layers.
pub(crate) fn settings(arguments: &PipelineArgs, model: Option<&str>) -> Result<Settings> {
    Ok(settings_files(arguments, model)?.settings()?)
}

/// The models that are known by id.
pub(crate) fn registry(configs: &Path) -> Result<Registry> {
    Ok(Registry::read(configs)?)
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

/// The models that a command is about: those named, else those of the configuration, else the checkpoint's folder.
pub(crate) fn choices(names: &[String], settings: &Settings, registry: &Registry) -> Result<Vec<ModelChoice>> {
    let names = if names.is_empty() { &settings.models } else { names };
    if let Some(folder) = &settings.checkpoint {
        let id = match names {
            [] => folder_name(folder)?,
            [id] => id.clone(),
            _ => {
                return Err(UsageError("--checkpoint is one model; name at most one with it".to_owned()).into());
            }
        };
        return Ok(vec![ModelChoice { id, source: ModelSource::Folder(folder.clone()) }]);
    }
    if names.is_empty() {
        let message = "no model: name one (`headspan models` lists them), or give --checkpoint DIR";
        return Err(UsageError(message.to_owned()).into());
    }
    let mut choices = Vec::new();
    for name in names {
        if let Some(model) = BuiltInModel::find(name) {
            choices.push(ModelChoice { id: name.clone(), source: ModelSource::Folder(model.unpack(&settings.runs)?) });
            continue;
        }
        for model in registry.resolve(name).map_err(UsageError::of)? {
            choices.push(ModelChoice { id: model.id.clone(), source: ModelSource::Hub(Box::new(model)) });
        }
    }
    Ok(choices)
}

fn folder_name(folder: &Path) -> Result<String> {
    let whole = fs_err::canonicalize(folder).context("the checkpoint folder of --checkpoint is not there")?;
    // Of a file of weights, the name without its ending.
    let name = if whole.is_file() { whole.file_stem() } else { whole.file_name() };
    let name = name.and_then(|name| name.to_str());
    let usable = name.filter(|name| RunId::new("any", name).is_ok()).map(str::to_owned);
    let unusable = || {
        let folder = folder.display();
        let message = format!("the name of `{folder}` cannot be a model's id");
        Hinted::new(message, format!("give one: `headspan run-all NAME --checkpoint \"{folder}\"`"))
    };
    Ok(usable.ok_or_else(unusable)?)
}

/// Writes data to stdout; a closed pipe (`| head`) is not an error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
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

/// JSON for machines, to stdout.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}
