use std::path::Path;

use anyhow::Result;
use headspan_pipeline::{demo::BuiltInModel, fetch_descriptions, fetch_model, fetch_tokenizer};

use crate::{
    commands::{UsageError, registry},
    console::Console,
};

/// Fetches what is named and prints where it is.
pub(crate) fn fetch(names: &[String], configs: &Path, console: &Console<'_>) -> Result<()> {
    let (registry, progress) = (registry(configs)?, console.progress());
    for name in names {
        if name == "descriptions" {
            console.print(&fetch_descriptions(progress)?.display().to_string())?;
            continue;
        }
        if name == "tokenizer" {
            console.print(&fetch_tokenizer(progress)?.display().to_string())?;
            continue;
        }
        if BuiltInModel::find(name).is_some() {
            tracing::info!("`{name}` is in the program; there is nothing to fetch");
            continue;
        }
        for model in registry.resolve(name).map_err(UsageError::of)? {
            let files = fetch_model(&model, progress)?;
            for path in [files.config, files.weights, files.tokenizer] {
                console.print(&path.display().to_string())?;
            }
        }
    }
    Ok(())
}
