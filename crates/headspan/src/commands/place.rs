//! Which data set and which run a command is about, where the person does not say.

use std::collections::BTreeSet;

use anyhow::Result;
use headspan_artifacts::{RunDirectory, RunId, check_address, is_remote, shown, similar_name};
use headspan_pipeline::{PipelineError, Settings};

use crate::{
    cli::{PipelineArgs, PlaceArgs},
    commands::{UsageError, settings},
    hints::Hinted,
};

/// The flags, with the data set that a command about runs means: the one that was named, else the default where it has runs, else the
/// only one that has runs (of `model`, if one is named).
pub(crate) fn placed(arguments: &PipelineArgs, model: Option<&str>) -> Result<PipelineArgs> {
    let own = settings(arguments, None)?;
    if !is_default(arguments, &own) {
        return Ok(arguments.clone());
    }
    check_runs(&own)?;
    let runs = RunDirectory::list(&own.runs, None)?;
    let fits = |run: &&RunDirectory| model.is_none_or(|model| run.id().model() == model);
    let found: BTreeSet<&str> = runs.iter().filter(fits).map(|run| run.id().dataset()).collect();
    let mut placed = arguments.clone();
    if found.len() > 1 && !found.contains(own.dataset.as_str()) {
        return Err(several("data sets", &own.runs.display().to_string(), found, "--dataset NAME"));
    }
    if let Some(only) = found.first().filter(|_| !found.contains(own.dataset.as_str())) {
        tracing::info!("data set `{only}`, the only one in `{}`", own.runs.display());
        placed.place.dataset = Some((*only).to_owned());
    }
    Ok(placed)
}

/// The settings for a command about runs by name: with the data set that is meant, unless each name says its own (`DATASET/MODEL`).
pub(crate) fn settings_of_runs(place: &PlaceArgs, names: &[Option<&str>]) -> Result<Settings> {
    let arguments = place.alone();
    let are_whole = names.iter().all(|name| name.is_some_and(|name| name.contains('/')));
    settings(&if are_whole { arguments } else { placed(&arguments, None)? }, None)
}

/// Whether nobody named a data set.
pub(crate) fn is_default(arguments: &PipelineArgs, own: &Settings) -> bool {
    arguments.place.dataset.is_none() && own.dataset == Settings::default().dataset
}

fn several<'a>(what: &str, place: &str, names: impl IntoIterator<Item = &'a str>, say: &str) -> anyhow::Error {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    UsageError::hinted(format!("`{place}` has several {what}: {}", names.join(", ")), format!("say which: {say}"))
}

/// Refuses a file in the place of the folder of runs, which would pass for a folder without runs, and an address that is none.
pub(crate) fn check_runs(own: &Settings) -> Result<()> {
    if is_remote(&own.runs) {
        let refused = |source| PipelineError::Runs { runs: shown(&own.runs), source };
        return Ok(check_address(&own.runs, false).map_err(refused)?);
    }
    if own.runs.exists() && !own.runs.is_dir() {
        let path = own.runs.clone();
        return Err(PipelineError::WrongKind { key: "runs", path, found: "a file", expected: "a folder" }.into());
    }
    Ok(())
}

/// The run of one model, which must exist: `MODEL` of the data set, or `DATASET/MODEL`. Without a name the only run that was extracted.
pub(crate) fn existing_run(own: &Settings, model: Option<&str>) -> Result<RunDirectory> {
    check_runs(own)?;
    let Some(name) = model.map(|name| name.trim_end_matches('/')) else { return only_run(own) };
    let (dataset, model) = name.split_once('/').unwrap_or((own.dataset.as_str(), name));
    let run = RunDirectory::at(&own.runs, &RunId::new(dataset, model)?);
    if run.is_there()? {
        return Ok(run);
    }
    let message = format!("no run of `{model}` over `{dataset}` in `{}`", own.runs.display());
    Err(Hinted::new(message, instead(own, dataset, model)?).into())
}

fn only_run(own: &Settings) -> Result<RunDirectory> {
    let mut runs = extracted(RunDirectory::list(&own.runs, Some(&own.dataset))?)?;
    match runs.len() {
        0 => {
            let message = format!("no run of `{}` in `{}`", own.dataset, own.runs.display());
            Err(Hinted::new(message, instead(own, &own.dataset, "")?).into())
        }
        1 => {
            let run = runs.remove(0);
            tracing::info!("run of `{}`, the only one of `{}`", run.id().model(), own.dataset);
            Ok(run)
        }
        _ => Err(several("runs", &own.dataset, runs.iter().map(|run| run.id().model()), "name a MODEL")),
    }
}

/// The runs that are more than the scores of a file of labels.
pub(crate) fn extracted(runs: Vec<RunDirectory>) -> Result<Vec<RunDirectory>> {
    let mut found = Vec::new();
    for run in runs {
        if run.parts_there()? > 0 || run.record("images")?.is_some() {
            found.push(run);
        }
    }
    Ok(found)
}

/// What to ask for instead of a run that is not there.
pub(crate) fn instead(own: &Settings, dataset: &str, model: &str) -> Result<String> {
    let all = RunDirectory::list(&own.runs, None)?;
    let datasets: BTreeSet<&str> = all.iter().map(|run| run.id().dataset()).collect();
    let models: Vec<&str> =
        all.iter().filter(|run| run.id().dataset() == dataset).map(|run| run.id().model()).collect();
    Ok(if !models.is_empty() {
        let meant = similar_name(model, models.iter().copied());
        meant.map_or_else(|| format!("the runs of `{dataset}` are {}", models.join(", ")), did_you_mean)
    } else if let Some(meant) = similar_name(dataset, datasets.iter().copied()) {
        did_you_mean(meant)
    } else if datasets.is_empty() {
        "run `headspan run-all` first, or give --runs DIR".to_owned()
    } else {
        let names: Vec<&str> = datasets.into_iter().collect();
        format!("give --dataset NAME; there are {}", names.join(", "))
    })
}

pub(crate) fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}
