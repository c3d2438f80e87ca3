use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow_array::StringArray;
use headspan_artifacts::RunFacts;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    bars::Bars,
    curve_table::{chart_of, drawn},
    heat::maps,
    layout::{
        Title, by, counted, cut_note, figure_links, formats, heading, image_choice, in_words, own_image, page,
        selection_tag, upload_form,
    },
    made_with::{made_with, not_comparable, warning},
    maps::Maps,
    neighbours::{class_fields, class_list, grid, question},
    segment::{baseline_fields, seen, text_fields},
};
use crate::{
    app::Shared,
    ask::{CompareAsk, Fields, QueryInput},
    error::WebError,
    handlers,
    page_request::Page,
};
use headspan_query::{
    Baseline, CURVE_METRICS, Columns, CurveMetric, Curves, HeadSelection, Neighbours, Shading, Similarity, curve,
    curve_chart, image_columns, patch_columns,
};

/// Most runs side by side.
const MOST_RUNS: usize = 6;
/// Images of each side, if the question does not say.
const COUNT: usize = 6;

/// One question asked of several runs, and their scores by layer.
#[derive(Debug, Serialize)]
pub(crate) struct ComparePage {
    analysis: &'static str,
    heads: String,
    texts: Vec<String>,
    image: Option<u64>,
    upload: Option<String>,
    /// Images of each side, where images are asked for.
    count: Option<usize>,
    classes: Vec<String>,
    farthest: bool,
    /// Whether a text was longer than a model's context.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    answers: Vec<Side>,
    /// What the figures and answers were made with differently, each in a sentence.
    differences: Vec<String>,
    /// Metric, then run, then score by layer counted from the last.
    curves: BTreeMap<String, Curves>,
    /// Whether the models were chosen, and are not just the first.
    #[serde(skip)]
    chosen: bool,
    #[serde(skip)]
    shading: Shading,
    #[serde(skip)]
    baseline: Baseline,
    #[serde(skip)]
    similarity: Similarity,
    #[serde(skip)]
    query: String,
}

/// What one run answers.
#[derive(Debug, Serialize)]
struct Side {
    run: String,
    /// What the run was made with.
    facts: RunFacts,
    found: Option<Neighbours>,
    maps: Option<Maps>,
    /// Why there is no answer, such as a property that this run has no head for.
    error: Option<String>,
    #[serde(skip)]
    cut: bool,
}

impl ComparePage {
    pub(crate) fn new(shared: &Shared, ask: &CompareAsk, fields: &Fields) -> Result<Self, WebError> {
        let names: Vec<&str> = shared.runs.keys().map(String::as_str).collect();
        let asked = asked_runs(&names, &fields.all("run").collect())?;
        let subjects = shared.runs.iter().filter(|(name, _)| asked.contains(&name.as_str()));
        let mut curves: BTreeMap<String, Curves> = BTreeMap::new();
        let mut answers = Vec::new();
        for (name, subject) in subjects {
            for CurveMetric { metric, .. } in CURVE_METRICS {
                let curve = curve(subject.run().metrics(), subject.run().labeller(), metric);
                curves.entry(metric.to_owned()).or_default().insert(name.clone(), curve);
            }
            let facts = subject.facts();
            let mut side = Side { run: name.clone(), facts, found: None, maps: None, error: None, cut: false };
            let answer = match ask {
                CompareAsk::Neighbours(ask) => {
                    let mut ask = ask.clone();
                    if fields.get("count").is_none() {
                        ask.request.count = COUNT;
                    }
                    let found = handlers::near(shared, subject.as_ref(), &ask).transpose();
                    found.map(|near| {
                        side.cut = near.as_ref().is_some_and(|near| near.cut);
                        side.found = near.map(|near| near.found);
                    })
                }
                CompareAsk::Segment(ask) => handlers::maps(shared, subject.as_ref(), ask).transpose().map(|maps| {
                    side.cut = maps.as_ref().is_some_and(|maps| maps.cut);
                    side.maps = maps;
                }),
            };
            side.error = answer.err().map(|error| error.message);
            answers.push(side);
        }
        Ok(Self::of(ask, fields, answers, curves))
    }

    fn of(ask: &CompareAsk, fields: &Fields, answers: Vec<Side>, curves: BTreeMap<String, Curves>) -> Self {
        let (analysis, heads, subject, shading): (_, &HeadSelection, _, _) = match ask {
            CompareAsk::Neighbours(ask) => ("neighbours", &ask.request.heads, &ask.input, Shading::default()),
            CompareAsk::Segment(ask) => ("segment", &ask.heads, &ask.input, ask.shading),
        };
        let request = if let CompareAsk::Neighbours(ask) = ask { Some(&ask.request) } else { None };
        let baseline = if let CompareAsk::Segment(ask) = ask { ask.baseline.clone() } else { Baseline::default() };
        // As it was asked: the default is another than that of neighbours.
        let count = |own| if fields.get("count").is_none() { COUNT } else { own };
        Self {
            differences: not_comparable(answers.iter().map(|side| (side.run.as_str(), &side.facts))),
            analysis,
            heads: heads.to_string(),
            texts: fields.all("text").map(str::to_owned).collect(),
            image: subject.as_ref().and_then(QueryInput::image),
            upload: subject.as_ref().and_then(QueryInput::upload),
            count: request.map(|request| count(request.count)),
            classes: request.map(|request| request.classes.iter().cloned().collect()).unwrap_or_default(),
            farthest: request.is_some_and(|request| request.farthest),
            cut: answers.iter().any(|side| side.cut),
            answers,
            curves,
            chosen: fields.get("run").is_some(),
            shading,
            baseline,
            similarity: request.map_or(Similarity::default(), |request| request.similarity),
            query: fields.text(),
        }
    }
}

