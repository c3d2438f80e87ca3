use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::RunDirectory;
use headspan_metrics::Comparison;
use headspan_pipeline::labellers;

use crate::{
    cli::PipelineArgs,
    commands::{print, settings},
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

/// Compares all runs of a data set that have metrics.
pub(crate) fn compare(arguments: &PipelineArgs, html: Option<&Path>) -> Result<()> {
    let compared = headspan_pipeline::compare(&settings(arguments, None)?, html)?;
    print(&table(&compared.runs, &compared.comparison))?;
    tracing::info!("{} and {}", compared.table.display(), compared.page.display());
    Ok(())
}

fn table(runs: &[RunDirectory], comparison: &Comparison) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["model", "labeller"].into_iter().chain(SHOWN.map(|(_, heading)| heading)));
    for run in runs {
        for labeller in labellers(comparison, run.id().model()) {
            let mut cells = vec![Cell::new(run.id().model()), Cell::new(&labeller)];
            for (metric, _) in SHOWN {
                let text = match comparison.figure(run.id().model(), &labeller, metric) {
                    None => "n/a".to_owned(),
                    Some((value, Some((low, high)))) => format!("{value:.3} ({low:.3}–{high:.3})"),
                    Some((value, None)) if value.fract() == 0.0 => format!("{value:.0}"),
                    Some((value, None)) => format!("{value:.2}"),
                };
                cells.push(Cell::new(text).set_alignment(CellAlignment::Right));
            }
            table.add_row(cells);
        }
    }
    table.to_string()
}
