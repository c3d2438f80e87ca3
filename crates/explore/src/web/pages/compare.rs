use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Serialize;

use super::{
    layout::{formats, page, upload_form},
    maps::{Maps, maps},
    neighbours::{by, grid, question},
    segment::{seen, text_fields},
};
use crate::{
    neighbours::{Neighbours, Similarity},
    pictures::Shading,
    run::ExploreRun,
    selection::HeadSelection,
    tables::{Columns, image_columns},
    web::{
        app::Shared,
        ask::{CompareAsk, Fields, Subject},
        error::WebError,
        handlers,
        place::Page,
    },
};

/// Most runs side by side.
const MOST_RUNS: usize = 6;
/// Images of each side, if the question does not say.
const COUNT: usize = 6;

/// Lines of the charts: metric, and what it is.
const METRICS: [(&str, &str); 2] = [
    ("entanglement_repeated", "Entanglement by layer, from the last (lower is better)"),
    ("association_associated_heads", "Association by layer, from the last (higher is better)"),
];
/// Colours of up to six models, told apart with any common kind of colour blindness (Okabe and Ito).
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// One question asked of several runs, and their scores by layer.
#[derive(Debug, Serialize)]
pub(in crate::web) struct ComparePage {
    analysis: &'static str,
    heads: String,
    texts: Vec<String>,
    image: Option<u64>,
    upload: Option<String>,
    answers: Vec<Side>,
    /// Metric, then run, then score by layer counted from the last.
    curves: BTreeMap<String, BTreeMap<String, Vec<(u32, f64)>>>,
    #[serde(skip)]
    shading: Shading,
    #[serde(skip)]
    similarity: Similarity,
    #[serde(skip)]
    query: String,
}

/// What one run answers.
#[derive(Debug, Serialize)]
struct Side {
    run: String,
    found: Option<Neighbours>,
    maps: Option<Maps>,
    /// Why there is no answer, such as a property that this run has no head for.
    error: Option<String>,
}

impl ComparePage {
    pub(in crate::web) fn new(shared: &Shared, ask: &CompareAsk, fields: &Fields) -> Result<Self, WebError> {
        let chosen: Vec<&str> = fields.all("run").collect();
        if let Some(unknown) = chosen.iter().find(|run| !shared.subjects.contains_key(**run)) {
            return Err(WebError::absent(format!("no run `{unknown}` is shown")));
        }
        let subjects = shared.subjects.iter().filter(|(name, _)| chosen.is_empty() || chosen.contains(&name.as_str()));
        let mut curves: BTreeMap<String, BTreeMap<String, Vec<(u32, f64)>>> = BTreeMap::new();
        let mut answers = Vec::new();
        for (name, subject) in subjects.take(MOST_RUNS) {
            for (metric, _) in METRICS {
                let curve = curve(subject.run(), metric);
                curves.entry(metric.to_owned()).or_default().insert(name.clone(), curve);
            }
            let mut side = Side { run: name.clone(), found: None, maps: None, error: None };
            let answer = match ask {
                CompareAsk::Neighbours(ask) => {
                    let mut ask = ask.clone();
                    if fields.get("count").is_none() {
                        ask.request.count = COUNT;
                    }
                    let found = handlers::near(shared, subject.as_ref(), &ask).transpose();
                    found.map(|found| side.found = found)
                }
                CompareAsk::Segment(ask) => {
                    handlers::maps(shared, subject.as_ref(), ask).transpose().map(|maps| side.maps = maps)
                }
            };
            side.error = answer.err().map(|error| error.message);
            answers.push(side);
        }
        Ok(Self::of(ask, fields, answers, curves))
    }

    fn of(
        ask: &CompareAsk,
        fields: &Fields,
        answers: Vec<Side>,
        curves: BTreeMap<String, BTreeMap<String, Vec<(u32, f64)>>>,
    ) -> Self {
        let (analysis, heads, subject, shading): (_, &HeadSelection, _, _) = match ask {
            CompareAsk::Neighbours(ask) => ("neighbours", &ask.request.heads, &ask.subject, Shading::default()),
            CompareAsk::Segment(ask) => ("segment", &ask.heads, &ask.subject, ask.shading),
        };
        Self {
            analysis,
            heads: heads.to_string(),
            texts: fields.all("text").map(str::to_owned).collect(),
            image: subject.as_ref().and_then(Subject::image),
            upload: subject.as_ref().and_then(Subject::upload),
            answers,
            curves,
            shading,
            similarity: if let CompareAsk::Neighbours(ask) = ask { ask.request.similarity } else { Similarity::Dot },
            query: fields.text(),
        }
    }
}

