use std::path::Path;

use anyhow::Result;
use headspan_artifacts::{RunDirectory, Table};
use headspan_pipeline::{PipelineError, Publication, Settings};
use serde::Serialize;

use crate::{
    cli::ReportArgs,
    commands::{existing_run, settings_of_runs},
    console::Console,
};

/// Writes all that is known of runs for people and for papers.
pub(crate) fn report(arguments: &ReportArgs, console: &Console<'_>) -> Result<()> {
    let names: Vec<Option<&str>> = match arguments.models.as_slice() {
        [] => vec![None],
        models => models.iter().map(|model| Some(model.as_str())).collect(),
    };
    let own = settings_of_runs(&arguments.place, &names)?;
    let runs = runs(&own, &arguments.models)?;
    let dataset = runs[0].id().dataset();
    let folder = arguments.out.clone().unwrap_or_else(|| own.runs.join(dataset).join("report"));
    let written = headspan_pipeline::report(&own, &runs, &folder, arguments.paper)?;
    if arguments.json {
        console.print_json(&answer(&written))?;
    } else {
        let pages = std::iter::once(&written.index).chain(&written.pages).chain(&written.paper);
        console.print(&pages.map(|page| page.display().to_string()).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(())
}

/// The runs that were named, else all of the data set that have metrics: at least one.
fn runs(own: &Settings, models: &[String]) -> Result<Vec<RunDirectory>> {
    if !models.is_empty() {
        return models.iter().map(|model| existing_run(own, Some(model))).collect();
    }
    let mut found = Vec::new();
    for run in RunDirectory::list(&own.runs, Some(&own.dataset))? {
        if run.has(&run.table(Table::Metrics))? {
            found.push(run);
        }
    }
    if found.is_empty() {
        return Err(PipelineError::NoMetrics { folder: own.runs.join(&own.dataset) }.into());
    }
    Ok(found)
}

/// A report as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    index: &'a Path,
    pages: Vec<&'a Path>,
    paper: Option<&'a Path>,
}

fn answer(written: &Publication) -> Answer<'_> {
    Answer {
        index: &written.index,
        pages: written.pages.iter().map(AsRef::as_ref).collect(),
        paper: written.paper.as_deref(),
    }
}
