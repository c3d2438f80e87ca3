use std::sync::Arc;

use arrow_array::{BooleanArray, Float64Array, StringArray, UInt32Array};
use headspan_artifacts::{HeadId, with_causes};
use headspan_notes::StandingRow;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    bars::Bars,
    head_drawing::HeadFigure,
    head_elsewhere::{partner, without},
    head_notes,
    layout::{Title, breadcrumbs, formats, kept_note, page, urlencoded},
    naming::offered,
    neighbours::{grid, question, strip},
    terms::term,
};
use crate::{
    app::{Shared, head_path},
    drawing::Drawing,
    error::WebError,
    page_request::{Page, PageRequest},
    people::People,
};
use headspan_query::{
    Columns, ExploreRun, Extremes, ExtremesRequest, HeadFigures, HeadFit, Neighbour, Partner, Similarity, WithoutHead,
};

/// Texts shown with images at both ends of their direction.
const ILLUSTRATED: usize = 5;
/// Images at each end of a text's direction.
const AT_EACH_END: usize = 4;
/// Heads that resemble one.
const SIMILAR: usize = 8;

/// Texts shown of a head.
const TEXTS: usize = 20;

/// Everything about one head.
#[derive(Debug, Serialize)]
pub(crate) struct HeadPage {
    run: String,
    head: HeadId,
    property: Option<String>,
    description: Option<String>,
    labeller: Option<&'static str>,
    figures: Option<HeadFigures>,
    /// How well its first texts fit its property.
    fit: Option<HeadFit>,
    texts: Vec<HeadText>,
    /// The text whose direction the extremes are along; by distance from the head's mean without one.
    direction: Option<usize>,
    /// None in a run that keeps moments alone.
    extremes: Option<Extremes>,
    /// Accuracy without it, if somebody measured it.
    without: Option<WithoutHead>,
    /// Its partner in the run that this one was compared with last.
    partner: Option<Partner>,
    /// Heads that say most alike, here and in other runs.
    similar: Vec<SimilarHead>,
    /// What people said of the head.
    notes: Vec<StandingRow>,
    #[serde(skip)]
    author: Option<String>,
}

#[derive(Debug, Serialize)]
struct SimilarHead {
    run: String,
    head: HeadId,
    property: Option<String>,
    /// Correlation of what the two say, -1 to 1.
    correlation: f32,
}

#[derive(Debug, Serialize)]
struct HeadText {
    text: String,
    category: Option<String>,
    variance_share: f64,
    cumulative_share: f64,
    /// Whether it fits the property; none if nobody judged.
    consistent: Option<bool>,
    /// Images at the ends of the direction that the pick removed; for the first texts only.
    largest: Vec<Neighbour>,
    smallest: Vec<Neighbour>,
}

impl HeadPage {
    pub(crate) fn new(
        request: &PageRequest,
        run: &ExploreRun,
        head: HeadId,
        direction: Option<usize>,
        extremes: Option<Extremes>,
    ) -> Result<Self, WebError> {
        let shared = request.shared.as_ref();
        run.readout(head)?;
        let label = run.label(head);
        let text = |rank: usize| -> Result<HeadText, WebError> {
            let row = &run.textspan(head)[rank];
            let ends = (rank < ILLUSTRATED && extremes.is_some())
                .then(|| run.extremes(head, ExtremesRequest::Pick(rank), AT_EACH_END));
            let (largest, smallest) = ends.transpose()?.map(|ends| (ends.largest, ends.smallest)).unwrap_or_default();
            Ok(HeadText {
                text: row.text.clone(),
                category: row.category.clone(),
                variance_share: row.variance_share,
                cumulative_share: row.cumulative_share,
                consistent: label.and_then(|label| label.consistent.get(rank).copied().flatten()),
                largest,
                smallest,
            })
        };
        Ok(Self {
            run: run.name(),
            head,
            property: label.and_then(|row| row.property.clone()),
            description: label.and_then(|row| row.description.clone()),
            labeller: label.and_then(|_| run.labeller()),
            figures: run.figures().get(&head).copied(),
            fit: run.fit(head),
            texts: (0..run.textspan(head).len().min(TEXTS)).map(text).collect::<Result<_, _>>()?,
            direction,
            extremes,
            without: or_left_out(run.without(head), run, "accuracy without heads"),
            partner: or_left_out(run.partner(head), run, "partners of heads"),
            similar: similar(shared, run, head),
            notes: notes_of(shared, run, head),
            author: request.known_author(),
        })
    }
}

