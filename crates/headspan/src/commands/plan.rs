use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::StageState;
use headspan_pipeline::Pipeline;
use indicatif::DecimalBytes;

use crate::{
    cli::PipelineArgs,
    commands::{
        choices, print, registry,
        run::{demo_of, is_demo},
        settings,
    },
    progress::Terminal,
};

/// Prints what run-all would do.
pub(crate) fn plan(names: &[String], arguments: &PipelineArgs, quiet: bool) -> Result<()> {
    let common = settings(arguments, None)?;
    if is_demo(names, &common) {
        let (names, own) = demo_of(arguments)?;
        return plan(&names, &own, quiet);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["model", "stage", "would", "rows", "estimated bytes"]);
    for choice in choices(names, &common, &registry(&arguments.place.configs)?)? {
        let own = settings(arguments, Some(&choice.id))?;
        let planned = Pipeline::new(&own, &Terminal { quiet }).plan(&choice)?;
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
                Cell::new(&choice.id),
                Cell::new(status.stage),
                Cell::new(would),
                Cell::new(estimate.rows).set_alignment(CellAlignment::Right),
                Cell::new(DecimalBytes(estimate.bytes)).set_alignment(CellAlignment::Right),
            ]);
        }
    }
    print(&table.to_string())
}
