use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{Fact, RunFacts};
use headspan_metrics::Comparison;
use headspan_pipeline::{ComparedRow, ComparedRuns};
use serde::Serialize;

use crate::{
    cli::PipelineArgs,
    commands::{place::check_runs, placed, settings},
    console::Console,
};

/// What the terminal shows, and the headings.
const SHOWN: [(&str, &str); 6] = [
    ("heads", "heads"),
    ("distinct_properties", "properties"),
    ("entanglement_repeated", "entanglement ↓"),
    ("entanglement_repeated_z", "z"),
    ("association_associated_heads", "association ↑"),
    ("ccs_at_5", "CCS@5"),
];

/// A comparison as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    dataset: &'a str,
    rows: Vec<Row<'a>>,
    /// What the figures were made with differently, a sentence each.
    differences: Vec<&'a str>,
    table: &'a Path,
    page: &'a Path,
}

#[derive(Serialize)]
struct Row<'a> {
    model: &'a str,
    labeller: &'a str,
    made_with: &'a RunFacts,
    figures: BTreeMap<&'a str, Figure>,
}

#[derive(Serialize)]
struct Figure {
    value: f64,
    interval: Option<(f64, f64)>,
}

/// Compares all runs of a data set that have metrics.
pub(crate) fn compare(arguments: &PipelineArgs, html: Option<&Path>, json: bool, console: &Console<'_>) -> Result<()> {
    let own = settings(&placed(arguments, None)?, None)?;
    check_runs(&own)?;
    let compared = headspan_pipeline::compare(&own, html)?;
    if json {
        console.print_json(&answer(&own.dataset, &compared))?;
    } else {
        console.print(&format!("{}\n{}", table(&compared), common(&compared.rows, &differing(&compared))))?;
    }
    tracing::info!("{} and {}", compared.table.display(), compared.page.display());
    Ok(())
}

/// The facts in which rows differ.
fn differing(compared: &ComparedRuns) -> Vec<Fact> {
    compared.differences.iter().map(|(fact, _)| *fact).collect()
}

/// Figures of each row, and beside them what the rows were made with differently.
fn table(compared: &ComparedRuns) -> Table {
    // The labeller has a column in any case; its settings are in the warning.
    let beside: Vec<Fact> = differing(compared).into_iter().filter(|fact| *fact != Fact::Labeller).collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let headings = ["model", "labeller"].into_iter().chain(SHOWN.map(|(_, heading)| heading));
    table.set_header(headings.chain(beside.iter().map(|fact| fact.name())));
    for row in &compared.rows {
        let mut cells = vec![Cell::new(&row.model), Cell::new(&row.labeller)];
        cells.extend(SHOWN.map(|(metric, _)| figure(&compared.comparison, row, metric)));
        cells.extend(beside.iter().map(|fact| Cell::new(row.facts.get(*fact).unwrap_or("unknown"))));
        table.add_row(cells);
    }
    table
}

fn figure(comparison: &Comparison, row: &ComparedRow, metric: &str) -> Cell {
    let text = match comparison.figure(&row.model, &row.labeller, metric) {
        None => "n/a".to_owned(),
        Some((value, Some((low, high)))) => format!("{value:.3} ({low:.3}–{high:.3})"),
        Some((value, None)) if value.fract() == 0.0 => format!("{value:.0}"),
        Some((value, None)) => format!("{value:.2}"),
    };
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// What all rows were made with.
fn common(rows: &[ComparedRow], differing: &[Fact]) -> String {
    let same = Fact::ALL.into_iter().filter(|fact| !differing.contains(fact));
    let known = same.filter_map(|fact| {
        let known = rows.iter().find_map(|row| row.facts.get(fact))?;
        Some(format!("{fact} {known}"))
    });
    let known: Vec<String> = known.collect();
    if known.is_empty() { String::new() } else { format!("made with: {}", known.join(" · ")) }
}

fn answer<'a>(dataset: &'a str, compared: &'a ComparedRuns) -> Answer<'a> {
    Answer {
        dataset,
        rows: compared.rows.iter().map(|row| json_row(&compared.comparison, row)).collect(),
        differences: compared.differences.iter().map(|(_, told)| told.as_str()).collect(),
        table: &compared.table,
        page: &compared.page,
    }
}

fn json_row<'a>(comparison: &Comparison, row: &'a ComparedRow) -> Row<'a> {
    const FIGURES: [&str; 12] = [
        "heads",
        "labelled_heads",
        "distinct_properties",
        "entanglement_repeated",
        "entanglement_repeated_z",
        "entanglement_shared_heads",
        "entanglement_pairwise",
        "association_associated_heads",
        "association_mean_consistency",
        "ccs_at_5",
        "ccr",
        "entanglement_repeated_prefix",
    ];
    let figure = |metric: &'static str| {
        let (value, interval) = comparison.figure(&row.model, &row.labeller, metric)?;
        Some((metric, Figure { value, interval }))
    };
    Row {
        model: &row.model,
        labeller: &row.labeller,
        made_with: &row.facts,
        figures: FIGURES.into_iter().filter_map(figure).collect(),
    }
}
