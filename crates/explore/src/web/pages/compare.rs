use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Serialize;

use super::{
    layout::page,
    neighbours::grid,
    start::{labeller, urlencoded},
};
use crate::{
    neighbours::Neighbours,
    run::ExploreRun,
    web::{
        app::Shared,
        ask::{Fields, NeighboursAsk, Subject},
        error::WebError,
    },
};

/// Lines of the charts: metric, and what it is.
const METRICS: [(&str, &str); 2] = [
    ("entanglement_repeated", "Entanglement by layer, from the last (lower is better)"),
    ("association_associated_heads", "Association by layer, from the last (higher is better)"),
];
/// Colours of up to six models, told apart with any common kind of colour blindness (Okabe and Ito).
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// One question asked of all runs, and their scores by layer.
#[derive(Debug, Serialize)]
pub(in crate::web) struct ComparePage {
    heads: String,
    text: Option<String>,
    image: Option<u64>,
    answers: Vec<Side>,
    /// Metric, then run, then score by layer counted from the last.
    curves: BTreeMap<String, BTreeMap<String, Vec<(u32, f64)>>>,
    #[serde(skip)]
    query: String,
}

/// What one run answers.
#[derive(Debug, Serialize)]
struct Side {
    run: String,
    found: Option<Neighbours>,
    /// Why there is no answer, such as a property that this run has no head for.
    error: Option<String>,
}

impl ComparePage {
    /// Asks every run; `answer` gives one run's neighbours.
    pub(in crate::web) fn new(
        shared: &Shared,
        ask: &NeighboursAsk,
        fields: &Fields,
        answer: impl Fn(&str) -> Option<Result<Neighbours, WebError>>,
    ) -> Result<Self, WebError> {
        let mut curves: BTreeMap<String, BTreeMap<String, Vec<(u32, f64)>>> = BTreeMap::new();
        let mut answers = Vec::new();
        for (name, subject) in &shared.subjects {
            for (metric, _) in METRICS {
                let curve = curve(subject.run(), metric)?;
                curves.entry(metric.to_owned()).or_default().insert(name.clone(), curve);
            }
            let (found, error) = match answer(name) {
                None => (None, None),
                Some(Ok(found)) => (Some(found), None),
                Some(Err(error)) => (None, Some(error.message)),
            };
            answers.push(Side { run: name.clone(), found, error });
        }
        let (text, image) = match &ask.subject {
            Some(Subject::Text(text)) => (Some(text.clone()), None),
            Some(Subject::Image(image)) => (None, Some(*image)),
            Some(Subject::Upload(_)) | None => (None, None),
        };
        Ok(Self { heads: ask.request.heads.to_string(), text, image, answers, curves, query: fields.text() })
    }
}

/// A metric by layer, the last layer as 0.
fn curve(run: &ExploreRun, metric: &str) -> Result<Vec<(u32, f64)>, WebError> {
    let labeller = labeller(run);
    let last = run.layers().last().copied().unwrap_or(0);
    let metrics = run.metrics()?;
    let rows = metrics
        .iter()
        .filter(|row| row.scope == "layer" && row.metric == metric && Some(&row.labeller) == labeller.as_ref());
    let mut points: Vec<(u32, f64)> =
        rows.filter_map(|row| Some((last.checked_sub(row.layer?)?, row.value?))).collect();
    points.sort_by_key(|(layer, _)| *layer);
    Ok(points)
}

/// The page that sets runs side by side.
pub(in crate::web) fn compare(shown: &ComparePage) -> Markup {
    page(
        "Compare",
        None,
        &html! {
            h1 { "Models side by side" }
            p.lead { "The same question to every model: what is near a text, or an image of the data set, under a property's heads or all." }
            form.ask method="get" action="/compare" {
                label { "Heads " input type="text" name="heads" maxlength="200" value=(shown.heads) placeholder="colors"; }
                label { "Text " input type="text" name="text" maxlength="1000" value=(shown.text.as_deref().unwrap_or("")); }
                label { "or image number " input type="number" name="image" min="0" value=[shown.image]; }
                input type="hidden" name="count" value="6";
                button { "Ask" }
            }
            @if shown.answers.iter().any(|side| side.found.is_some() || side.error.is_some()) {
                p.hint { a href={ "/compare.json?" (shown.query) } { "JSON" } }
                div.sides { @for side in &shown.answers {
                    section {
                        h2 { a href={ "/r/" (side.run) "/neighbours?heads=" (urlencoded(&shown.heads)) } { (side.run) } }
                        @if let Some(error) = &side.error { p.error { (error) } }
                        @if let Some(found) = &side.found { (grid(&side.run, &shown.heads, &found.images, None)) }
                    }
                } }
            }
            @for (metric, title) in METRICS {
                @if let Some(curves) = shown.curves.get(metric) { (chart(title, curves)) }
            }
        },
    )
}

/// Lines over layers, with every value as text beside them for those who do not see lines.
fn chart(title: &str, curves: &BTreeMap<String, Vec<(u32, f64)>>) -> Markup {
    let layers = curves.values().flatten().map(|(layer, _)| layer + 1).max().unwrap_or(1);
    let x = |layer: u32| 40.0 + 340.0 * f64::from(layers - 1 - layer) / f64::from((layers - 1).max(1));
    let y = |value: f64| 150.0 - 130.0 * value.clamp(0.0, 1.0);
    html! {
        section {
            h2 { (title) }
            svg.chart viewBox="0 0 400 180" role="img" aria-label=(title) {
                @for value in [0.0, 0.5, 1.0] {
                    line x1="40" x2="380" y1=(y(value)) y2=(y(value)) class="rule" {}
                    text x="32" y=(y(value) + 4.0) text-anchor="end" { (format!("{value:.1}")) }
                }
                @for layer in 0..layers { text x=(x(layer)) y="172" text-anchor="middle" { "last" @if layer > 0 { " − " (layer) } } }
                @for (index, points) in curves.values().enumerate() {
                    @let color = COLORS[index % COLORS.len()];
                    polyline fill="none" stroke=(color) stroke-width="2"
                        points=(points.iter().map(|(layer, value)| format!("{:.1},{:.1}", x(*layer), y(*value))).collect::<Vec<_>>().join(" ")) {}
                    @for (layer, value) in points { circle cx=(x(*layer)) cy=(y(*value)) r="3.5" fill=(color) { title { (format!("{value:.3}")) } } }
                }
            }
            div.scroll tabindex="0" role="region" aria-label=(title) { table {
                thead { tr { th scope="col" { "model" } @for layer in (0..layers).rev() { th.number scope="col" { "last" @if layer > 0 { " − " (layer) } } } } }
                tbody { @for (index, (run, points)) in curves.iter().enumerate() { tr {
                    th scope="row" { svg.key viewBox="0 0 10 10" aria-hidden="true" { rect width="10" height="10" fill=(COLORS[index % COLORS.len()]) {} } " " (run) }
                    @for layer in (0..layers).rev() {
                        td.number { (points.iter().find(|(own, _)| *own == layer).map_or_else(|| "n/a".to_owned(), |(_, value)| format!("{value:.3}"))) }
                    }
                } } }
            } }
        }
    }
}
