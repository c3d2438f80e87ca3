use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{HeadId, LabelRow};
use maud::{Markup, html};
use serde::Serialize;

use super::layout::page;
use crate::{
    run::ExploreRun,
    web::{
        app::{Shared, head_path},
        ask::Fields,
        error::WebError,
    },
};

/// Texts of a head that are looked at, as in the paper.
const TEXTS: usize = 5;

/// All heads of all runs.
#[derive(Debug, Serialize)]
pub(in crate::web) struct Overview {
    models: Vec<ModelOverview>,
    /// Heads by property, then by run.
    properties: BTreeMap<String, BTreeMap<String, usize>>,
    property: Option<String>,
    text: Option<String>,
    consistent: usize,
}

#[derive(Debug, Serialize)]
struct ModelOverview {
    run: String,
    labeller: Option<String>,
    entanglement: Option<f64>,
    association: Option<f64>,
    images: usize,
    layers: Vec<(u32, Vec<HeadCell>)>,
}

/// One head of the matrix.
#[derive(Debug, Serialize)]
pub(super) struct HeadCell {
    pub(super) head: HeadId,
    pub(super) name: String,
    pub(super) property: Option<String>,
    /// Texts of the first five that are consistent with the property, of those that were judged.
    pub(super) consistent: Option<(usize, usize)>,
    pub(super) texts: Vec<String>,
    /// Whether the filter leaves it.
    pub(super) shown: bool,
}

impl Overview {
    pub(in crate::web) fn new(shared: &Shared, fields: &Fields) -> Result<Self, WebError> {
        let property = fields.get("property").map(str::to_owned);
        let text = fields.get("text").map(str::to_owned);
        let consistent = fields.get("consistent").and_then(|number| number.parse().ok()).unwrap_or(0);
        let mut overview = Self { models: Vec::new(), properties: BTreeMap::new(), property, text, consistent };
        for (name, subject) in &shared.subjects {
            let model = ModelOverview::new(name, subject.run(), &overview)?;
            for cell in model.layers.iter().flat_map(|(_, cells)| cells) {
                if let Some(property) = &cell.property {
                    *overview.properties.entry(property.clone()).or_default().entry(name.clone()).or_default() += 1;
                }
            }
            overview.models.push(model);
        }
        Ok(overview)
    }

    fn leaves(&self, cell: &HeadCell) -> bool {
        let property = self.property.as_ref().is_none_or(|wanted| cell.property.as_ref() == Some(wanted));
        let text = self.text.as_ref().is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            cell.texts.iter().any(|text| text.to_lowercase().contains(&wanted))
        });
        property && text && cell.consistent.map_or(0, |(yes, _)| yes) >= self.consistent
    }
}

impl ModelOverview {
    fn new(name: &str, run: &ExploreRun, filter: &Overview) -> Result<Self, WebError> {
        let labeller = labeller(run);
        let metrics = run.metrics()?;
        let score = |metric: &str| {
            let row = metrics
                .iter()
                .find(|row| row.scope == "model" && row.metric == metric && Some(&row.labeller) == labeller.as_ref());
            row.and_then(|row| row.value)
        };
        let mut layers: BTreeMap<u32, Vec<HeadCell>> = BTreeMap::new();
        for mut cell in cells(run) {
            cell.shown = filter.leaves(&cell);
            layers.entry(cell.head.layer).or_default().push(cell);
        }
        Ok(Self {
            run: name.to_owned(),
            entanglement: score("entanglement_repeated"),
            association: score("association_associated_heads"),
            labeller,
            images: run.images().len(),
            layers: layers.into_iter().rev().collect(),
        })
    }
}

/// The labeller whose labels are shown: a language model before imported labels before the lexicon.
pub(super) fn labeller(run: &ExploreRun) -> Option<String> {
    let there: BTreeSet<&str> = run.labels().iter().map(|row| row.labeller.as_str()).collect();
    ["openai", "import", "lexicon"].into_iter().find(|name| there.contains(name)).map(str::to_owned)
}

pub(super) fn label_of<'a>(run: &'a ExploreRun, labeller: Option<&str>, head: HeadId) -> Option<&'a LabelRow> {
    run.labels()
        .iter()
        .find(|row| row.layer == head.layer && row.head == head.head && Some(row.labeller.as_str()) == labeller)
}

