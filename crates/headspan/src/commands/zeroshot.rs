use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_metrics::AccuracyRow;
use headspan_pipeline::{Session, Zeroshot, ZeroshotOptions};
use serde::Serialize;

use crate::{
    cli::ZeroshotArgs,
    commands::{percent, query::open, right},
    console::Console,
};

/// Classes that the terminal shows: those with the lowest accuracy.
const SHOWN: usize = 8;

/// Classifies the images of a run without training.
pub(crate) fn zeroshot(arguments: &ZeroshotArgs, console: &Console<'_>) -> Result<()> {
    let session = open(&arguments.run)?;
    let options = ZeroshotOptions { templates: Some(arguments.templates.clone()), groups: arguments.groups.choice() };
    let found = headspan_pipeline::zeroshot(&session, &options, console.progress())?;
    if arguments.json {
        console.print_json(&Answer::of(&session, &found))?;
    } else {
        console.print(&told(&found))?;
    }
    tracing::info!("{} and {}", found.classes_table.display(), found.table.display());
    Ok(())
}

/// A classification as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    classes: usize,
    images: usize,
    /// Images that have none of the classes, which no accuracy counts.
    without_class: usize,
    accuracy: &'a [AccuracyRow],
    classes_table: &'a Path,
    table: &'a Path,
}

impl<'a> Answer<'a> {
    fn of(session: &Session, found: &'a Zeroshot) -> Self {
        Self {
            run: session.run().name(),
            classes: found.classes.len(),
            images: found.predictions.len(),
            without_class: found.without_class,
            accuracy: &found.accuracy,
            classes_table: &found.classes_table,
            table: &found.table,
        }
    }
}

fn told(found: &Zeroshot) -> String {
    let of = |scopes: &'static [&'static str]| {
        found
            .accuracy
            .iter()
            .filter(move |row| scopes.contains(&row.scope) && (row.scope != "class" || row.metric == "top1"))
    };
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["accuracy", "images", "share", "95 % interval"]);
    let mut classes: Vec<&AccuracyRow> = of(&["class"]).collect();
    classes.sort_by(|one, other| one.accuracy.total_cmp(&other.accuracy));
    for row in of(&["all", "worst_group", "group"]).chain(classes.iter().copied().take(SHOWN)) {
        table.add_row([
            Cell::new(name(row)),
            right(row.n.to_string()),
            right(percent(row.accuracy)),
            right(format!("{}–{}", percent(row.ci_low), percent(row.ci_high))),
        ]);
    }
    let mut text = format!("{} images, {} classes\n{table}", found.predictions.len(), found.classes.len());
    if classes.len() > SHOWN {
        text += &format!("\nThe {SHOWN} classes with the lowest accuracy, of {}.", classes.len());
    }
    text
}

fn name(row: &AccuracyRow) -> String {
    let metric = row.metric.replace("top", "top-");
    match (row.scope, row.group.as_deref(), row.class_id.as_deref()) {
        ("worst_group", Some(group), _) => format!("{metric}, worst group ({group})"),
        (_, Some(group), _) => format!("{metric}, {group}"),
        (_, _, Some(class)) => format!("{metric}, class {class}"),
        _ => metric,
    }
}