/// What a table beside the run says. A table that cannot be read says nothing, and the log says so: the head's page is of use without it.
fn or_left_out<T>(found: headspan_query::Result<Option<T>>, run: &ExploreRun, what: &str) -> Option<T> {
    found.unwrap_or_else(|error| {
        tracing::warn!("left out the {what} of `{}`: {}", run.name(), with_causes(&error));
        None
    })
}

/// What people said of a head. A run whose notes cannot be read has none, and says so in the log: the head's page is of use without them.
fn notes_of(shared: &Shared, run: &ExploreRun, head: HeadId) -> Vec<StandingRow> {
    match People::of(shared, run) {
        Ok(people) => people.rows().into_iter().filter(|row| row.head == Some(head)).collect(),
        Err(error) => {
            tracing::warn!("left out the notes of `{}`: {}", run.name(), error.message);
            Vec::new()
        }
    }
}

/// Heads of all shown runs that resemble this one. A run whose texts cannot be read has none to offer, and says so in the log.
fn similar(shared: &Shared, run: &ExploreRun, head: HeadId) -> Vec<SimilarHead> {
    let mut found = Vec::new();
    for (name, subject) in &shared.runs {
        let other = subject.run();
        match run.similar(head, other) {
            Ok(heads) => found.extend(heads.into_iter().take(SIMILAR).map(|(theirs, correlation)| SimilarHead {
                run: name.clone(),
                head: theirs,
                property: other.label(theirs).and_then(|label| label.property.clone()),
                correlation,
            })),
            Err(error) => {
                tracing::warn!("left the heads of `{name}` out of the similar heads: {}", with_causes(&error));
            }
        }
    }
    found.sort_by(|one, two| two.correlation.total_cmp(&one.correlation));
    found.truncate(SIMILAR);
    found
}

impl Page for HeadPage {
    fn html(&self, shared: &Shared) -> Markup {
        let (run, name) = (self.run.as_str(), self.head.to_string());
        let ask = |analysis: &str| format!("/r/{run}/{analysis}?heads={name}");
        let accents = Accents::of(shared);
        let has_classes = shared.runs.get(run).is_some_and(|subject| !subject.run().classes().is_empty());
        page(
            &Title { section: "", asked: format!("{name}: {}", self.property.as_deref().unwrap_or("no label")) },
            Some(run),
            &html! {
                (place(self, &name))
                div.heading {
                    h1 { (name) ": " (accents.tag(self.property.as_deref())) }
                    p.lead {
                        @if let Some(description) = &self.description { (description) " " }
                        @if let Some(labeller) = &self.labeller { "Label by " (labeller) "." }
                    }
                    (others(shared, self))
                }
                div.overview {
                    (numbers(self))
                    p.actions {
                        a.button href=(ask("neighbours")) { "Neighbours under this head" } " "
                        a.button.second href=(ask("segment")) { "Segment with this head" } " "
                        a.button.second href=(ask("map")) { "Map of its output" } " "
                        (formats(&head_path(run, self.head), "")) " "
                        span.formats { a href={ (head_path(run, self.head)) ".svg" } data-key="s" aria-keyshortcuts="s" title="Save as a figure (key s)" { "SVG" } " · " a href={ (head_path(run, self.head)) ".csv" } { "CSV" } }
                    }
                }
                (texts(self, &name))
                (noted(shared, self))
                (ends(shared, self, &name))
                (without(run, self.head, self.without.as_ref(), has_classes))
                @if let Some(found) = &self.partner { (partner(shared, found, &accents)) }
                (similar_heads(self, &accents))
            },
        )
    }

