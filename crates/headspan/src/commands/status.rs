use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{RunDirectory, StageRecord};
use headspan_pipeline::{
    MadeAnswer, Scope, Settings, Silent, StageStatus, answers, engine::JobsStatus, figures::duration, stage, statuses,
};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use crate::{
    cli::PipelineArgs,
    commands::{
        place::{check_runs, instead},
        settings,
        shards::{Asked, lines},
    },
    console::Console,
};

/// Prints the stages of all runs of the data set, or of all data sets.
pub(crate) fn status(arguments: &PipelineArgs, as_json: bool, console: &Console<'_>) -> Result<()> {
    let own = settings(arguments, None)?;
    check_runs(&own)?;
    let dataset = arguments.place.dataset.as_deref();
    let mut all = Vec::new();
    for run in RunDirectory::list(&own.runs, dataset)? {
        let own = settings(arguments, Some(run.id().model()))?;
        let look = || -> Result<_> {
            let run = run.look()?;
            let stages = statuses(&Scope::of_run(&own, &run, &Silent))?;
            Ok((run, stages))
        };
        let (mut seen, mut stages) = look()?;
        let asked = Asked::of(&seen, &stages)?;
        if asked.as_ref().is_some_and(Asked::has_ended) {
            (seen, stages) = look()?;
        }
        let jobs = asked.map(|asked| asked.status(&seen, &stages)).transpose()?.flatten();
        let answers = answers(&seen)?;
        all.push(RunStatus { stages, run: seen, jobs, answers });
    }
    if let Some(dataset) = dataset.filter(|_| all.is_empty()) {
        tracing::warn!("no runs of `{dataset}`: {}", instead(&own, dataset, "")?);
    }
    if as_json { console.print_json(&to_json(&all)) } else { console.print(&to_table(&all, &own)) }
}

/// The figures of a record. Where the images and the checkpoint are stood among them before records had a provenance, and
/// programs that read `status --json` look for it there.
fn figures(record: &StageRecord) -> BTreeMap<String, Value> {
    let mut figures = record.figures.clone();
    for key in ["data", "checkpoint"] {
        let value = record.provenance.as_ref().and_then(|provenance| provenance.get(key));
        if let Some(value) = value.filter(|value| !value.is_null()) {
            figures.insert(key.to_owned(), value.clone());
        }
    }
    figures
}

/// A run as it is.
struct RunStatus {
    stages: Vec<StageStatus>,
    run: RunDirectory,
    jobs: Option<JobsStatus>,
    answers: Vec<MadeAnswer>,
}

fn to_json(all: &[RunStatus]) -> serde_json::Value {
    let runs: Vec<_> = all
        .iter()
        .map(|RunStatus { stages: statuses, run, jobs, answers }| {
            let stages: Vec<_> = statuses
                .iter()
                .map(|status| {
                    json!({
                        "stage": status.stage,
                        "state": status.state,
                        "reason": status.reason,
                        "rows": status.record.as_ref().map(|record| record.rows),
                        "bytes": status.record.as_ref().map(|record| record.bytes),
                        "seconds": status.record.as_ref().map(|record| record.seconds),
                        "finished_at": status.record.as_ref().map(|record| record.finished_at),
                        "fingerprint": status.record.as_ref().map(|record| &record.fingerprint),
                        "parts": stage(status.stage).filter(|stage| stage.writes_parts()).map(|_| status.parts),
                        "figures": status.record.as_ref().map(figures),
                        "provenance": status.record.as_ref().and_then(|record| record.provenance.as_ref()),
                    })
                })
                .collect();
            json!({
                "dataset": run.id().dataset(),
                "model": run.id().model(),
                "path": run.path(),
                "stages": stages,
                "jobs": jobs,
                "answers": answers.iter().map(|made| json!({
                    "table": made.answer.name,
                    "state": made.state(),
                    "changed": made.changed,
                    "command": made.answer.command,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "runs": runs })
}

fn to_table(all: &[RunStatus], own: &Settings) -> String {
    if all.is_empty() {
        return format!("no runs in `{}`", own.runs.display());
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["dataset", "model", "stage", "state", "rows", "bytes", "time", ""]);
    for RunStatus { stages: statuses, run, jobs, answers } in all {
        for (line, status) in statuses.iter().enumerate() {
            let (dataset, model) = if line == 0 { (run.id().dataset(), run.id().model()) } else { ("", "") };
            let record = status.record.as_ref();
            let figure = |text: Option<String>| Cell::new(text.unwrap_or_default()).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(dataset),
                Cell::new(model),
                Cell::new(status.stage),
                Cell::new(status.state),
                figure(record.map(|record| record.rows.to_string())),
                figure(record.map(|record| DecimalBytes(record.bytes).to_string())),
                figure(record.map(|record| duration(record.seconds))),
                Cell::new(status.reason.as_deref().unwrap_or_default()),
            ]);
        }
        let empty = || Cell::new("");
        for made in answers {
            let why = match &made.changed[..] {
                [] => String::new(),
                changed => format!("{} changed; `headspan {}` makes it anew", changed.join(", "), made.answer.command),
            };
            let name = Cell::new(format!("({})", made.answer.name));
            table.add_row([empty(), empty(), name, Cell::new(made.state()), empty(), empty(), empty(), Cell::new(why)]);
        }
        for (what, state, why) in jobs.iter().flat_map(lines) {
            table.add_row([empty(), empty(), Cell::new(what), state, empty(), empty(), empty(), Cell::new(why)]);
        }
    }
    table.to_string()
}
