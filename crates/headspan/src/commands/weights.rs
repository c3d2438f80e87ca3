use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_metrics::{Agreement, NamedDirection, WeighedHead};
use headspan_pipeline::{HeadWeightsRequest, WeighedRun, head_weights};
use serde::Serialize;

use crate::{
    cli::WeightsArgs,
    commands::{existing_run, percent, right, settings_of_runs},
    console::Console,
};

/// Texts of a direction that the terminal shows.
const SHOWN: usize = 3;

/// Says from weights alone where each head can write.
pub(crate) fn weights(arguments: &WeightsArgs, console: &Console<'_>) -> Result<()> {
    let own = settings_of_runs(&arguments.place, &[arguments.model.as_deref()])?;
    let run = existing_run(&own, arguments.model.as_deref())?;
    let request = HeadWeightsRequest {
        directions: arguments.directions,
        texts: arguments.texts_per_direction,
        labeller: arguments.labeller.as_deref(),
    };
    let found = head_weights(&own, &run, request)?;
    if arguments.json {
        let (dataset, model) = (run.id().dataset(), run.id().model());
        console.print_json(&answer(&found, &format!("{dataset}/{model}")))?;
    } else {
        console.print(&told(&found.weights.heads).to_string())?;
    }
    tracing::info!("{}", found.table.display());
    Ok(())
}

fn told(heads: &[WeighedHead]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "head",
        "property",
        "share",
        "cosine",
        "texts of the strongest direction",
        "TEXTSPAN's within the first",
    ]);
    for head in heads {
        let first = head.directions.first();
        let texts: Vec<&str> =
            first.iter().flat_map(|first| &first.texts).take(SHOWN).map(|text| text.text.as_str()).collect();
        let agreement = head.agreement.map(|agreement| {
            format!("{} (chance {})", percent(agreement.span_share), percent(agreement.span_share_by_chance))
        });
        table.add_row(vec![
            Cell::new(head.head),
            Cell::new(head.property.as_deref().unwrap_or("–")),
            known(first.map(|first| percent(first.share))),
            known(first.map(|first| format!("{:.2}", first.fidelity))),
            Cell::new(texts.join(" · ")),
            known(agreement),
        ]);
    }
    table
}

fn known(text: Option<String>) -> Cell {
    right(text.unwrap_or_else(|| "n/a".to_owned()))
}

/// Heads as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    run: &'a str,
    labeller: Option<&'a str>,
    heads: Vec<Head<'a>>,
    table: &'a Path,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "these are the keys of the answer")]
struct Head<'a> {
    head: String,
    property: Option<&'a str>,
    spectrum: &'a [f64],
    participation: f64,
    directions: Vec<Direction<'a>>,
    texts_shared: Option<f64>,
    span_share: Option<f64>,
    span_share_by_chance: Option<f64>,
    same_property: Option<bool>,
}

#[derive(Serialize)]
struct Direction<'a> {
    share: f64,
    flipped: bool,
    fidelity: f64,
    category: Option<&'a str>,
    texts: Vec<Text<'a>>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "these are the keys of the answer")]
struct Text<'a> {
    text: &'a str,
    text_index: u32,
    weight: f64,
}

impl<'a> Direction<'a> {
    fn of(direction: &'a NamedDirection) -> Self {
        let NamedDirection { share, flipped, fidelity, texts, category } = direction;
        Self {
            share: *share,
            flipped: *flipped,
            fidelity: *fidelity,
            category: category.as_deref(),
            texts: texts
                .iter()
                .map(|text| Text { text: &text.text, text_index: text.text_index, weight: text.weight })
                .collect(),
        }
    }
}

impl<'a> Head<'a> {
    fn of(head: &'a WeighedHead) -> Self {
        let share = |of: fn(&Agreement) -> f64| head.agreement.as_ref().map(of);
        Self {
            head: head.head.to_string(),
            property: head.property.as_deref(),
            spectrum: &head.spectrum,
            participation: head.participation,
            directions: head.directions.iter().map(Direction::of).collect(),
            texts_shared: share(|agreement| agreement.texts_shared),
            span_share: share(|agreement| agreement.span_share),
            span_share_by_chance: share(|agreement| agreement.span_share_by_chance),
            same_property: head.agreement.and_then(|agreement| agreement.same_property),
        }
    }
}

fn answer<'a>(found: &'a WeighedRun, run: &'a str) -> Answer<'a> {
    let WeighedRun { weights, table } = found;
    Answer { run, labeller: weights.labeller.as_deref(), heads: weights.heads.iter().map(Head::of).collect(), table }
}