    fn drawing(&self, shared: &Shared) -> Option<Drawing> {
        let text = self.direction.and_then(|rank| self.texts.get(rank));
        let along = match text {
            Some(text) => format!("those at the ends of what the text “{}” adds to the texts above it", text.text),
            None => "those whose contribution is farthest from the head's mean, and those nearest to it".to_owned(),
        };
        let figure = HeadFigure {
            head: self.head,
            property: self.property.as_deref(),
            labeller: self.labeller,
            texts: self.texts.iter().map(|text| (text.text.as_str(), text.variance_share, text.consistent)).collect(),
            ends: self.extremes.as_ref().map(|ends| (ends.largest.as_slice(), ends.smallest.as_slice())),
            along,
        };
        Some(figure.drawing(shared.runs.get(&self.run)?.as_ref()))
    }

    /// One row a text.
    fn table(&self) -> Columns {
        let texts = || self.texts.iter();
        vec![
            ("rank", Arc::new((0..self.texts.len() as u32).collect::<UInt32Array>())),
            ("text", Arc::new(StringArray::from_iter_values(texts().map(|text| &text.text)))),
            ("category", Arc::new(texts().map(|text| text.category.as_deref()).collect::<StringArray>())),
            ("variance_share", Arc::new(texts().map(|text| text.variance_share).collect::<Float64Array>())),
            ("cumulative_share", Arc::new(texts().map(|text| text.cumulative_share).collect::<Float64Array>())),
            ("consistent", Arc::new(texts().map(|text| text.consistent).collect::<BooleanArray>())),
        ]
    }
}

/// The notes of people, and where to add to them.
fn noted(shared: &Shared, shown: &HeadPage) -> Markup {
    let offered = shared.runs.get(&shown.run).map(|subject| offered(subject.run())).unwrap_or_default();
    let (label, author) = (shown.property.as_deref(), shown.author.as_deref());
    head_notes::section(&shown.run, shown.head, label, &shown.notes, author, &offered)
}

/// Where the head stands among the others.
fn place(shown: &HeadPage, name: &str) -> Markup {
    let own = format!("/?run={}", urlencoded(&shown.run));
    let mut above = vec![("Heads", "/".to_owned()), (shown.run.as_str(), own.clone())];
    if let Some(property) = &shown.property {
        above.push((property.as_str(), format!("{own}&property={}", urlencoded(property))));
    }
    breadcrumbs(&above, name)
}

/// The heads before and after this one.
fn others(shared: &Shared, shown: &HeadPage) -> Markup {
    let heads: Vec<HeadId> =
        shared.runs.get(&shown.run).map(|subject| subject.run().heads().collect()).unwrap_or_default();
    let at = heads.iter().position(|head| *head == shown.head);
    let before = at.and_then(|at| at.checked_sub(1)).and_then(|at| heads.get(at));
    let after = at.and_then(|at| heads.get(at + 1));
    html! {
        p.turn {
            @if let Some(head) = before { a rel="prev" href=(head_path(&shown.run, *head)) { "← " (head) } }
            @if let Some(head) = after { a rel="next" href=(head_path(&shown.run, *head)) { (head) " →" } }
        }
    }
}

