use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_model::{Checkpoint, CheckpointFiles, DeviceChoice, LoadedModel, ModelConfig, Tokenizer, open_device};
use headspan_train::{EvaluatedModel, Evaluation, EvaluationSettings};

use crate::{
    cli::{EvaluateArgs, Evaluated},
    commands::{UsageError, evaluate_segmentation::segmentation, percent, share},
    console::Console,
};

/// Tries a model of the rendered world on scenes that its training never saw.
pub(crate) fn evaluate(arguments: &EvaluateArgs, console: &Console<'_>) -> Result<()> {
    if let Some(Evaluated::Segmentation(arguments)) = &arguments.of {
        return segmentation(arguments, console);
    }
    let Some(checkpoint) = &arguments.checkpoint else {
        return Err(UsageError("give a checkpoint folder".to_owned()).into());
    };
    if arguments.scenes == 0 || !arguments.scenes.is_multiple_of(100) {
        return Err(UsageError(format!("--scenes {}: a multiple of 100", arguments.scenes)).into());
    }
    share("ease", arguments.ease)?;
    share("bystanders", arguments.bystanders)?;
    let Opened { tokenizer, model } = opened(checkpoint, arguments.device)?;
    let found = EvaluatedModel { model: &model, tokenizer: &tokenizer }.evaluate(&EvaluationSettings {
        scenes: arguments.scenes,
        seed: arguments.seed,
        ease: arguments.ease,
        bystanders: arguments.bystanders,
    })?;
    if arguments.json { console.print_json(&json(&found)) } else { console.print(&table(&found)) }
}

/// A checkpoint that is looked at by itself, with no run around it.
pub(super) struct Opened {
    pub(super) tokenizer: Tokenizer,
    pub(super) model: LoadedModel,
}

pub(super) fn opened(checkpoint: &Path, device: Option<DeviceChoice>) -> Result<Opened> {
    let files = CheckpointFiles::find(checkpoint)?;
    let config = ModelConfig::read(&files.config)?;
    let tokenizer = Tokenizer::of(&files.tokenizer, config.texts()?)?;
    let device = open_device(device.unwrap_or(DeviceChoice::Auto))?;
    let model = LoadedModel::for_queries(&Checkpoint::open(&files.weights)?, &config, device)?;
    Ok(Opened { tokenizer, model })
}

fn table(found: &Evaluation) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["zero-shot", "values", "chance", "seen pairs", "unseen pairs"]);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    for row in &found.zero_shot {
        table.add_row([
            Cell::new(row.category),
            right(row.values.to_string()),
            right(percent(1.0 / row.values as f64)),
            right(format!("{} of {}", percent(row.seen), row.seen_scenes)),
            right(format!("{} of {}", percent(row.unseen), row.unseen_scenes)),
        ]);
    }
    format!(
        "{table}\nrecall@1 among 100 scenes, full captions: text to image {}, image to text {} ({} scenes)",
        percent(found.text_to_image),
        percent(found.image_to_text),
        found.retrieval_scenes
    )
}

fn json(found: &Evaluation) -> serde_json::Value {
    let rows: Vec<serde_json::Value> = found
        .zero_shot
        .iter()
        .map(|row| {
            serde_json::json!({
                "category": row.category, "values": row.values, "seen": row.seen, "seen_scenes": row.seen_scenes,
                "unseen": row.unseen, "unseen_scenes": row.unseen_scenes,
            })
        })
        .collect();
    serde_json::json!({
        "zero_shot": rows, "text_to_image": found.text_to_image, "image_to_text": found.image_to_text,
        "retrieval_scenes": found.retrieval_scenes,
    })
}
