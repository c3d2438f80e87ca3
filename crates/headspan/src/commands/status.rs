use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{RunDirectory, Stage, StageRecord, StageState};
use serde_json::json;

use crate::{
    cli::PipelineArgs,
    commands::{print, print_json, settings},
    pipeline::{bytes_of, config_slice, tables},
    progress::{bytes, duration},
    settings::Settings,
};

/// State of one stage of one run, from its record alone: no input is read, so that this is instant.
struct StageStatus {
    stage: Stage,
    state: StageState,
    why: Option<String>,
    record: Option<StageRecord>,
    parts: u64,
}

impl StageStatus {
    /// What is wrong with the stage and what mends it, unless it is done.
    fn wrong(&self) -> Option<String> {
        let why = self.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let wrong = format!("stage `{}` is {}{why}; `headspan run-all` brings it up to date", self.stage, self.state);
        (self.state != StageState::Done).then_some(wrong)
    }
}

/// Prints the stages of all runs of the data set, or of all data sets.
pub(crate) fn status(arguments: &PipelineArgs, as_json: bool) -> Result<()> {
    let own = settings(arguments, None)?;
    let dataset = arguments.dataset.as_deref();
    let runs = RunDirectory::list(&own.runs, dataset)?;
    let mut all = Vec::new();
    for run in runs {
        let own = settings(arguments, Some(run.id().model()))?;
        all.push((stages(&run, Some(&own))?, run));
    }
    if as_json { print_json(&to_json(&all)) } else { print(&to_table(&all, &own)) }
}

/// What is wrong with a run in itself, each in a sentence: stages that are missing, or older than what they were made from.
pub(crate) fn notices(run: &RunDirectory) -> Result<Vec<String>> {
    let wrong = stages(run, None)?.into_iter().filter_map(|status| status.wrong());
    Ok(wrong.map(|wrong| format!("The {wrong}.")).collect())
}

/// Warns of stages before `stage` (of all, without one) that are not done, before what is made of them is taken for current. A run of nothing but
/// imported labels has none.
pub(crate) fn warn_of_stale(run: &RunDirectory, stage: Option<Stage>) -> Result<()> {
    if run.record(Stage::Images)?.is_none() && run.parts()?.is_empty() {
        return Ok(());
    }
    let statuses = stages(run, None)?;
    for status in statuses.iter().take_while(|status| Some(status.stage) != stage) {
        if let Some(wrong) = status.wrong() {
            tracing::warn!("{}: the {wrong}", run.id().model());
        }
    }
    Ok(())
}

/// With settings, a stage that was made with others is stale, too.
fn stages(run: &RunDirectory, settings: Option<&Settings>) -> Result<Vec<StageStatus>> {
    let mut statuses: Vec<StageStatus> = Vec::new();
    for stage in Stage::ALL {
        let record = run.record(stage)?;
        let parts = if stage == Stage::Images { run.parts()?.len() as u64 } else { 0 };
        let (state, why) = match &record {
            None if parts > 0 => (StageState::Partial, Some(format!("{parts} parts are there"))),
            None => (StageState::Missing, None),
            Some(record) => judge(run, settings, stage, record, &statuses),
        };
        statuses.push(StageStatus { stage, state, why, record, parts });
    }
    Ok(statuses)
}

fn judge(
    run: &RunDirectory,
    settings: Option<&Settings>,
    stage: Stage,
    record: &StageRecord,
    before: &[StageStatus],
) -> (StageState, Option<String>) {
    if let Some(table) = tables(stage).iter().find(|table| !run.table(table).is_file()) {
        return (StageState::Missing, Some(format!("{table}.parquet is gone")));
    }
    if bytes_of(stage, run).ok() != Some(record.bytes) {
        return (StageState::Missing, Some("its files are not as it left them".to_owned()));
    }
    if settings.is_some_and(|settings| record.config != config_slice(stage, settings)) {
        return (StageState::Stale, Some("made with other settings".to_owned()));
    }
    for input in stage.inputs() {
        let Some(status) = before.iter().find(|status| status.stage == *input) else { continue };
        let current = status.record.as_ref().map(|record| record.fingerprint.as_str());
        let read = record.inputs.get(input.name()).map(String::as_str);
        if read.is_none() {
            // Labels of a file alone were made from nothing of the run.
            continue;
        }
        if status.state != StageState::Done || current != read {
            return (StageState::Stale, Some(format!("`{input}` changed or will")));
        }
    }
    (StageState::Done, None)
}

fn to_json(all: &[(Vec<StageStatus>, RunDirectory)]) -> serde_json::Value {
    let runs: Vec<_> = all
        .iter()
        .map(|(statuses, run)| {
            let stages: Vec<_> = statuses
                .iter()
                .map(|status| {
                    json!({
                        "stage": status.stage,
                        "state": status.state,
                        "reason": status.why,
                        "rows": status.record.as_ref().map(|record| record.rows),
                        "bytes": status.record.as_ref().map(|record| record.bytes),
                        "seconds": status.record.as_ref().map(|record| record.seconds),
                        "finished_at": status.record.as_ref().map(|record| record.finished_at),
                        "fingerprint": status.record.as_ref().map(|record| &record.fingerprint),
                        "parts": (status.stage == Stage::Images).then_some(status.parts),
                        "figures": status.record.as_ref().map(|record| &record.figures),
                    })
                })
                .collect();
            json!({
                "dataset": run.id().dataset(),
                "model": run.id().model(),
                "path": run.path(),
                "stages": stages,
            })
        })
        .collect();
    json!({ "runs": runs })
}

fn to_table(all: &[(Vec<StageStatus>, RunDirectory)], own: &Settings) -> String {
    if all.is_empty() {
        return format!("no runs in `{}`", own.runs.display());
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["dataset", "model", "stage", "state", "rows", "bytes", "time", ""]);
    for (statuses, run) in all {
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
                figure(record.map(|record| bytes(record.bytes))),
                figure(record.map(|record| duration(record.seconds))),
                Cell::new(status.why.as_deref().unwrap_or_default()),
            ]);
        }
    }
    table.to_string()
}
