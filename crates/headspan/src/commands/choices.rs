//! Which models a command is about.

use std::path::Path;

use anyhow::Result;
use headspan_artifacts::RunId;
use headspan_model::{CheckpointFiles, ModelConfig};
use headspan_pipeline::{ModelChoice, ModelSource, PipelineError, Registry, Settings, demo::BuiltInModel};

use crate::{commands::UsageError, hints::Hinted};

/// The models that a command is about, each once: those named, else those of the configuration, else the checkpoint's folder.
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
        check_folder(folder)?;
        check_name(&id, folder, registry)?;
        return Ok(vec![ModelChoice { id, source: ModelSource::Folder(folder.clone()) }]);
    }
    if names.is_empty() {
        let message = "no model: name one (`headspan models` lists them), or give --checkpoint DIR";
        return Err(UsageError(message.to_owned()).into());
    }
    let mut choices: Vec<ModelChoice> = Vec::new();
    for name in names {
        for choice in named(name, settings, registry)? {
            if choices.iter().all(|known| known.id != choice.id) {
                choices.push(choice);
            }
        }
    }
    Ok(choices)
}

/// The models that a name stands for.
fn named(name: &str, settings: &Settings, registry: &Registry) -> Result<Vec<ModelChoice>> {
    if let Some(model) = BuiltInModel::find(name) {
        let source = ModelSource::Folder(model.unpack(&settings.runs)?);
        return Ok(vec![ModelChoice { id: name.to_owned(), source }]);
    }
    let known = registry.resolve(name).map_err(UsageError::of)?;
    let of_hub = |model: headspan_pipeline::KnownModel| ModelChoice {
        id: model.id.clone(),
        source: ModelSource::Hub(Box::new(model)),
    };
    Ok(known.into_iter().map(of_hub).collect())
}

fn folder_name(folder: &Path) -> Result<String> {
    check_folder(folder)?;
    let whole = fs_err::canonicalize(folder)?;
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

fn check_folder(folder: &Path) -> Result<()> {
    let (key, path) = ("checkpoint", folder.to_owned());
    match fs_err::metadata(folder) {
        Ok(found) if found.is_dir() || found.is_file() => Ok(()),
        Ok(_special) => {
            let (found, expected) = ("neither a file nor a folder", "a folder or a file of weights");
            Err(PipelineError::WrongKind { key, path, found, expected }.into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(PipelineError::NotThere { key, path }.into()),
        Err(source) => Err(PipelineError::Inaccessible { key, path, source }.into()),
    }
}

/// Refuses to save a checkpoint under the name of a published model that it is not, going by the number of its heads; warns where
/// they are as many.
fn check_name(id: &str, folder: &Path, registry: &Registry) -> Result<()> {
    let published = registry.models().iter().filter(|model| model.id == id || model.architecture == id);
    let published = published.map(|model| (model.layers, model.heads));
    let sizes: Vec<_> = published.chain(BuiltInModel::find(id).map(|model| (model.layers, model.heads))).collect();
    let Some((layers, heads)) = sizes.first() else { return Ok(()) };
    // A folder without a configuration is refused later, with all that it lacks.
    let config = CheckpointFiles::find(folder).and_then(|files| ModelConfig::read(&files.config));
    let Ok(own) = config.map(|config| (config.vision.layers, config.vision.heads)) else { return Ok(()) };
    let shown = folder.display();
    if !sizes.contains(&own) {
        let message = format!(
            "`{id}` is the name of a known model, which has {layers} layers of {heads} heads; `{shown}` has {} of {}",
            own.0, own.1
        );
        return Err(UsageError::hinted(message, "leave the name out to use the folder's, or choose another"));
    }
    if folder.file_name().is_none_or(|name| name != id) {
        tracing::warn!(
            "`{shown}` is saved under the name of the known model `{id}`; make sure that it holds its weights"
        );
    }
    Ok(())
}
