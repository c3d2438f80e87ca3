use std::path::Path;

use anyhow::Result;
use headspan_pipeline::{demo::BuiltInModel, fetch_descriptions, fetch_model, fetch_tokenizer};

use crate::{
    commands::{UsageError, print, registry},
    progress::Terminal,
};

/// Fetches what is named and prints where it is.
pub(crate) fn fetch(names: &[String], configs: &Path, quiet: bool) -> Result<()> {
    let (registry, progress) = (registry(configs)?, Terminal { quiet });
    for name in names {
        if name == "descriptions" {
            print(&fetch_descriptions(&progress)?.display().to_string())?;
            continue;
        }
        if name == "tokenizer" {
            print(&fetch_tokenizer(&progress)?.display().to_string())?;
            continue;
        }
        if BuiltInModel::find(name).is_some() {
            tracing::info!("`{name}` is in the program; there is nothing to fetch");
            continue;
        }
        for model in registry.resolve(name).map_err(UsageError::of)? {
            let files = fetch_model(&model, &progress)?;
            for path in [files.config, files.weights, files.tokenizer] {
                print(&path.display().to_string())?;
            }
        }
    }
    Ok(())
}
