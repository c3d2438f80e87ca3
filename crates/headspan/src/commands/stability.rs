use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_metrics::StabilityRow;
use headspan_pipeline::{StabilityRequest, stability as measure};
use serde::Serialize;

use crate::{
    cli::StabilityArgs,
    commands::{existing_run, right, settings_of_runs},
    console::Console,
};

/// Heads that the terminal shows.
const SHOWN: usize = 8;

/// Says whether picks and labels would come out the same again.
pub(crate) fn stability(arguments: &StabilityArgs, console: &Console<'_>) -> Result<()> {
    let own = settings_of_runs(&arguments.place, &[arguments.model.as_deref()])?;
    let run = existing_run(&own, arguments.model.as_deref())?;
    let with = arguments.with.iter().map(|name| existing_run(&own, Some(name))).collect::<Result<Vec<_>>>()?;
    let request = StabilityRequest { splits: arguments.splits, seed: arguments.seed, with };
    let found = measure(&own, &run, &request)?;
    if arguments.json {
        let run = format!("{}/{}", run.id().dataset(), run.id().model());
        console.print_json(&Answer { run: &run, figures: &found.rows, table: &found.table })?;
    } else {
        console.print(&told(&found.rows))?;
    }
    tracing::info!("{}", found.table.display());
    Ok(())
}

/// Figures as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: &'a str,
    figures: &'a [StabilityRow],
    table: &'a Path,
}

fn told(rows: &[StabilityRow]) -> String {
    let mut text = means(rows).to_string();
    let mut heads: Vec<&StabilityRow> =
        rows.iter().filter(|row| row.head.is_some() && row.kind == "halves" && row.metric == "jaccard").collect();
    heads.sort_by(|one, other| one.value.unwrap_or(1.0).total_cmp(&other.value.unwrap_or(1.0)));
    if heads.is_empty() {
        return text;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["least stable heads", "same texts (Jaccard)", "same property"]);
    for row in heads.iter().take(SHOWN) {
        let label = rows
            .iter()
            .find(|other| other.head == row.head && other.kind == row.kind && other.metric == "same_property");
        let head = row.head.map(|head| head.to_string()).unwrap_or_default();
        table.add_row([Cell::new(head), number(row.value), number(label.and_then(|row| row.value))]);
    }
    text += &format!("\n{table}");
    text
}

fn means(rows: &[StabilityRow]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["compared", "figure", "value", "95 % interval", "of"]);
    for row in rows.iter().filter(|row| row.head.is_none()) {
        let compared = match row.kind {
            "halves" => "halves of the images".to_owned(),
            "run" => format!("run {}", row.compared),
            "runs" => format!("runs {}", row.compared),
            _ => format!("labellers {}", row.compared),
        };
        let figure = match row.metric {
            "jaccard" => "same texts (Jaccard)",
            "same_property" => "same property",
            "kappa_texts" => "Cohen's kappa, texts",
            "kappa_names" => "Cohen's kappa, blind names",
            _ => "Krippendorff's alpha",
        };
        let interval = row.interval.map(|(low, high)| format!("{low:.3}–{high:.3}")).unwrap_or_default();
        table.add_row([
            Cell::new(compared),
            Cell::new(figure),
            number(row.value),
            Cell::new(interval),
            Cell::new(format!("{} {}", row.n, if row.metric == "kappa_texts" { "texts" } else { "heads" })),
        ]);
    }
    table
}

fn number(value: Option<f64>) -> Cell {
    right(value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}")))
}
