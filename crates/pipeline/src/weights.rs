//! Files of the known models: in the hub's cache, or fetched into it.

use std::path::PathBuf;

use headspan_hub::{HubError, HubSettings, Snapshot, cached, fetch_url};
use headspan_model::{CheckpointFiles, architectures};

use crate::{
    error::{PipelineError, Result},
    progress::Progress,
    registry::{KnownModel, Registry},
};

/// The published description pool (MIT licence), as fetched by `headspan fetch descriptions`.
const POOL_URL: &str = "https://raw.githubusercontent.com/yossigandelsman/clip_text_span/main/text_descriptions/image_descriptions_general.txt";
const POOL_FILE: &str = "data/image_descriptions_general.txt";

/// Endpoint, cache and token, from the environment that Python's `huggingface_hub` reads.
pub fn hub_settings() -> HubSettings {
    HubSettings::from_env(|name| std::env::var(name).ok())
}

/// The files of a model if all of them are in the cache.
pub fn cached_files(model: &KnownModel) -> Result<CheckpointFiles> {
    let settings = hub_settings();
    let missing = || PipelineError::NotFetched { model: model.id.clone(), cache: settings.cache.clone() };
    find_files(&settings, model).ok_or_else(missing)
}

fn find_files(settings: &HubSettings, model: &KnownModel) -> Option<CheckpointFiles> {
    let find = |file: &str| cached(settings, &model.repository, &model.revision, file);
    Some(CheckpointFiles {
        config: find(&model.config)?,
        weights: model.weights.iter().find_map(|name| find(name))?,
        tokenizer: find(&model.tokenizer)?,
    })
}

/// Fetches the files of a model, all from one commit, and returns them. A model that the cache has whole needs no network.
pub fn fetch_model(model: &KnownModel, progress: &dyn Progress) -> Result<CheckpointFiles> {
    let settings = hub_settings();
    if let Some(files) = find_files(&settings, model) {
        return Ok(files);
    }
    let runtime = runtime()?;
    let snapshot = runtime.block_on(Snapshot::latest(&settings, &model.repository, &model.revision, &model.config))?;
    let fetch = |file: &str| -> Result<PathBuf, HubError> {
        let meter = progress.begin(file, "bytes");
        let report = |done: u64, total: Option<u64>| meter.report(done, total.unwrap_or(done));
        runtime.block_on(snapshot.fetch(file, &report))
    };
    let files = CheckpointFiles {
        config: fetch(&model.config)?,
        tokenizer: fetch(&model.tokenizer)?,
        weights: fetch_weights(model, fetch)?,
    };
    snapshot.keep()?;
    Ok(files)
}

/// Fetches the first of the model's weights files that the repository has.
fn fetch_weights(model: &KnownModel, fetch: impl Fn(&str) -> Result<PathBuf, HubError>) -> Result<PathBuf> {
    let mut missing = None;
    for name in &model.weights {
        match fetch(name) {
            Ok(weights) => return Ok(weights),
            Err(error @ HubError::NotFound { .. }) => missing = missing.or(Some(error)),
            Err(error) => return Err(error.into()),
        }
    }
    let (repository, expected) = (model.repository.clone(), model.weights.join(", "));
    Err(match missing {
        Some(source) => PipelineError::NoWeights { repository, expected, source: Box::new(source) },
        None => PipelineError::UnknownWeights { model: model.id.clone() },
    })
}

/// The model of the hub whose tokenizer is CLIP's, as that of nearly all is.
fn tokenizer_of_clip() -> Result<KnownModel> {
    Ok(Registry::built_in()?.resolve("ViT-B-32_openai")?.remove(0))
}

/// CLIP's tokenizer, if any model of the program that has it is in the cache.
pub(crate) fn cached_tokenizer() -> Option<PathBuf> {
    let (settings, registry) = (hub_settings(), Registry::built_in().ok()?);
    // Those that are known without a configuration have CLIP's vocabulary; SigLIP has its own.
    let is_clip = |model: &&KnownModel| architectures().any(|name| name == model.architecture);
    registry
        .models()
        .iter()
        .filter(is_clip)
        .find_map(|model| cached(&settings, &model.repository, &model.revision, &model.tokenizer))
}

/// Fetches CLIP's tokenizer and returns where it is.
pub fn fetch_tokenizer(progress: &dyn Progress) -> Result<PathBuf> {
    if let Some(path) = cached_tokenizer() {
        return Ok(path);
    }
    let (settings, model) = (hub_settings(), tokenizer_of_clip()?);
    let runtime = runtime()?;
    let snapshot =
        runtime.block_on(Snapshot::latest(&settings, &model.repository, &model.revision, &model.tokenizer))?;
    let meter = progress.begin(&model.tokenizer, "bytes");
    let report = |done: u64, total: Option<u64>| meter.report(done, total.unwrap_or(done));
    let path = runtime.block_on(snapshot.fetch(&model.tokenizer, &report))?;
    snapshot.keep()?;
    Ok(path)
}

/// Fetches the published description pool and returns where it is.
pub fn fetch_descriptions(progress: &dyn Progress) -> Result<PathBuf> {
    let target = PathBuf::from(POOL_FILE);
    let meter = progress.begin("descriptions", "bytes");
    let report = |done: u64, total: Option<u64>| meter.report(done, total.unwrap_or(done));
    let url = std::env::var("HEADSPAN_POOL_URL").unwrap_or_else(|_| POOL_URL.to_owned());
    runtime()?.block_on(fetch_url(&hub_settings(), &url, &target, None, &report))?;
    Ok(target)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
