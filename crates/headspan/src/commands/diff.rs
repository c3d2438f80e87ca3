use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{HeadId, RunFacts};
use headspan_metrics::{Difference, HeadPair, HeadState, Pairing, ScoreChange};
use headspan_pipeline::{
    DiffedRuns,
    figures::{changed, cka, percent},
};
use serde::Serialize;

use crate::{
    cli::DiffArgs,
    commands::{existing_run, right, settings_of_runs},
    console::Console,
};

/// Heads that the terminal shows.
const SHOWN: usize = 12;

/// Compares two runs head by head.
pub(crate) fn diff(arguments: &DiffArgs, console: &Console<'_>) -> Result<()> {
    let own = settings_of_runs(&arguments.place, &[Some(&arguments.before), Some(&arguments.after)])?;
    let runs = [existing_run(&own, Some(&arguments.before))?, existing_run(&own, Some(&arguments.after))?];
    let labeller = arguments.labeller.as_deref();
    let found =
        headspan_pipeline::diff(&own, [&runs[0], &runs[1]], arguments.pair, labeller, arguments.html.as_deref())?;
    if arguments.json {
        console.print_json(&answer(&found))?;
    } else {
        console.print(&told(&found))?;
    }
    tracing::info!("{} and {}", found.table.display(), found.page.display());
    Ok(())
}

fn told(found: &DiffedRuns) -> String {
    let difference = &found.difference;
    let mut text = format!("{}\n", summary(difference));
    if !difference.scores.is_empty() {
        text += &format!("{}\n", scores(&difference.scores));
    }
    text += &heads(difference).to_string();
    if difference.heads.len() > SHOWN {
        text += &format!("\nThe {SHOWN} heads that changed most, of {}.", difference.heads.len());
    }
    text
}

fn summary(difference: &Difference) -> String {
    let heads = &difference.heads;
    let mut lines = vec![format!("{} heads {} over {} images", heads.len(), difference.pairing, difference.images)];
    let mut ckas: Vec<f64> = heads.iter().filter_map(|pair| pair.cka).collect();
    ckas.sort_by(f64::total_cmp);
    if let Some(median) = ckas.get(ckas.len() / 2) {
        lines.push(format!("median CKA {median:.3}"));
    }
    let judged = heads.iter().filter(|pair| pair.property_kept.is_some()).count();
    if judged > 0 {
        let changed = heads.iter().filter(|pair| pair.property_kept == Some(false)).count();
        lines.push(format!("{changed} of {judged} properties changed"));
    }
    let unpaired: usize = difference.unpaired.iter().map(Vec::len).sum();
    if unpaired > 0 {
        lines.push(format!("{unpaired} heads without a partner"));
    }
    lines.join("; ")
}

fn scores(changes: &[ScoreChange]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["score", "before", "after", "difference"]);
    for change in changes {
        let interval = change.interval.map(|(low, high)| format!(" ({low:+.3} to {high:+.3})")).unwrap_or_default();
        let (before, after) = change.values;
        let figures = [format!("{before:.3}"), format!("{after:.3}"), format!("{:+.3}{interval}", change.difference)];
        table.add_row([Cell::new(change.metric)].into_iter().chain(figures.map(right)).collect::<Vec<_>>());
    }
    table
}

fn heads(difference: &Difference) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["head", "CKA", "overlap", "texts kept", "property", "share of variance"]);
    for pair in difference.by_change().into_iter().take(SHOWN) {
        let [before, after] = pair.heads;
        let [was, is] = &pair.states;
        let property = |state: &HeadState| state.property.clone().unwrap_or_else(|| "–".to_owned());
        let share = |state: &HeadState| percent(state.variance_share, 1);
        table.add_row(vec![
            Cell::new(changed(&before.to_string(), &after.to_string())),
            right(cka(pair)),
            right(pair.readouts.map_or_else(|| "n/a".to_owned(), |readouts| format!("{:.3}", readouts.overlap))),
            right(percent(pair.texts_kept, 0)),
            Cell::new(changed(&property(was), &property(is))),
            right(changed(&share(was), &share(is))),
        ]);
    }
    table
}

/// A difference as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    before: &'a str,
    after: &'a str,
    pairing: Pairing,
    labeller: Option<&'a str>,
    images: u64,
    made_with: [&'a RunFacts; 2],
    /// What the runs were made with differently, a sentence each.
    differences: Vec<&'a str>,
    scores: Vec<Score<'a>>,
    heads: Vec<Pair<'a>>,
    unpaired: [Vec<String>; 2],
    table: &'a Path,
    page: &'a Path,
}

#[derive(Serialize)]
struct Score<'a> {
    metric: &'a str,
    before: f64,
    after: f64,
    difference: f64,
    interval: Option<(f64, f64)>,
    pairs: u64,
}

#[derive(Serialize)]
struct Pair<'a> {
    before: State<'a>,
    after: State<'a>,
    cka: Option<f64>,
    cka_interval: Option<(f64, f64)>,
    readout_cosine: Option<f64>,
    readout_overlap: Option<f64>,
    /// The smallest and the largest principal angle, in degrees.
    readout_angles: Option<(f64, f64)>,
    texts_kept: Option<f64>,
    property_kept: Option<bool>,
}

#[derive(Serialize)]
struct State<'a> {
    head: String,
    texts: &'a [String],
    property: Option<&'a str>,
    /// Texts that fit the property, and texts that were judged.
    consistent: Option<(u64, u64)>,
    variance_share: Option<f64>,
}

impl<'a> State<'a> {
    fn of(head: HeadId, state: &'a HeadState) -> Self {
        Self {
            head: head.to_string(),
            texts: &state.texts,
            property: state.property.as_deref(),
            consistent: state.consistent,
            variance_share: state.variance_share,
        }
    }
}

impl<'a> Pair<'a> {
    fn of(pair: &'a HeadPair) -> Self {
        let [before, after] = &pair.states;
        Self {
            before: State::of(pair.heads[0], before),
            after: State::of(pair.heads[1], after),
            cka: pair.cka,
            cka_interval: pair.cka_interval,
            readout_cosine: pair.readouts.and_then(|readouts| readouts.cosine),
            readout_overlap: pair.readouts.map(|readouts| readouts.overlap),
            readout_angles: pair.readouts.map(|readouts| readouts.angles),
            texts_kept: pair.texts_kept,
            property_kept: pair.property_kept,
        }
    }
}

fn answer(found: &DiffedRuns) -> Answer<'_> {
    let DiffedRuns { names, facts, differences, difference, table, page } = found;
    let score = |change: &ScoreChange| Score {
        metric: change.metric,
        before: change.values.0,
        after: change.values.1,
        difference: change.difference,
        interval: change.interval,
        pairs: change.pairs,
    };
    Answer {
        before: &names[0],
        after: &names[1],
        pairing: difference.pairing,
        labeller: difference.labeller.as_deref(),
        images: difference.images,
        made_with: [&facts[0], &facts[1]],
        differences: differences.iter().map(|(_, told)| told.as_str()).collect(),
        scores: difference.scores.iter().map(score).collect(),
        heads: difference.heads.iter().map(Pair::of).collect(),
        unpaired: difference.unpaired.each_ref().map(|heads| heads.iter().map(ToString::to_string).collect()),
        table,
        page,
    }
}
