use std::{collections::BTreeSet, path::Path};

use anyhow::{Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{AtomicFile, RunDirectory, Stage, write_atomic};
use headspan_metrics::{Comparison, compare as compare_runs};

use crate::{
    cli::PipelineArgs,
    commands::{print, settings, status::warn_of_stale},
    pipeline::synonyms,
    report::comparison_page,
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
    let own = settings(arguments, None)?;
    let all = RunDirectory::list(&own.runs, Some(&own.dataset))?;
    let (runs, without): (Vec<_>, Vec<_>) = all.into_iter().partition(|run| run.table("metrics").is_file());
    for run in &without {
        tracing::warn!("`{}` has no metrics yet and is left out", run.id().model());
    }
    for run in &runs {
        warn_of_stale(run, None)?;
    }
    warn_of_settings(&runs)?;
    if runs.is_empty() {
        bail!("no run in `{}/{}` has metrics: run `headspan run-all` first", own.runs.display(), own.dataset);
    }
    let mut comparison = compare_runs(&runs, &own.metrics.scores, &synonyms(&own)?)?;
    let folder = own.runs.join(&own.dataset);
    let mut file = AtomicFile::create(&folder.join("comparison.parquet"))?;
    comparison.write_parquet(&mut file)?;
    file.commit()?;
    let page = html.map_or_else(|| folder.join("comparison.html"), Path::to_owned);
    write_atomic(&page, comparison_page(&own.dataset, &runs, &comparison)?.as_bytes())?;
    print(&table(&runs, &comparison))?;
    tracing::info!("{} and {}", folder.join("comparison.parquet").display(), page.display());
    Ok(())
}

/// Scores that were computed differently are not comparable, whoever asks for a comparison.
fn warn_of_settings(runs: &[RunDirectory]) -> Result<()> {
    let mut found: Vec<(String, serde_json::Value)> = Vec::new();
    for run in runs {
        if let Some(record) = run.record(Stage::Metrics)? {
            found.push((run.id().model().to_owned(), record.config));
        }
    }
    let Some((first, settings)) = found.first() else { return Ok(()) };
    for (other, _) in found.iter().filter(|(_, own)| own != settings) {
        tracing::warn!("`{other}` was scored with other settings than `{first}`: run `headspan metrics` for both");
    }
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

/// Labellers of a model, by name.
pub(crate) fn labellers(comparison: &Comparison, model: &str) -> Vec<String> {
    let column = |name: &str| comparison.text(name);
    let (models, labellers) = (column("model"), column("labeller"));
    let found: BTreeSet<String> =
        models.into_iter().zip(labellers).filter(|(own, _)| own == model).map(|(_, labeller)| labeller).collect();
    found.into_iter().collect()
}
