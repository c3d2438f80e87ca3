use anyhow::Result;

use crate::{
    cli::PipelineArgs,
    commands::{choices, registry, settings, settings_files},
    console::Console,
};

/// Prints the settings after all layers, as TOML that could be a configuration file, under the names of what was read.
pub(crate) fn config(arguments: &PipelineArgs, console: &Console<'_>) -> Result<()> {
    let common = settings(arguments, None)?;
    let registry = registry(&arguments.place.configs)?;
    // A checkpoint's folder names the model, whose own file is a layer, too.
    let model = match choices(&[], &common, &registry) {
        Ok(found) if found.len() == 1 => Some(found[0].id.clone()),
        _ => None,
    };
    let files = settings_files(arguments, model.as_deref())?;
    let mut text = String::from("# settings, weakest first:\n");
    for name in files.read() {
        text.push_str(&format!("#   {name}\n"));
    }
    if !registry.files().is_empty() {
        text.push_str("# models:\n");
        for path in registry.files() {
            text.push_str(&format!("#   {}\n", path.display()));
        }
    }
    text.push_str(&toml::to_string_pretty(&files.settings()?)?);
    console.print(&text)
}
