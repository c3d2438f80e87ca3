use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::RunDirectory;
use headspan_metrics::{About, AgreementRow, Association};
use headspan_notes::{StandingRow, author_name};
use headspan_pipeline::{Agreement, agreement, standing};
use serde::Serialize;

use crate::{
    cli::{NotesArgs, ReviewArgs},
    commands::{UsageError, existing_run, explore, right, settings, settings_of_runs},
    console::Console,
};

/// Serves the page on which a person reviews a run, or prints how far labellers and people agree.
pub(crate) fn review(arguments: &ReviewArgs, console: &Console<'_>) -> Result<()> {
    let author = arguments.author.as_deref().map(author_name).transpose().map_err(UsageError::of)?;
    let places = settings_of_runs(&arguments.place, &[arguments.model.as_deref()])?;
    let run = existing_run(&places, arguments.model.as_deref())?;
    if arguments.table {
        return table(&agreement(&places, &run)?, &run, arguments.json, console);
    }
    let mut pipeline = arguments.pipeline();
    pipeline.place.dataset = Some(run.id().dataset().to_owned());
    let own = settings(&pipeline, None)?;
    explore::review(run, &pipeline, own, &arguments.server, author.as_deref(), arguments.blind, console)
}

fn table(found: &Agreement, run: &RunDirectory, json: bool, console: &Console<'_>) -> Result<()> {
    if json {
        return console.print_json(&Answer { run: name(run), found });
    }
    if found.agreements.is_empty() {
        tracing::info!("one labeller alone agrees with nobody: `headspan review` adds a person");
    }
    console.print(&format!("{}\n{}", kappas(&found.agreements), associations(&found.associations)))
}

/// Agreement as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    #[serde(flatten)]
    found: &'a Agreement,
}

fn name(run: &RunDirectory) -> String {
    format!("{}/{}", run.id().dataset(), run.id().model())
}

fn kappas(rows: &[AgreementRow]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["labellers", "about", "Cohen's kappa", "95 % interval", "the same", "of", "heads"]);
    for row in rows {
        let about = match row.about {
            About::Texts => "texts that fit",
            About::Names => "names of heads",
        };
        table.add_row([
            Cell::new(row.labellers.join(", ")),
            Cell::new(about),
            right(row.kappa.map_or_else(|| "n/a".to_owned(), |kappa| format!("{kappa:.2}"))),
            right(interval(row.interval)),
            right(format!("{:.0} %", 100.0 * row.share)),
            right(row.n.to_string()),
            right(row.heads.to_string()),
        ]);
    }
    table
}

fn associations(rows: &[Association]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["labeller", "association ↑", "over heads", "over heads and judges", "other judges", "heads"]);
    for row in rows {
        table.add_row([
            Cell::new(&row.labeller),
            right(format!("{:.3}", row.value)),
            right(interval(row.over_heads)),
            right(interval(row.over_judges)),
            right(row.judges.to_string()),
            right(row.heads.to_string()),
        ]);
    }
    table
}

fn interval(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(|| "n/a".to_owned(), |(low, high)| format!("{low:.2}–{high:.2}"))
}

/// Lists what people said of a run.
pub(crate) fn notes(arguments: &NotesArgs, console: &Console<'_>) -> Result<()> {
    let own = settings_of_runs(&arguments.place, &[arguments.model.as_deref()])?;
    let run = existing_run(&own, arguments.model.as_deref())?;
    let mut rows = standing(&own, &run)?;
    if let Some(author) = &arguments.author {
        rows.retain(|row| row.author == *author);
    }
    if let Some(kind) = &arguments.kind {
        const KINDS: [&str; 7] = ["judgement", "name", "label", "comment", "tag", "list", "view"];
        if !KINDS.contains(&kind.as_str()) {
            return Err(UsageError(format!("--kind `{kind}`: expected {}", KINDS.join(", "))).into());
        }
        rows.retain(|row| row.kind.name() == kind);
    }
    if arguments.json {
        return console.print_json(&rows);
    }
    if rows.is_empty() {
        tracing::info!("nobody has said anything of `{}`", name(&run));
    }
    console.print(&listed(&rows).to_string())
}

fn listed(rows: &[StandingRow]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["by", "kind", "head", "label", "of", "said"]);
    for row in rows {
        let mut said = if row.conflict { "different answers" } else { row.value.as_deref().unwrap_or("–") }.to_owned();
        if row.older {
            said += " (older state)";
        }
        table.add_row([
            row.author.clone(),
            row.kind.name().to_owned(),
            row.head.map(|head| head.to_string()).unwrap_or_default(),
            row.property.clone().unwrap_or_default(),
            row.key.clone().unwrap_or_default(),
            said,
        ]);
    }
    table
}
