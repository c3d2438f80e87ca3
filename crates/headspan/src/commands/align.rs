use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_extract::AlignFigures;
use headspan_pipeline::{
    AlignedModel, ModelChoice, ModelError, ModelSource, PipelineError, Registry, Settings, align as align_models,
};
use serde::Serialize;

use crate::{
    cli::AlignArgs,
    commands::{UsageError, choices, percent, registry, settings},
    console::Console,
};

/// Gives a tower the texts of a CLIP.
pub(crate) fn align(arguments: &AlignArgs, console: &Console<'_>) -> Result<()> {
    let own = settings(&arguments.pipeline(), None)?;
    let registry = registry(&arguments.configs)?;
    let (tower, clip) =
        (model("from", &arguments.from, &own, &registry)?, model("to", &arguments.to, &own, &registry)?);
    let found = align_models(&own, [&tower, &clip], arguments.held_out, &arguments.out, console.progress())?;
    if arguments.json { console.print_json(&answer(&found)) } else { console.print(&told(&found)) }
}

/// The one model that a flag names: a checkpoint that is there, else a known model.
fn model(flag: &'static str, name: &str, own: &Settings, registry: &Registry) -> Result<ModelChoice> {
    let path = Path::new(name);
    if path.exists() {
        // Its id shows in messages alone, so any name will do.
        let id = path.file_name().map_or_else(|| name.to_owned(), |name| name.to_string_lossy().into_owned());
        return Ok(ModelChoice { id, source: ModelSource::Folder(path.to_owned()) });
    }
    let not_there = || PipelineError::NotThere { key: flag, path: path.to_owned() };
    let mut found = match choices(&[name.to_owned()], &Settings { checkpoint: None, ..own.clone() }, registry) {
        Err(error) if !means_a_model(&error) => return Err(not_there().into()),
        found => found?,
    };
    if found.len() > 1 {
        let ids: Vec<String> = found.iter().map(|model| format!("`{}`", model.id)).collect();
        let message = format!("--{flag} `{name}` stands for several models: {}", ids.join(", "));
        return Err(UsageError::hinted(message, "name one of them"));
    }
    Ok(found.remove(0))
}

/// Whether a name that is no model looks like one.
fn means_a_model(error: &anyhow::Error) -> bool {
    let unknown = error.chain().find_map(|cause| cause.downcast_ref::<ModelError>());
    !matches!(unknown, Some(ModelError::Unknown { meant: None, .. }))
}

fn told(found: &AlignedModel) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["", "map", "baseline"]);
    for (what, value, baseline) in rows(&found.figures) {
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(what), right(value), right(baseline)]);
    }
    let AlignFigures { fitted, held_out, penalty, .. } = found.figures;
    format!(
        "{table}\nfitted on {fitted} images, measured on {held_out}; penalty {penalty:.1e} of the mean eigenvalue\n{}",
        found.folder.display()
    )
}

/// Figure, value and what the mean, or drawing at random, gives.
fn rows(figures: &AlignFigures) -> [(String, String, String); 5] {
    let among = |most: &str| format!("own image {most} among {}", figures.candidates);
    [
        ("R² of held-out images".to_owned(), format!("{:.3}", figures.r2), "0".to_owned()),
        ("R² of fitted images".to_owned(), format!("{:.3}", figures.r2_fitted), "0".to_owned()),
        ("cosine".to_owned(), format!("{:.3}", figures.cosine), format!("{:.3}", figures.cosine_of_mean)),
        (among("first"), percent(figures.top1), percent(figures.chance1)),
        (among("in the first five"), percent(figures.top5), percent(figures.chance5)),
    ]
}

#[derive(Serialize)]
struct Answer<'a> {
    folder: &'a Path,
    fingerprint: &'a str,
    from: &'a Path,
    to: &'a Path,
    figures: AlignFigures,
}

fn answer(found: &AlignedModel) -> Answer<'_> {
    Answer {
        folder: &found.folder,
        fingerprint: &found.alignment.fingerprint,
        from: &found.alignment.from.weights,
        to: &found.alignment.to.weights,
        figures: found.figures,
    }
}
