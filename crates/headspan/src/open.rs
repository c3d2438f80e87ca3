//! Finished runs, for a program that asks them itself.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use headspan_artifacts::{RunDirectory, RunId, check_address, is_folder, is_remote};
use headspan_pipeline::{PipelineError, Session, column_store};

use crate::{
    cli::{DEFAULT_CONFIGS, PipelineArgs},
    commands::{UsageError, registry, settings},
    failure::CommandError,
};

/// Where a run's model and images are, if they are elsewhere than its record says, and where the model runs.
#[derive(Debug, Clone, Default)]
pub struct RunSources {
    /// Checkpoint folder or file of weights.
    pub checkpoint: Option<PathBuf>,
    /// The images.
    pub images: Option<PathBuf>,
    /// `cpu`, `wgpu`, `cuda` or `auto`.
    pub device: Option<String>,
}

/// Opens the run in a folder `RUNS/DATASET/MODEL`, or at such an address. Model and images are opened when a question first needs them.
///
/// # Errors
///
/// If there is no such run, or no finished extraction in it.
pub fn open_run(folder: &Path, sources: &RunSources) -> Result<Session, CommandError> {
    open(folder, sources).map_err(|error| CommandError::new(&error))
}

fn open(folder: &Path, sources: &RunSources) -> Result<Session> {
    let whole = whole(folder)?;
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let place = whole.parent().and_then(|dataset| Some((dataset.parent()?, name(dataset)?, name(&whole)?)));
    let no_run = || UsageError(format!("`{}` is not the folder of a run: RUNS/DATASET/MODEL", folder.display()));
    let (runs, dataset, model) = place.ok_or_else(no_run)?;
    let id = RunId::new(&dataset, &model).with_context(no_run)?;
    let mut arguments = PipelineArgs::default();
    arguments.place.configs = DEFAULT_CONFIGS.into();
    arguments.place.runs = Some(runs.to_owned());
    arguments.place.dataset = Some(dataset);
    arguments.checkpoint.checkpoint.clone_from(&sources.checkpoint);
    arguments.images.images.clone_from(&sources.images);
    let device = sources.device.as_deref().map(str::parse).transpose();
    arguments.device.device = device.map_err(UsageError)?;
    let own = settings(&arguments, None)?;
    let registry = Arc::new(registry(&arguments.place.configs)?);
    Ok(Session::open(RunDirectory::at(runs, &id), own, registry, &column_store())?)
}

/// The whole path of a run that is there.
fn whole(folder: &Path) -> Result<PathBuf> {
    let not_there = || PipelineError::NotThere { key: "run", path: folder.to_owned() };
    if is_remote(folder) {
        check_address(folder, false)?;
        return if is_folder(folder)? { Ok(folder.to_owned()) } else { Err(not_there().into()) };
    }
    fs_err::canonicalize(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => not_there().into(),
        _ => error.into(),
    })
}