/// The runs that are asked: those that were chosen, or else the first of all that there are.
fn asked_runs<'a>(known: &[&'a str], chosen: &BTreeSet<&str>) -> Result<Vec<&'a str>, WebError> {
    if let Some(unknown) = chosen.iter().find(|run| !known.contains(run)) {
        return Err(WebError::absent(format!("no run `{unknown}` is shown")));
    }
    if chosen.len() > MOST_RUNS {
        let message = format!("{} models are chosen; at most {MOST_RUNS} are shown side by side", chosen.len());
        return Err(WebError::question(message));
    }
    let asked = known.iter().copied().filter(|run| chosen.is_empty() || chosen.contains(run));
    Ok(asked.take(MOST_RUNS).collect())
}

impl Page for ComparePage {
    fn html(&self, shared: &Shared) -> Markup {
        page(
            &Title {
                section: "Compare",
                asked: in_words(&self.subject_texts(), self.image, self.upload.as_deref(), &self.heads),
            },
            None,
            &html! {
                (heading("Models side by side", "The same question to every model: what is near a text or an image, or where in an image a text is."))
                (warning(&self.differences))
                (form(shared, self))
                (upload_form(&format!("/compare?{}", self.query)))
                @if self.answers.iter().any(|side| side.found.is_some() || side.maps.is_some() || side.error.is_some()) {
                    section aria-label="Answer" {
                        p.meta { @if let Some(wanted) = self.wanted() { (wanted) " · " } (self.scale_note()) " · " (formats("/compare", &self.query)) }
                        (cut_note(self.cut))
                        div.sides { @for side in &self.answers { (self.side(shared, side)) } }
                    }
                } @else {
                    p.empty { "Say what to ask every model: heads, and a text or an image" @if self.analysis == "segment" { ", or rather both" } "." }
                }
                div.sides.curves { @for (place, (metric, curves)) in drawn(&self.curves).into_iter().enumerate() {
                    div { (curve_chart(&metric, curves)) p.hint { (figure_links("/compare", &self.query, place + 1)) } }
                } }
                (made_with(self.answers.iter().map(|side| (side.run.as_str(), &side.facts))))
            },
        )
    }

    /// One row an image of each run's answer, or one a patch of each of its maps; of a chart one row a layer of each run.
    fn table(&self) -> Columns {
        if let Some(columns) = chart_of(&self.curves, &self.query) {
            return columns;
        }
        let found = || self.answers.iter().filter_map(|side| Some((side, side.found.as_ref()?)));
        let runs = found().flat_map(|(side, found)| std::iter::repeat_n(&side.run, found.images.len()));
        let runs = StringArray::from_iter_values(runs);
        let mut columns: Columns = Vec::new();
        if found().next().is_some() {
            columns.push(("run", Arc::new(runs)));
            columns.extend(image_columns(found().flat_map(|(_, found)| &found.images)));
        } else if self.answers.iter().any(|side| side.maps.is_some()) {
            columns = self.patches();
        }
        columns
    }
}

impl ComparePage {
    /// One row a patch of each run's maps.
    fn patches(&self) -> Columns {
        let answers = self.answers.iter().filter_map(|side| Some((&side.run, side.maps.as_ref()?.grids())));
        let maps: Vec<_> = answers.flat_map(|(run, maps)| maps.into_iter().map(move |map| (run, map))).collect();
        let runs = maps.iter().flat_map(|(run, (_, _, scores))| std::iter::repeat_n(run, scores.len()));
        let mut columns: Columns = vec![("run", Arc::new(StringArray::from_iter_values(runs)))];
        columns.extend(patch_columns(&maps.iter().map(|(_, map)| *map).collect::<Vec<_>>()));
        columns
    }

    /// The texts that were asked about, which an image or an upload comes before where neighbours are wanted.
    fn subject_texts(&self) -> Vec<String> {
        let of_image = self.analysis == "neighbours" && (self.image.is_some() || self.upload.is_some());
        if of_image { Vec::new() } else { self.texts.clone() }
    }

    /// Which images were asked for.
    fn wanted(&self) -> Option<String> {
        let count = self.count?;
        let end = if self.farthest { "farthest" } else { "nearest" };
        let of = if self.classes.is_empty() { String::new() } else { format!(" of {}", self.classes.join(" and ")) };
        Some(format!("the {count} {end}{of}"))
    }