/// A metric by layer, the last layer as 0.
fn curve(run: &ExploreRun, metric: &str) -> Vec<(u32, f64)> {
    let labeller = run.labeller();
    let last = run.layers().last().copied().unwrap_or(0);
    let rows = run
        .metrics()
        .iter()
        .filter(|row| row.scope == "layer" && row.metric == metric && Some(row.labeller.as_str()) == labeller);
    let mut points: Vec<(u32, f64)> =
        rows.filter_map(|row| Some((last.checked_sub(row.layer?)?, row.value?))).collect();
    points.sort_by_key(|(layer, _)| *layer);
    points
}

impl Page for ComparePage {
    fn html(&self, shared: &Shared) -> Markup {
        page(
            "Compare",
            None,
            &html! {
                h1 { "Models side by side" }
                p.lead { "The same question to every model: what is near a text or an image under a property's heads, or where in an image a text is." }
                (form(shared, self))
                (upload_form(&format!("/compare?{}", self.query)))
                @if self.answers.iter().any(|side| side.found.is_some() || side.maps.is_some() || side.error.is_some()) {
                    section aria-label="Answer" {
                        p.hint { (formats("/compare", &self.query)) }
                        div.sides { @for side in &self.answers { (self.side(side)) } }
                    }
                }
                div.sides { @for (metric, title) in METRICS {
                    @if let Some(curves) = self.curves.get(metric) { (chart(title, curves)) }
                } }
            },
        )
    }

    /// One row an image of each run's answer.
    fn table(&self) -> Columns {
        let found = || self.answers.iter().filter_map(|side| Some((side, side.found.as_ref()?)));
        let runs = found().flat_map(|(side, found)| std::iter::repeat_n(&side.run, found.images.len()));
        let runs = arrow::array::StringArray::from_iter_values(runs);
        let mut columns: Columns = Vec::new();
        if found().next().is_some() {
            columns.push(("run", std::sync::Arc::new(runs)));
            columns.extend(image_columns(found().flat_map(|(_, found)| &found.images)));
        }
        columns
    }
}

impl ComparePage {
    fn side(&self, side: &Side) -> Markup {
        let run = side.run.as_str();
        html! {
            section {
                h2 { a href={ "/r/" (run) "/" (self.analysis) "?" (self.query) } { (run) } }
                @if let Some(error) = &side.error { p.error { (error) } }
                @if let Some(found) = &side.found { (grid(run, &question(&self.heads, self.similarity), &found.images, None)) }
                @if let Some(answer) = &side.maps { (maps(answer, &seen(run, self.image, self.upload.as_deref()), self.shading)) }
            }
        }
    }
}

fn form(shared: &Shared, shown: &ComparePage) -> Markup {
    let runs = || shared.subjects.values().map(|subject| subject.run());
    let properties: std::collections::BTreeSet<&String> = runs().flat_map(|run| run.properties().keys()).collect();
    let segments = shown.analysis == "segment";
    html! {
        form.ask autocomplete="off" method="get" action="/compare" {
            label { "Analysis "
                select name="analysis" {
                    option value="neighbours" selected[!segments] { "neighbours" }
                    option value="segment" selected[segments] { "segmentation" }
                }
            }
            label { "Heads " input type="text" name="heads" list="properties" maxlength="200" value=(shown.heads); }
            datalist id="properties" { option value="all" {} @for property in &properties { option value=(property) {} } }
            @if segments { (text_fields(&shown.texts)) }
            fieldset {
                legend { @if segments { "In" } @else { "Near" } }
                @if !segments {
                    (by("text", "a text", shown.image.is_none() && shown.upload.is_none()))
                    input type="text" name="text" aria-label="Text" maxlength="1000" value=(shown.texts.first().map_or("", String::as_str)) data-by="text";
                }
                (by("image", "an image of the data set", shown.image.is_some()))
                label { "Image number " input type="number" name="image" min="0" value=[shown.image] data-by="image"; }
                @if let Some(upload) = &shown.upload {
                    (by("upload", "your image", true))
                    input type="hidden" name="upload" value=(upload);
                }
            }
            @if shown.similarity == Similarity::Cosine { input type="hidden" name="similarity" value="cosine"; }
            @if shared.subjects.len() > 1 {
                fieldset { legend { "Models" }
                    @for name in shared.subjects.keys() {
                        label.check {
                            input type="checkbox" name="run" value=(name) checked[shown.answers.iter().any(|side| side.run == *name)];
                            " " (name)
                        }
                    }
                }
            }
            button { "Ask" }
        }
    }
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