fn numbers(shown: &HeadPage) -> Markup {
    html! {
        dl.numbers {
            div {
                dt { (term("fit", "texts that fit")) }
                dd { @match shown.fit {
                    Some(fit) => { span title={ (fit.consistent) " of the first " (fit.judged) " texts, weighted by their variance" } { (format!("{:.0} %", 100.0 * fit.share)) } },
                    None => { "n/a" },
                } }
            }
            @if let Some(figures) = &shown.figures {
                div { dt { (term("variance", "variance")) } dd { (format!("{:.4}", figures.variance)) } }
                div { dt { (term("of-run", "of the run's")) } dd { (percent(figures.variance_share)) } }
                div { dt { (term("effective-rank", "effective rank")) } dd { (format!("{:.1}", figures.effective_rank)) } }
                div { dt { (term("mean-length", "length of the mean")) } dd { (format!("{:.4}", figures.mean_length)) } }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn texts(shown: &HeadPage, name: &str) -> Markup {
    let bars = Bars::over(shown.texts.iter().map(|text| text.variance_share));
    html! {
        section {
            h2 { "Texts that span its output" }
            @if shown.texts.is_empty() { p.hint { "None yet: run `headspan textspan`." } }
            @else {
                p.hint {
                    "Most and least: images at the ends of the direction that the text adds to the texts above it."
                }
                div.scroll tabindex="0" role="region" aria-label="Texts" { table.texts {
                    thead { tr {
                        th scope="col" { "text" } th scope="col" { "category" } th scope="col" { "fits" }
                        th scope="col" { "variance" } th.number scope="col" { "so far" } th scope="col" { "most" } th scope="col" { "least" }
                    } }
                    tbody { @for (rank, text) in shown.texts.iter().enumerate() { (text_row(shown, name, rank, text, bars)) } }
                } }
            }
        }
    }
}

fn text_row(shown: &HeadPage, name: &str, rank: usize, text: &HeadText, bars: Bars) -> Markup {
    let run = shown.run.as_str();
    html! {
        tr {
            td.text { a href={ "/r/" (run) "/neighbours?heads=" (name) "&text=" (urlencoded(&text.text)) } { (text.text) } }
            td { (text.category.as_deref().unwrap_or("")) }
            td { (match text.consistent { Some(true) => "✓ yes", Some(false) => "✗ no", None => "n/a" }) }
            td { div.measure { span.number { (percent(text.variance_share)) } (bars.bar(text.variance_share)) } }
            td.number { (percent(text.cumulative_share)) }
            @if shown.extremes.is_none() {
                td colspan="2" {}
            } @else if text.largest.is_empty() {
                td colspan="2" { a href={ (head_path(run, shown.head)) "?direction=" (rank) "#ends" } { "images along it" } }
            } @else {
                td { (strip(run, &question(name, Similarity::default()), &text.largest)) }
                td { (strip(run, &question(name, Similarity::default()), &text.smallest)) }
            }
        }
    }
}

fn ends(shared: &Shared, shown: &HeadPage, name: &str) -> Markup {
    let run = shown.run.as_str();
    let Some(extremes) = &shown.extremes else {
        return html! { section #ends { h2 { "Images that it sets apart most" } (kept_note(shared, run)) } };
    };
    let question = question(name, Similarity::default());
    let bars = Bars::of(extremes.largest.iter().chain(&extremes.between).chain(&extremes.smallest));
    let grid = |images: &[Neighbour]| grid(run, &question, images, None, bars);
    let text = shown.direction.and_then(|rank| shown.texts.get(rank)).map(|text| text.text.as_str());
    html! {
        section #ends {
            @if let Some(text) = text {
                h2 { "Along “" (text) "”" }
                p.hint { "By projection on what this text adds to those above it. " a href=(head_path(run, shown.head)) { "By distance from the mean" } }
            } @else if let Some(rank) = shown.direction {
                h2 { "Along text " (rank + 1) }
            } @else {
                h2 { "Images that it sets apart most" }
                p.hint { "By distance of the head's contribution from its mean over all images." }
            }
            (kept_note(shared, run))
            (grid(&extremes.largest))
            h3 { "From the middle of its range" }
            (grid(&extremes.between))
            h3 { @if shown.direction.is_some() { "At the other end" } @else { "Images that it says least about" } }
            (grid(&extremes.smallest))
        }
    }
}

fn similar_heads(shown: &HeadPage, accents: &Accents) -> Markup {
    html! {
        @if !shown.similar.is_empty() {
            section {
                h2 { "Most similar heads" }
                p.hint { "By the correlation of how much the heads vary along each text of the pool, less the mean over the heads of a model." }
                ul.chips { @for other in &shown.similar {
                    li { a href=(head_path(&other.run, other.head)) {
                        @if other.run != shown.run { span.other { (other.run) } " " }
                        strong { (other.head) } " " (accents.tag(other.property.as_deref()))
                        " " span.number { (format!("{:.2}", other.correlation)) }
                    } }
                } }
            }
        }
    }
}
