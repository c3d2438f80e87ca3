use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::HeadId;
use headspan_metrics::PrunedRow;
use headspan_pipeline::{ModelFiles, PruneOptions, Pruned, save_scaled};
use serde::Serialize;

use crate::{
    cli::{PruneArgs, RunArgs},
    commands::{
        UsageError, choices, percent,
        query::{open, selection},
        registry, right, settings,
    },
    console::Console,
};

/// Measures accuracy with heads scaled in the forward pass, and saves checkpoints with heads scaled.
pub(crate) fn prune(arguments: &PruneArgs, console: &Console<'_>) -> Result<()> {
    let heads = if arguments.heads.is_empty() { None } else { Some(selection(&arguments.heads)?) };
    let names_none = heads.is_none() && arguments.head_file.is_none() && arguments.ccs.is_empty();
    if names_none && arguments.scales.is_none() {
        return Err(UsageError("no heads: give --heads, --head-file, --ccs, or --scales with --save".to_owned()).into());
    }
    if let (Some(file), Some(folder)) = (&arguments.scales, &arguments.save) {
        return steer(&arguments.run, file, folder, console);
    }
    let session = open(&arguments.run)?;
    let options = PruneOptions {
        templates: arguments.classes.templates.clone(),
        groups: arguments.classes.groups.choice(),
        heads,
        head_file: arguments.head_file.clone(),
        levels: arguments.ccs.clone(),
        factor: arguments.factor,
        limit: arguments.limit,
        draws: arguments.random,
        seed: arguments.seed,
        save: arguments.save.clone(),
    };
    let found = headspan_pipeline::prune(&session, &options, console.progress())?;
    if arguments.json {
        console.print_json(&Answer {
            run: session.run().name(),
            images: found.images,
            pruned: &found.rows,
            table: &found.table,
            saved: arguments.save.as_deref(),
        })?;
    } else {
        console.print(&told(&found))?;
    }
    tracing::info!("{}", found.table.display());
    Ok(())
}

/// Saves a checkpoint with a factor for each head of a file: that of `--checkpoint`, which needs no run, or that of the run.
fn steer(run: &RunArgs, file: &Path, folder: &Path, console: &Console<'_>) -> Result<()> {
    let scales = scales(file)?;
    let pipeline = run.pipeline();
    let files = if pipeline.checkpoint.checkpoint.is_some() {
        let own = settings(&pipeline, None)?;
        let names: Vec<String> = run.model.iter().cloned().collect();
        let of_checkpoint = choices(&names, &own, &registry(&pipeline.place.configs)?)?.remove(0);
        ModelFiles::open(&of_checkpoint, &own.model)?
    } else {
        open(run)?.checked_files()?
    };
    save_scaled(&files, &scales, folder)?;
    console.print(&format!("{} heads scaled: {}", scales.len(), folder.display()))
}

/// `head,factor` a line; a first line without a head is a heading.
fn scales(file: &Path) -> Result<BTreeMap<HeadId, f32>> {
    let text = fs_err::read_to_string(file)?;
    let mut scales = BTreeMap::new();
    for (row, line) in text.lines().enumerate().map(|(row, line)| (row + 1, line.trim())) {
        if line.is_empty() || (row == 1 && line == "head,factor") {
            continue;
        }
        let wrong = || format!("`{}`: row {row}: `{line}` is not `head,factor`, such as L23.H7,0.5", file.display());
        let (head, factor) = line.split_once(',').with_context(wrong)?;
        let head: HeadId = head.trim().parse().with_context(wrong)?;
        let factor: f32 = factor.trim().parse().with_context(wrong)?;
        if scales.insert(head, factor).is_some() {
            return Err(UsageError(format!("`{}`: row {row}: {head} stands there twice", file.display())).into());
        }
    }
    if scales.is_empty() {
        return Err(UsageError(format!("`{}` names no head", file.display())).into());
    }
    Ok(scales)
}

/// Accuracies as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    images: usize,
    pruned: &'a [PrunedRow],
    table: &'a Path,
    saved: Option<&'a Path>,
}

fn told(found: &Pruned) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["scaled", "heads", "factor", "images", "accuracy", "before", "after", "interval"]);
    for row in found.rows.iter().filter(|row| row.scope != "class") {
        let scope = match (row.scope, &row.group) {
            ("all", _) => "all".to_owned(),
            ("worst_group", Some(group)) => format!("worst group ({group})"),
            (_, group) => group.clone().unwrap_or_default(),
        };
        table.add_row(vec![
            Cell::new(&row.target),
            right(row.heads.to_string()),
            right(row.factor.map_or_else(String::new, |factor| factor.to_string())),
            right(row.n.to_string()),
            Cell::new(scope),
            right(percent(row.accuracy_before)),
            right(percent(row.accuracy_after)),
            right(format!("{}–{}", percent(row.ci_low), percent(row.ci_high))),
        ]);
    }
    table.to_string()
}
