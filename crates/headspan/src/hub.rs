//! Files of the known models: in the hub's cache, or fetched into it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use headspan_clip::CheckpointFiles;
use headspan_hub::{HubError, HubSettings, Snapshot, cached, fetch_url, install_tls};

use crate::{models::KnownModel, progress::Reporter};

/// The published description pool (MIT licence), as fetched by `headspan fetch descriptions`.
const POOL_URL: &str = "https://raw.githubusercontent.com/yossigandelsman/clip_text_span/main/text_descriptions/image_descriptions_general.txt";
pub(crate) const POOL_FILE: &str = "data/image_descriptions_general.txt";

pub(crate) fn settings() -> HubSettings {
    HubSettings::from_env(|name| std::env::var(name).ok())
}

/// The files of a model if all of them are in the cache.
pub(crate) fn cached_files(model: &KnownModel) -> Result<CheckpointFiles> {
    let settings = settings();
    let Some(files) = find_files(&settings, model) else {
        bail!(
            "`{}` is not fetched: run `headspan fetch {}`, or give --checkpoint DIR (looked in `{}`)",
            model.id,
            model.id,
            settings.cache.display()
        );
    };
    Ok(files)
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
pub(crate) fn fetch_model(model: &KnownModel, quiet: bool) -> Result<CheckpointFiles> {
    let settings = settings();
    if let Some(files) = find_files(&settings, model) {
        return Ok(files);
    }
    install_tls();
    let runtime = runtime()?;
    let snapshot = runtime.block_on(Snapshot::latest(&settings, &model.repository, &model.revision, &model.config))?;
    let fetch = |file: &str| -> Result<PathBuf, HubError> {
        let reporter = Reporter::new(file, "bytes", quiet);
        let progress = |done: u64, total: Option<u64>| reporter.report(done, total.unwrap_or(done));
        runtime.block_on(snapshot.fetch(file, &progress))
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
    Err(missing.map_or_else(|| anyhow::anyhow!("no weights are named"), anyhow::Error::from))
        .with_context(|| format!("`{}` has none of {}", model.repository, model.weights.join(", ")))
}

/// Fetches the published description pool.
pub(crate) fn fetch_pool(quiet: bool) -> Result<PathBuf> {
    install_tls();
    let target = PathBuf::from(POOL_FILE);
    let reporter = Reporter::new("descriptions", "bytes", quiet);
    let progress = |done: u64, total: Option<u64>| reporter.report(done, total.unwrap_or(done));
    let url = std::env::var("HEADSPAN_POOL_URL").unwrap_or_else(|_| POOL_URL.to_owned());
    runtime()?.block_on(fetch_url(&settings(), &url, &target, None, &progress))?;
    Ok(target)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