    /// What may be compared between the sides, and is therefore drawn on one scale.
    fn scale_note(&self) -> &'static str {
        match (self.analysis, self.similarity) {
            ("segment", _) => "one scale for all models: parts of the cosine of image and text",
            (_, Similarity::Cosine) => "one scale for all models: cosines",
            (_, Similarity::Dot) => {
                "each model has its own scale: dot products of its contributions; choose cosine for one scale"
            }
        }
    }

    /// The scale of a side's scores: that of all sides where their scores can be compared.
    fn bars(&self, found: &Neighbours) -> Bars {
        match self.similarity {
            Similarity::Cosine => {
                Bars::of(self.answers.iter().filter_map(|side| side.found.as_ref()).flat_map(|found| &found.images))
            }
            Similarity::Dot => Bars::of(found.images.iter()),
        }
    }

    fn side(&self, shared: &Shared, side: &Side) -> Markup {
        let run = side.run.as_str();
        let common = || Maps::common_scale(self.answers.iter().filter_map(|side| side.maps.as_ref()));
        html! {
            section {
                h2 { a href={ "/r/" (run) "/" (self.analysis) "?" (self.query) } { (run) } }
                @if let Some(error) = &side.error { p.error { (error) } }
                @if let Some(found) = &side.found {
                    p.hint { (selection_tag(shared, run, &self.heads)) " · " (counted(found.heads.len(), "head")) " · " (counted(found.compared, "image")) }
                    (grid(run, &question(&self.heads, self.similarity), &found.images, None, self.bars(found)))
                }
                @if let Some(answer) = &side.maps {
                    p.hint { (selection_tag(shared, run, &self.heads)) " · " (answer.summary()) }
                    (maps(answer, &seen(run, self.image, self.upload.as_deref()), self.shading, common()))
                }
            }
        }
    }
}

fn form(shared: &Shared, shown: &ComparePage) -> Markup {
    let runs = || shared.runs.values().map(|subject| subject.run());
    let properties: BTreeSet<&String> = runs().flat_map(|run| run.properties().keys()).collect();
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
            @if segments { div.texts { (text_fields(&shown.texts)) } }
            fieldset {
                legend { @if segments { "In" } @else { "Near" } }
                @if !segments {
                    div.choice.wide {
                        (by("text", "a text", shown.image.is_none() && shown.upload.is_none()))
                        input type="text" name="text" aria-label="Text" maxlength="1000" value=(shown.texts.first().map_or("", String::as_str)) data-by="text";
                    }
                }
                (image_choice("an image of the data set", shown.image, Some(shown.image.is_some()), None))
                (own_image(shown.upload.as_deref()))
            }
            div.details {
                @if !segments {
                    label { "Images " input type="number" name="count" min="1" max="200" value=(shown.count.unwrap_or(COUNT)); }
                    label { "Compare by "
                        select name="similarity" {
                            option value="cosine" selected[shown.similarity == Similarity::Cosine] { "cosine" }
                            option value="dot" selected[shown.similarity == Similarity::Dot] { "dot product, as published" }
                        }
                    }
                    (class_fields(&shown.classes))
                    (class_list(&runs().flat_map(|run| run.classes().iter().cloned()).collect()))
                    label.check { input type="checkbox" name="farthest" value="1" checked[shown.farthest]; " farthest first" }
                }
                @if segments {
                    (baseline_fields(&shown.baseline))
                    label { "Shading "
                        select name="shading" {
                            option value="smooth" selected[shown.shading == Shading::Smooth] { "smooth" }
                            option value="patches" selected[shown.shading == Shading::Patches] { "patches" }
                        }
                    }
                }
                @if shared.runs.len() > 1 { (models(shared, shown)) }
                button { "Ask" }
            }
        }
    }
}

fn models(shared: &Shared, shown: &ComparePage) -> Markup {
    html! {
        fieldset { legend { "Models" }
            @for name in shared.runs.keys() {
                label.check {
                    input type="checkbox" name="run" value=(name) checked[shown.answers.iter().any(|side| side.run == *name)];
                    " " (name)
                }
            }
            @if shared.runs.len() > MOST_RUNS {
                small.hint {
                    @if shown.chosen { "at most " (MOST_RUNS) " of " (shared.runs.len()) }
                    @else { "the first " (MOST_RUNS) " of " (shared.runs.len()) " models; choose others" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_models_are_asked_unless_fewer_are_chosen() -> Result<(), WebError> {
        let known = ["a", "b", "c", "d", "e", "f", "g", "h"];
        assert_eq!(asked_runs(&known, &BTreeSet::new())?, known[..MOST_RUNS]);
        assert_eq!(asked_runs(&known, &BTreeSet::from(["h", "b"]))?, ["b", "h"]);
        let message = asked_runs(&known, &known[..7].iter().copied().collect()).err().map(|error| error.message);
        assert_eq!(message.as_deref(), Some("7 models are chosen; at most 6 are shown side by side"));
        assert!(asked_runs(&known, &BTreeSet::from(["x"])).is_err());
        Ok(())
    }
}
