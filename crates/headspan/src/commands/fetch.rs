use anyhow::Result;

use crate::{
    commands::{UsageError, print},
    hub,
    models::resolve,
};

/// Fetches what is named and prints where it is.
pub(crate) fn fetch(names: &[String], quiet: bool) -> Result<()> {
    for name in names {
        if name == "descriptions" {
            print(&hub::fetch_pool(quiet)?.display().to_string())?;
            continue;
        }
        for model in resolve(name).map_err(|error| UsageError(error.to_string()))? {
            let files = hub::fetch_model(&model, quiet)?;
            for path in [files.config, files.weights, files.tokenizer] {
                print(&path.display().to_string())?;
            }
        }
    }
    Ok(())
}