pub(super) fn cells(run: &ExploreRun) -> Vec<HeadCell> {
    let labeller = labeller(run);
    let mut texts: BTreeMap<HeadId, Vec<String>> = BTreeMap::new();
    for row in run.textspan().iter().filter(|row| (row.rank as usize) < TEXTS) {
        texts.entry(HeadId { layer: row.layer, head: row.head }).or_default().push(row.text.clone());
    }
    let cell = |head: HeadId| {
        let label = label_of(run, labeller.as_deref(), head);
        let judged: Vec<bool> = label.iter().flat_map(|row| row.consistent.iter().flatten().copied()).collect();
        let consistent = judged.iter().filter(|yes| **yes).count();
        HeadCell {
            head,
            name: head.to_string(),
            property: label.and_then(|row| row.property.clone()),
            consistent: (!judged.is_empty()).then_some((consistent, judged.len())),
            texts: texts.remove(&head).unwrap_or_default(),
            shown: true,
        }
    };
    run.heads().map(cell).collect()
}

/// Class of a cell's colour: how many of its texts fit its property.
pub(super) fn shade(cell: &HeadCell) -> String {
    match cell.consistent {
        Some((yes, judged)) => format!("a{}", (5 * yes + judged / 2) / judged.max(1)),
        None => "none".to_owned(),
    }
}

/// The start page.
pub(in crate::web) fn start(overview: &Overview) -> Markup {
    page(
        "Heads",
        None,
        &html! {
            h1 { "What the heads look at" }
            p.lead { "Each cell is an attention head: its property, and how many of its first five texts fit it. Darker fits better." }
            (filter(overview))
            @for model in &overview.models { (matrix(model)) }
            (property_table(overview))
        },
    )
}

fn filter(overview: &Overview) -> Markup {
    html! {
        form.filter method="get" action="/" {
            label { "Property "
                select name="property" {
                    option value="" { "any" }
                    @for property in overview.properties.keys() {
                        option value=(property) selected[overview.property.as_ref() == Some(property)] { (property) }
                    }
                }
            }
            label { "Texts contain " input type="search" name="text" maxlength="200" value=(overview.text.as_deref().unwrap_or("")); }
            label { "Fitting texts at least "
                input type="number" name="consistent" min="0" max="5" value=(overview.consistent);
            }
            button { "Filter" }
            @if overview.property.is_some() || overview.text.is_some() || overview.consistent > 0 { a href="/" { "All heads" } }
        }
    }
}

fn matrix(model: &ModelOverview) -> Markup {
    let score = |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}"));
    let widest = model.layers.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    html! {
        section {
            h2 { (model.run) }
            p.figures {
                "entanglement " strong { (score(model.entanglement)) } " · association " strong { (score(model.association)) }
                " · " (model.images) " images · labels by " (model.labeller.as_deref().unwrap_or("nobody yet"))
            }
            div.scroll tabindex="0" role="region" aria-label={ "Heads of " (model.run) } {
                table.matrix {
                    thead { tr { th scope="col" { "layer" } @for head in 0..widest { th scope="col" { "H" (head) } } } }
                    tbody {
                        @for (layer, cells) in &model.layers {
                            tr {
                                th scope="row" { "L" (layer) }
                                @for cell in cells {
                                    td class={ (shade(cell)) @if !cell.shown { " dim" } } {
                                        a href=(head_path(&model.run, cell.head)) title=(cell.texts.join("\n")) {
                                            span.property { (cell.property.as_deref().unwrap_or("no label")) }
                                            span.fit {
                                                @match cell.consistent {
                                                    Some((yes, judged)) => { (yes) "/" (judged) },
                                                    None => { "n/a" },
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn property_table(overview: &Overview) -> Markup {
    html! {
        section {
            h2 { "Heads by property" }
            div.scroll tabindex="0" role="region" aria-label="Heads by property" {
                table {
                    thead { tr {
                        th scope="col" { "property" }
                        @for model in &overview.models { th.number scope="col" { (model.run) } }
                    } }
                    tbody {
                        @for (property, counts) in &overview.properties {
                            tr {
                                th scope="row" { (property) }
                                @for model in &overview.models {
                                    td.number {
                                        @match counts.get(&model.run) {
                                            Some(count) => a href={ "/r/" (model.run) "/neighbours?heads=" (urlencoded(property)) } { (count) },
                                            None => "0",
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A value as it may stand in a query string.
pub(super) fn urlencoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
