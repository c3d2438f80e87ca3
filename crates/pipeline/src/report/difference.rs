use std::collections::BTreeMap;

use headspan_artifacts::Fact;
use headspan_metrics::{Difference, HeadPair, HeadState, ScoreChange, Settings};
use maud::{DOCTYPE, Markup, html};

use crate::{
    figures::{changed, cka, percent},
    report::charts::{Bar, bars, style},
};

/// The difference of two runs as one self-contained page.
pub(crate) fn difference_page(
    [before, after]: &[String; 2],
    difference: &Difference,
    facts: &[(Fact, String)],
    settings: &Settings,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "headspan: " (before) " and " (after) }
                (style())
            }
            body {
                h1 { "What changed from " (before) " to " (after) }
                p.note {
                    (difference.heads.len()) " pairs of heads, " (difference.pairing) ", over " (difference.images) " images. CKA compares what a head puts "
                    "out over these images: 1 means the same but for a rotation and a factor. The overlap compares the directions in which its "
                    "readout can write."
                }
                @for (_, told) in facts { p.warning { "Compare with care: " (told) "." } }
                h2 { "Scores" }
                (scores(&difference.scores, settings))
                h2 { "Blocks" }
                (layers(&difference.heads))
                h2 { "Heads, those that changed most first" }
                (heads(difference))
                @if difference.unpaired.iter().any(|heads| !heads.is_empty()) {
                    h2 { "Heads without a partner" }
                    @for (name, heads) in [before, after].into_iter().zip(&difference.unpaired) {
                        p { (name) ": " (heads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn scores(changes: &[ScoreChange], settings: &Settings) -> Markup {
    if changes.is_empty() {
        return html! { p.note { "No pair has a label on both sides." } };
    }
    html! {
        div.scroll { table {
            thead { tr {
                th { "score" } th.number { "before" } th.number { "after" } th.number { "difference" } th.number { (format!("{:.0} % interval", 100.0 * settings.confidence)) }
                th.number { "pairs" }
            } }
            tbody { @for change in changes { tr {
                td { (change.metric.replace('_', " ")) }
                td.number { (format!("{:.3}", change.values.0)) } td.number { (format!("{:.3}", change.values.1)) }
                td.number { (format!("{:+.3}", change.difference)) }
                td.number { (change.interval.map_or_else(|| "n/a".to_owned(), |(low, high)| format!("{low:+.3} to {high:+.3}"))) }
                td.number { (change.pairs) }
            } } }
        } }
        p.note { "Intervals are over pairs of heads drawn with replacement, the same pairs for both sides." }
    }
}

/// Mean CKA of the heads of each block before.
fn layers(heads: &[HeadPair]) -> Markup {
    let mut blocks: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for pair in heads {
        blocks.entry(pair.heads[0].layer).or_default().extend(pair.cka);
    }
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let rows: Vec<Bar> = blocks
        .iter()
        .map(|(layer, values)| Bar { label: format!("block {layer}"), value: mean(values), interval: None })
        .collect();
    bars("Mean CKA of a block's heads (1: unchanged)", &rows)
}

fn heads(difference: &Difference) -> Markup {
    let by_position = difference.heads.iter().all(|pair| pair.heads[0] == pair.heads[1]);
    html! {
        div.scroll { table {
            thead { tr {
                th { "head" } @if !by_position { th { "after" } }
                th.number { "CKA" } th.number { "overlap" } th.number { "texts kept" }
                th { "property" } th.number { "share of variance" } th { "first text" }
            } }
            tbody { @for pair in difference.by_change() { (row(pair, by_position)) } }
        } }
    }
}

fn row(pair: &HeadPair, by_position: bool) -> Markup {
    let [before, after] = &pair.states;
    let property = |state: &HeadState| state.property.clone().unwrap_or_else(|| "–".to_owned());
    let text = |state: &HeadState| state.texts.first().cloned().unwrap_or_else(|| "–".to_owned());
    let share = |state: &HeadState| percent(state.variance_share, 1);
    let number = |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}"));
    html! { tr {
        td { (pair.heads[0]) } @if !by_position { td { (pair.heads[1]) } }
        td.number { (cka(pair)) }
        td.number { (number(pair.readouts.map(|readouts| readouts.overlap))) }
        td.number { (percent(pair.texts_kept, 0)) }
        td.differs[pair.property_kept == Some(false)] { (changed(&property(before), &property(after))) }
        td.number { (changed(&share(before), &share(after))) }
        td { (changed(&text(before), &text(after))) }
    } }
}
