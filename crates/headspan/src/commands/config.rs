use anyhow::Result;

use crate::{
    cli::PipelineArgs,
    commands::{print, settings},
};

/// Prints the settings after all layers, as TOML that could be a configuration file.
pub(crate) fn config(arguments: &PipelineArgs) -> Result<()> {
    print(&toml::to_string_pretty(&settings(arguments, None)?)?)
}
