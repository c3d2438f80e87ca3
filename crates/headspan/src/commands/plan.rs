use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{RunDirectory, RunId, Stage, StageState};
use headspan_clip::ClipConfig;

use crate::{
    cli::PipelineArgs,
    commands::{
        choices, print,
        run::{demo_of, is_demo},
        settings,
    },
    pipeline::{LoadedModel, ModelFiles, PlannedStages, open_dataset},
    progress::bytes,
    settings::Settings,
};

/// Prints what run-all would do.
pub(crate) fn plan(names: &[String], arguments: &PipelineArgs) -> Result<()> {
    let common = settings(arguments, None)?;
    if is_demo(names, &common) {
        let (names, own) = demo_of(arguments)?;
        return plan(&names, &own);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["model", "stage", "would", "rows", "estimated bytes"]);
    let dataset = open_dataset(&common)?;
    for choice in choices(names, &common)? {
        let own = settings(arguments, Some(&choice.id))?;
        let files = ModelFiles::open(&choice)?;
        let model = LoadedModel::new(&files, own.device);
        let run = RunDirectory::at(&own.runs, &RunId::new(&own.dataset, &choice.id)?);
        let planned = PlannedStages::new(&own, &model, &dataset, &run)?;
        for (stage, state) in planned.states {
            let would = match state {
                StageState::Done => "skip (up to date)".to_owned(),
                StageState::Stale => "run again (settings or inputs changed)".to_owned(),
                StageState::Missing => "run".to_owned(),
                StageState::Partial => {
                    format!("continue ({} of {} parts are there)", planned.parts.done, planned.parts.total)
                }
            };
            let (rows, size) = estimate(stage, &own, &files.config, dataset.len(), planned.descriptions)?;
            table.add_row([
                Cell::new(&choice.id),
                Cell::new(stage),
                Cell::new(would),
                Cell::new(rows).set_alignment(CellAlignment::Right),
                Cell::new(bytes(size)).set_alignment(CellAlignment::Right),
            ]);
        }
    }
    print(&table.to_string())
}

/// Rows and bytes of a stage's tables: vectors at four bytes a number, other columns at a rough size a row.
fn estimate(stage: Stage, settings: &Settings, config: &ClipConfig, images: u64, texts: u64) -> Result<(u64, u64)> {
    let vision = &config.vision;
    let layers = settings.images.layers.resolve(vision.layers)?.len() as u64;
    let heads = layers * vision.heads() as u64;
    let (head_dim, d) = (vision.head_width as u64, config.embed_dim as u64);
    let columns = head_dim + 3;
    Ok(match stage {
        Stage::Images => {
            let activations = images * (4 * (heads * head_dim + d) + 20);
            (images, activations + images * 60 + heads * (4 * d * columns + 8 * columns * columns))
        }
        Stage::Texts => (texts, texts * (4 * d + 40)),
        Stage::Textspan => {
            let rows = heads * settings.textspan.texts.min(columns as usize) as u64;
            (rows, rows * 40)
        }
        Stage::Label => (heads, heads * 60),
        Stage::Metrics => (heads * 4, heads * 80),
    })
}
