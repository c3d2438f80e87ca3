use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{BooleanArray, Float64Array, StringArray, UInt32Array};
use headspan_artifacts::{HeadId, RunFacts};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    filter::{filter, properties},
    layout::{Title, formats, heading, page, urlencoded},
    made_with::{not_comparable, warning},
    scatter::{Axis, scatter},
    story::Story,
    terms::term,
};
use crate::{
    app::{Shared, head_path},
    ask::Fields,
    error::WebError,
    page_request::Page,
};
use headspan_query::{Columns, ExploreRun, HeadFigures, HeadFit};

/// Texts of a head that are looked at, as in the paper.
pub(super) const TEXTS: usize = 5;

/// All heads of all runs.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    pub(super) models: Vec<ModelOverview>,
    /// Heads by property, then by run.
    pub(super) properties: BTreeMap<String, BTreeMap<String, usize>>,
    pub(super) run: Option<String>,
    pub(super) property: Option<String>,
    pub(super) text: Option<String>,
    pub(super) consistent: usize,
    x: Axis,
    y: Axis,
    /// A head that tells what heads are; none on a page that is filtered.
    story: Option<Story>,
    #[serde(skip)]
    pub(super) runs: Vec<String>,
    #[serde(skip)]
    pub(super) query: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ModelOverview {
    pub(super) run: String,
    labeller: Option<&'static str>,
    /// What is wrong with the run's artifacts, if anything.
    notices: Vec<String>,
    entanglement: Option<f64>,
    association: Option<f64>,
    images: usize,
    /// That not all images can be shown, where that is so.
    #[serde(skip)]
    kept: Option<String>,
    /// Share of fitting texts, over the heads of a property.
    by_property: BTreeMap<String, f64>,
    /// Mean of the share of variance along texts that fit, over the heads of a property.
    fit_by_property: BTreeMap<String, f64>,
    pub(super) layers: Vec<(u32, Vec<HeadCell>)>,
}

/// One head of the matrix.
#[derive(Debug, Serialize)]
pub(super) struct HeadCell {
    pub(super) head: HeadId,
    pub(super) name: String,
    pub(super) property: Option<String>,
    /// Texts of the first five that are consistent with the property, of those that were judged.
    pub(super) consistent: Option<(usize, usize)>,
    /// The same weighted by the texts' variance.
    pub(super) fit: Option<HeadFit>,
    pub(super) texts: Vec<String>,
    /// Share of the head's variance along its first text, and along all of its texts.
    pub(super) first_share: Option<f64>,
    pub(super) span_share: Option<f64>,
    pub(super) figures: Option<HeadFigures>,
    /// Whether the filter leaves it.
    pub(super) shown: bool,
}

impl Overview {
    pub(crate) fn new(shared: &Shared, fields: &Fields) -> Result<Self, WebError> {
        let own = |key: &str| fields.get(key).map(str::to_owned);
        let mut overview = Self {
            models: Vec::new(),
            properties: BTreeMap::new(),
            run: own("run"),
            property: own("property"),
            text: own("text"),
            consistent: fields.optional_number("consistent")?.unwrap_or(0),
            x: Axis::read(fields.get("x"), Axis::Variance)?,
            y: Axis::read(fields.get("y"), Axis::Consistent)?,
            story: None,
            runs: shared.runs.keys().cloned().collect(),
            query: fields.text(),
        };
        if let Some(run) = overview.run.as_ref().filter(|run| !shared.runs.contains_key(*run)) {
            return Err(WebError::absent(format!("no run `{run}` is shown; there are {}", overview.runs.join(", "))));
        }
        for (name, subject) in &shared.runs {
            if overview.run.as_ref().is_some_and(|run| run != name) {
                continue;
            }
            let model = ModelOverview::new(name, subject.run(), subject.notices(), &overview);
            for cell in model.layers.iter().flat_map(|(_, cells)| cells) {
                if let Some(property) = &cell.property {
                    *overview.properties.entry(property.clone()).or_default().entry(name.clone()).or_default() += 1;
                }
            }
            overview.models.push(model);
        }
        let example = fields.optional_number("example")?.unwrap_or(0);
        if overview.property.is_none() && overview.text.is_none() && overview.consistent == 0 {
            overview.story = Story::new(shared, overview.run.as_deref(), example);
        }
        Ok(overview)
    }

    /// What the heads are filtered by, in words.
    fn filtered(&self) -> String {
        let text = self.text.iter().map(|text| format!("“{text}”"));
        self.run.iter().chain(&self.property).cloned().chain(text).collect::<Vec<_>>().join(", ")
    }

