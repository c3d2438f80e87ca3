//! One file per subcommand.

mod compare;
mod config;
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

pub(crate) use compare::labellers;
pub(crate) use status::notices;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use headspan_artifacts::RunId;

use crate::{
    built_in::BuiltInModel,
    cli::{Cli, Command, DEFAULT_CONFIGS, PipelineArgs},
    models::{ModelChoice, ModelSource, resolve},
    pipeline::Wanted,
    settings::{Layers, Settings},
};

/// Wrong usage that only shows once files are read: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Runs a command.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let quiet = cli.quiet;
    match cli.command {
        Command::RunAll { models, pipeline } => run::run(&models, &pipeline, Wanted::All, quiet),
        Command::Extract { models, pipeline, shard, merge } => {
            let wanted = if merge { Wanted::Merge } else { Wanted::Extract(shard) };
            run::run(&models, &pipeline, wanted, quiet)
        }
        Command::Textspan { models, pipeline } => {
            run::stage(&models, &pipeline, headspan_artifacts::Stage::Textspan, quiet)
        }
        Command::Label { models, pipeline, dry_run: true } => run::dry_run(&models, &pipeline),
        Command::Label { models, pipeline, .. } => {
            run::stage(&models, &pipeline, headspan_artifacts::Stage::Label, quiet)
        }
        Command::Metrics { pipeline, labels: Some(file), .. } => run::score_file(&file, &pipeline),
        Command::Metrics { models, pipeline, .. } => {
            run::stage(&models, &pipeline, headspan_artifacts::Stage::Metrics, quiet)
        }
        Command::Status { pipeline, json } => status::status(&pipeline, json),
        Command::Plan { models, pipeline } => plan::plan(&models, &pipeline),
        Command::Compare { pipeline, html } => compare::compare(&pipeline, html.as_deref()),
        Command::Fetch { names } => fetch::fetch(&names, quiet),
        Command::Models { json } => models::models(json),
        Command::Explore(arguments) => explore::explore(&arguments, quiet),
        Command::Query { question } => query::query(&question),
        Command::Export(arguments) => export::export(&arguments),
        Command::Scenes(arguments) => scenes::scenes(&arguments),
        Command::Train(arguments) => train::train(&arguments, quiet),
        Command::Evaluate(arguments) => evaluate::evaluate(&arguments),
        Command::Truth(arguments) => truth::truth(&arguments),
        Command::Doctor => doctor::doctor(),
        Command::Config { pipeline } => config::config(&pipeline),
    }
}

/// Merges the layers of configuration for one model, or for none.
pub(crate) fn settings(arguments: &PipelineArgs, model: Option<&str>) -> Result<Settings> {
    let text = |path: &Option<PathBuf>| path.as_deref().map(in_utf8).transpose();
    if arguments.configs != Path::new(DEFAULT_CONFIGS) && !arguments.configs.is_dir() {
        return Err(UsageError(format!("--configs `{}`: there is no such folder", arguments.configs.display())).into());
    }
    let mut layers = Layers::new(&arguments.configs)?;
    if let Some(model) = model {
        // Settings of one model, beside the file of its weights.
        let path = arguments.configs.join("models").join(format!("{model}.settings.toml"));
        if path.is_file() {
            layers = layers.file(&path)?;
        }
    }
    for path in &arguments.config {
        layers = layers.file(path)?;
    }
    let settings = layers
        .environment(environment()?)?
        .flag("runs", text(&arguments.runs)?)?
        .flag("dataset", arguments.dataset.clone())?
        .flag("checkpoint", text(&arguments.checkpoint)?)?
        .flag("data.path", text(&arguments.images)?)?
        .flag("data.classes", text(&arguments.classes)?)?
        .flag("data.limit", arguments.limit)?
        .flag("texts.file", text(&arguments.texts)?)?
        .flag("device", arguments.device.map(|device| device.to_string()))?
        .flag("images.layers", arguments.layers.as_ref().map(ToString::to_string))?
        .flag("images.batch_size", arguments.batch_size)?
        .flag("images.strict", arguments.strict.then_some(true))?
        .flag("textspan.texts", arguments.k)?
        .flag("textspan.rank", arguments.rank)?
        .flag("label.labeller", arguments.labeller.map(super::settings::Labeller::name))?
        .settings()?;
    Ok(settings)
}

/// Settings are text, so a path in them is.
fn in_utf8(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("`{}` is not UTF-8: give the file or folder another name", path.display()))
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
pub(crate) fn choices(names: &[String], settings: &Settings) -> Result<Vec<ModelChoice>> {
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
        for model in resolve(name).map_err(|error| UsageError(error.to_string()))? {
            choices.push(ModelChoice { id: model.id.clone(), source: ModelSource::Hub(Box::new(model)) });
        }
    }
    Ok(choices)
}

fn folder_name(folder: &Path) -> Result<String> {
    let whole = fs_err::canonicalize(folder).context("the checkpoint folder of --checkpoint is not there")?;
    let name = whole.file_name().and_then(|name| name.to_str());
    let usable = name.filter(|name| RunId::new("any", name).is_ok()).map(str::to_owned);
    usable.with_context(|| {
        let folder = folder.display();
        format!("`{folder}` has no name that could be a model's id; give one: `headspan run-all NAME --checkpoint {folder:?}`")
    })
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
