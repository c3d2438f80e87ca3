use anyhow::Result;

use crate::{
    cli::PipelineArgs,
    commands::{choices, print, settings},
};

/// Prints the settings after all layers, as TOML that could be a configuration file.
pub(crate) fn config(arguments: &PipelineArgs) -> Result<()> {
    let common = settings(arguments, None)?;
    // A checkpoint's folder names the model, whose own file is a layer, too.
    let of_one = match choices(&[], &common) {
        Ok(found) if found.len() == 1 => settings(arguments, Some(&found[0].id))?,
        _ => common,
    };
    print(&toml::to_string_pretty(&of_one)?)
}
