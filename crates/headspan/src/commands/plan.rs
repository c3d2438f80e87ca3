use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::StageState;
use headspan_pipeline::{Pipeline, RunPlan, Stage, engine::Rate, stage};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use crate::{
    cli::PipelineArgs,
    commands::{
        choices, registry,
        run::{demo_of, is_demo},
        settings,
    },
    console::Console,
};

/// Prints what run-all would do.
pub(crate) fn plan(names: &[String], arguments: &PipelineArgs, json: bool, console: &Console<'_>) -> Result<()> {
    let common = settings(arguments, None)?;
    if is_demo(names, &common) {
        let (names, own) = demo_of(arguments)?;
        return plan(&names, &own, json, console);
    }
    let mut planned = Vec::new();
    for choice in choices(names, &common, &registry(&arguments.place.configs)?)? {
        let own = settings(arguments, Some(&choice.id))?;
        let plan = Pipeline::new(&own, console.progress()).plan(&choice)?;
        planned.push((choice.id, plan));
    }
    if json { console.print_json(&to_json(&planned)) } else { console.print(&to_table(&planned).to_string()) }
}

fn to_json(planned: &[(String, RunPlan)]) -> Value {
    let models = planned.iter().map(|(model, plan)| {
        let stages = plan.statuses.iter().zip(&plan.estimates).map(|(status, estimate)| {
            let writes_parts = stage(status.stage).is_some_and(Stage::writes_parts);
            let parts = writes_parts.then(|| json!({ "done": plan.parts.done, "total": plan.parts.total }));
            json!({
                "stage": status.stage,
                "state": status.state,
                "reason": status.reason,
                "rows": estimate.rows,
                "estimated_bytes": estimate.bytes,
                "parts": parts,
            })
        });
        let rate = |rate: &Option<Rate>| rate.as_ref().map(Rate::per_second);
        let rates = json!({ "processors": rate(&plan.rates.on_processors), "gpus": rate(&plan.rates.on_gpus) });
        json!({ "model": model, "images_per_second": rates, "image_bytes": plan.image_bytes, "stages": stages.collect::<Vec<_>>() })
    });
    json!({ "models": models.collect::<Vec<_>>() })
}

fn to_table(planned: &[(String, RunPlan)]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["model", "stage", "would", "rows", "estimated bytes"]);
    for (model, planned) in planned {
        for (status, estimate) in planned.statuses.iter().zip(&planned.estimates) {
            let would = match status.state {
                StageState::Done => "skip (up to date)".to_owned(),
                StageState::Stale => "run again (settings or inputs changed)".to_owned(),
                StageState::Missing => "run".to_owned(),
                StageState::Partial if status.parts > 0 => {
                    format!("continue ({} of {} parts are there)", planned.parts.done, planned.parts.total)
                }
                StageState::Partial => "continue".to_owned(),
            };
            table.add_row([
                Cell::new(model),
                Cell::new(status.stage),
                Cell::new(would),
                Cell::new(estimate.rows).set_alignment(CellAlignment::Right),
                Cell::new(DecimalBytes(estimate.bytes)).set_alignment(CellAlignment::Right),
            ]);
        }
    }
    table
}