    /// What the figures of the models shown were made with differently.
    fn not_comparable(&self, shared: &Shared) -> Vec<String> {
        let shown =
            self.models.iter().filter_map(|model| Some((model.run.as_str(), shared.runs.get(&model.run)?.facts())));
        let shown: Vec<(&str, RunFacts)> = shown.collect();
        not_comparable(shown.iter().map(|(run, facts)| (*run, facts)))
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
    fn new(name: &str, run: &ExploreRun, notices: Vec<String>, filter: &Overview) -> Self {
        let labeller = run.labeller();
        let (mut entanglement, mut association) = (None, None);
        for row in run.metrics().iter().filter(|row| Some(row.labeller.as_str()) == labeller) {
            match (row.scope.as_str(), row.metric.as_str()) {
                ("model", "entanglement_repeated") => entanglement = row.value,
                ("model", "association_associated_heads") => association = row.value,
                _ => {}
            }
        }
        let mut layers: BTreeMap<u32, Vec<HeadCell>> = BTreeMap::new();
        let mut texts: BTreeMap<String, Vec<HeadFit>> = BTreeMap::new();
        for mut cell in cells(run) {
            cell.shown = filter.leaves(&cell);
            if let (Some(property), Some(fit)) = (&cell.property, cell.fit) {
                texts.entry(property.clone()).or_default().push(fit);
            }
            layers.entry(cell.head.layer).or_default().push(cell);
        }
        let each = |of: &dyn Fn(&[HeadFit]) -> f64| -> BTreeMap<String, f64> {
            texts.iter().map(|(name, fits)| (name.clone(), of(fits))).collect()
        };
        Self {
            run: name.to_owned(),
            labeller,
            notices,
            entanglement,
            association,
            images: run.image_count() as usize,
            kept: run.kept().note(),
            by_property: each(&|fits| {
                let sum = |count: fn(&HeadFit) -> usize| fits.iter().map(count).sum::<usize>() as f64;
                sum(|fit| fit.consistent) / sum(|fit| fit.judged)
            }),
            fit_by_property: each(&|fits| fits.iter().map(|fit| fit.share).sum::<f64>() / fits.len() as f64),
            layers: layers.into_iter().rev().collect(),
        }
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &HeadCell> {
        self.layers.iter().flat_map(|(_, cells)| cells)
    }
}

fn cells(run: &ExploreRun) -> Vec<HeadCell> {
    let figures = run.figures();
    let cell = |head: HeadId| {
        let label = run.label(head);
        let picks = run.textspan(head);
        let fit = run.fit(head);
        HeadCell {
            head,
            name: head.to_string(),
            property: label.and_then(|row| row.property.clone()),
            consistent: fit.map(|fit| (fit.consistent, fit.judged)),
            fit,
            texts: picks.iter().take(TEXTS).map(|row| row.text.clone()).collect(),
            first_share: picks.first().map(|row| row.variance_share),
            span_share: picks.last().map(|row| row.cumulative_share),
            figures: figures.get(&head).copied(),
            shown: true,
        }
    };
    run.heads().map(cell).collect()
}

/// Class of a cell's colour: how much of its texts' variance fits its property.
pub(super) fn shade(cell: &HeadCell) -> String {
    match cell.fit {
        Some(fit) => format!("a{}", (5.0 * fit.share).round() as usize),
        None => "none".to_owned(),
    }
}

impl Page for Overview {
    fn html(&self, shared: &Shared) -> Markup {
        let accents = Accents::of(shared);
        page(
            &Title { section: "Heads", asked: self.filtered() },
            None,
            &html! {
                (heading("What the heads look at", "An attention head is one of a layer's parallel units: it looks at the image in its own way and adds one vector to what the model makes of it. Each cell is one."))
                @if let Some(story) = &self.story { (story.html(&accents, &self.query)) }
                (warning(&self.not_comparable(shared)))
                (filter(self))
                (properties(self, &accents))
                @for model in &self.models { (matrix(model, &accents)) }
                (scatter(&self.models, self.x, self.y, &self.query, &accents))
                (property_table(self, &accents))
                p.hint { "This table of heads: " (formats("/index", &self.query)) }
            },
        )
    }

    /// One row a head.
    fn table(&self) -> Columns {
        let rows = || self.models.iter().flat_map(|model| model.cells().map(move |cell| (model, cell)));
        let strings =
            |value: fn(&HeadCell) -> Option<&str>| -> StringArray { rows().map(|(_, cell)| value(cell)).collect() };
        let numbers =
            |value: fn(&HeadCell) -> Option<f64>| -> Float64Array { rows().map(|(_, cell)| value(cell)).collect() };
        vec![
            ("run", Arc::new(StringArray::from_iter_values(rows().map(|(model, _)| &model.run)))),
            ("layer", Arc::new(rows().map(|(_, cell)| cell.head.layer).collect::<UInt32Array>())),
            ("head", Arc::new(rows().map(|(_, cell)| cell.head.head).collect::<UInt32Array>())),
            ("property", Arc::new(strings(|cell| cell.property.as_deref()))),
            (
                "consistent",
                Arc::new(rows().map(|(_, cell)| cell.consistent.map(|(yes, _)| yes as u32)).collect::<UInt32Array>()),
            ),
            (
                "judged",
                Arc::new(
                    rows().map(|(_, cell)| cell.consistent.map(|(_, judged)| judged as u32)).collect::<UInt32Array>(),
                ),
            ),
            ("fit", Arc::new(numbers(|cell| cell.fit.map(|fit| fit.share)))),
            ("first_text", Arc::new(strings(|cell| cell.texts.first().map(String::as_str)))),
            ("first_share", Arc::new(numbers(|cell| cell.first_share))),
            ("span_share", Arc::new(numbers(|cell| cell.span_share))),
            ("variance", Arc::new(numbers(|cell| cell.figures.map(|figures| figures.variance)))),
            ("variance_share", Arc::new(numbers(|cell| cell.figures.map(|figures| figures.variance_share)))),
            ("effective_rank", Arc::new(numbers(|cell| cell.figures.map(|figures| figures.effective_rank)))),
            ("mean_length", Arc::new(numbers(|cell| cell.figures.map(|figures| figures.mean_length)))),
            ("shown", Arc::new(rows().map(|(_, cell)| Some(cell.shown)).collect::<BooleanArray>())),
        ]
    }
}

fn matrix(model: &ModelOverview, accents: &Accents) -> Markup {
    let score = |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.3}"));
    let widest = model.layers.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    html! {
        section.model {
            div.title {
                h2 { (model.run) }
                dl.numbers {
                    div { dt { (term("entanglement", "entanglement ↓")) } dd { (score(model.entanglement)) } }
                    div { dt { (term("association", "association ↑")) } dd { (score(model.association)) } }
                    div { dt { "images" } dd { (model.images) } }
                    div { dt { (term("labels-by", "labels by")) } dd { (model.labeller.unwrap_or("nobody yet")) } }
                }
            }
            @for notice in &model.notices { p.error role="note" { (notice) } }
            @if let Some(note) = &model.kept { p.hint role="note" { (note) } }
            div.scroll tabindex="0" role="region" aria-label={ "Heads of " (model.run) } {
                table.matrix {
                    thead { tr { th scope="col" { "layer" } @for head in 0..widest { th scope="col" { "H" (head) } } } }
                    tbody {
                        @for (layer, cells) in &model.layers {
                            tr { th scope="row" { "L" (layer) } @for cell in cells { (matrix_cell(model, cell, accents)) } }
                        }
                    }
                }
            }
        }
    }
}

fn matrix_cell(model: &ModelOverview, cell: &HeadCell, accents: &Accents) -> Markup {
    html! {
        td class={ (shade(cell)) @if !cell.shown { " dim" } } {
            a.(accents.class(cell.property.as_deref())) href=(head_path(&model.run, cell.head)) title=(cell.texts.join("\n")) {
                span.property { (cell.property.as_deref().unwrap_or("no label")) }
                span.fit { @match cell.fit {
                    Some(fit) => { (format!("{:.0} %", 100.0 * fit.share)) },
                    None => { "n/a" },
                } }
            }
        }
    }
}

fn property_table(overview: &Overview, accents: &Accents) -> Markup {
    html! {
        section {
            h2 { "Heads by property" }
            p.hint { "Number of heads, and the mean share of their first texts that fits the property, weighted by variance." }
            div.scroll tabindex="0" role="region" aria-label="Heads by property" {
                table {
                    thead { tr {
                        th scope="col" { "property" }
                        @for model in &overview.models { th.number scope="col" { (model.run) } }
                    } }
                    tbody {
                        @for (property, counts) in &overview.properties {
                            tr {
                                th scope="row" { (accents.tag(Some(property))) }
                                @for model in &overview.models {
                                    td.number {
                                        @match counts.get(&model.run) {
                                            Some(count) => {
                                                a href={ "/r/" (model.run) "/neighbours?heads=" (urlencoded(property)) } { (count) }
                                                @if let Some(share) = model.fit_by_property.get(property) { " (" (format!("{:.0} %", 100.0 * share)) ")" }
                                            },
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
