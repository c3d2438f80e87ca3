//! Files of the known models: in the hub's cache, or fetched into it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use headspan_clip::CheckpointFiles;
use headspan_hub::{HubError, HubSettings, cached, fetch_file, fetch_url, install_tls};

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
    let find = |file: &str| cached(&settings, &model.repository, &model.revision, file);
    let found = find(&model.config).zip(model.weights.iter().find_map(|name| find(name))).zip(find(&model.tokenizer));
    let Some(((config, weights), tokenizer)) = found else {
        bail!(
            "`{}` is not fetched: run `headspan fetch {}`, or give --checkpoint DIR (looked in `{}`)",
            model.id,
            model.id,
            settings.cache.display()
        );
    };
    Ok(CheckpointFiles { config, weights, tokenizer })
}

/// Fetches the files of a model and returns them.
pub(crate) fn fetch_model(model: &KnownModel, quiet: bool) -> Result<CheckpointFiles> {
    let settings = settings();
    let fetch = |file: &str| -> Result<PathBuf, HubError> {
        let reporter = Reporter::new(file, "bytes", quiet);
        let progress = |done: u64, total: Option<u64>| reporter.report(done, total.unwrap_or(done));
        runtime()?.block_on(fetch_file(&settings, &model.repository, &model.revision, file, &progress))
    };
    install_tls();
    let config = fetch(&model.config)?;
    let tokenizer = fetch(&model.tokenizer)?;
    let mut missing = None;
    for name in &model.weights {
        match fetch(name) {
            Ok(weights) => return Ok(CheckpointFiles { config, weights, tokenizer }),
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
