use std::path::Path;

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_model::{FAMILIES, Member};
use serde_json::json;

use crate::{commands::registry, console::Console};
use headspan_pipeline::{cached_files, demo};

/// Lists the known models and whether their files are here, and the families that are read.
pub(crate) fn models(configs: &Path, as_json: bool, console: &Console<'_>) -> Result<()> {
    let registry = registry(configs)?;
    let models = registry.models();
    if as_json {
        let rows: Vec<_> = models
            .iter()
            .map(|model| {
                json!({
                    "id": model.id,
                    "architecture": model.architecture,
                    "repository": model.repository,
                    "activation": model.activation,
                    "layers": model.layers,
                    "heads": model.heads,
                    "fetched": cached_files(model).is_ok(),
                })
            })
            .collect();
        return console.print_json(&json!({ "models": rows, "families": members().collect::<Vec<_>>() }));
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["id", "repository", "activation", "layers × heads", "fetched"]);
    for model in &demo::MODELS {
        let size = format!("{} × {}", model.layers, model.heads);
        table.add_row([model.id, "(in the program: run-all without arguments)", model.activation, &size, "yes"]);
    }
    for model in models {
        let fetched = if cached_files(model).is_ok() { "yes" } else { "no" };
        table.add_row([
            model.id.clone(),
            model.repository.clone(),
            model.activation.clone(),
            format!("{} × {}", model.layers, model.heads),
            fetched.to_owned(),
        ]);
    }
    console.print(&format!(
        "{table}\n\nAny other checkpoint is read with --checkpoint if it is of one of these families:\n\n{}",
        families()
    ))
}

fn members() -> impl Iterator<Item = &'static Member> {
    FAMILIES.iter().flat_map(|family| family.members)
}

fn families() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["family", "configuration", "representation", "texts", "shown"]);
    for member in members() {
        table.add_row([member.name, member.configuration, member.pooling, member.texts, member.shown]);
    }
    table
}
