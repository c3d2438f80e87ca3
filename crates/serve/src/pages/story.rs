//! One head as an example, so that the first sight of the explorer says what a head is: three texts, the images that they are about, and what
//! happens without it.

use headspan_artifacts::{HeadId, Kept, with_causes};
use headspan_query::{ExploreRun, ExtremesRequest, Neighbour, Similarity, WithoutHead};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    neighbours::{question, strip},
    terms::term,
};
use crate::{
    app::{Shared, head_path},
    ask::Fields,
};

/// Texts of the example, and images of each.
const TEXTS: usize = 3;
const IMAGES: usize = 2;

/// A head that tells what heads are.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    run: String,
    head: HeadId,
    property: String,
    /// Place among the heads in the order of examples, from 0.
    place: usize,
    /// Number of heads that can be examples.
    heads: usize,
    texts: Vec<StoryText>,
    /// Share of the run's variance.
    variance_share: Option<f64>,
    without: Option<WithoutHead>,
    has_classes: bool,
}

#[derive(Debug, Serialize)]
struct StoryText {
    text: String,
    /// Images that the head says most of this text about.
    images: Vec<Neighbour>,
}

/// A head and what it counts as an example: whether accuracy is known to be lost without it, and this loss, or else its share of the run's
/// variance, times how well its texts fit its property.
type Example<'a> = (bool, f64, &'a str, &'a ExploreRun, HeadId);

impl Story {
    /// The example at a place in the order of examples, of one run or of all. None if no head has a label and texts that fit it.
    pub(super) fn new(shared: &Shared, only: Option<&str>, place: usize) -> Option<Self> {
        let runs = shared.runs.iter().filter(|(name, _)| only.is_none_or(|only| only == name.as_str()));
        let mut examples: Vec<Example<'_>> = runs.flat_map(|(name, subject)| examples(name, subject.run())).collect();
        examples.sort_by(|one, other| other.0.cmp(&one.0).then(other.1.total_cmp(&one.1)));
        let heads = examples.len();
        let (_, _, name, run, head) = *examples.get(place % heads.max(1))?;
        let label = run.label(head)?;
        let is_judged = run.fit(head).is_some();
        let fits = |rank: &usize| !is_judged || label.consistent.get(*rank).copied().flatten() == Some(true);
        let picks = run.textspan(head);
        let texts = (0..picks.len()).filter(fits).take(TEXTS);
        Some(Self {
            run: name.to_owned(),
            head,
            property: label.property.clone()?,
            place: place % heads,
            heads,
            texts: texts
                .map(|rank| StoryText { text: picks[rank].text.clone(), images: images(run, head, rank) })
                .collect(),
            variance_share: run.figures().get(&head).map(|figures| figures.variance_share),
            without: run.without(head).unwrap_or_default(),
            has_classes: !run.classes().is_empty(),
        })
    }
}

/// The heads of a run that have a label, and a text that fits it if somebody judged.
fn examples<'a>(name: &'a str, run: &'a ExploreRun) -> impl Iterator<Item = Example<'a>> {
    let without = run.without_each().unwrap_or_else(|error| {
        tracing::warn!("left out the accuracy without heads of `{}`: {}", run.name(), with_causes(&error));
        std::sync::Arc::default()
    });
    run.heads().filter_map(move |head| {
        run.label(head)?.property.as_ref()?;
        // Labels that nobody judged texts against are taken at their word.
        let (share, consistent) = run.fit(head).map_or((1.0, 1), |fit| (fit.share, fit.consistent));
        let variance = run.figures().get(&head).map_or(0.0, |figures| figures.variance_share);
        let loss = without.get(&head).map(WithoutHead::loss).filter(|loss| *loss > 0.0);
        (consistent > 0).then_some((loss.is_some(), loss.unwrap_or(variance) * share, name, run, head))
    })
}

/// Images at the upper end of a text's direction; none where the run cannot show images.
fn images(run: &ExploreRun, head: HeadId, rank: usize) -> Vec<Neighbour> {
    if matches!(run.kept(), Kept::Moments { .. }) {
        return Vec::new();
    }
    match run.extremes(head, ExtremesRequest::Pick(rank), IMAGES) {
        Ok(found) => found.largest,
        Err(error) => {
            tracing::warn!("left out images of {head} of `{}`: {}", run.name(), with_causes(&error));
            Vec::new()
        }
    }
}

impl Story {
    pub(super) fn html(&self, accents: &Accents, query: &str) -> Markup {
        let (run, name) = (self.run.as_str(), self.head.to_string());
        let next = Fields::read(Some(query)).with("example", &((self.place + 1) % self.heads).to_string());
        let question = question(&name, Similarity::default());
        html! {
            section.story aria-label="An example" {
                div.told {
                    p.over { "For example, head " a href=(head_path(run, self.head)) { (name) } " of " (run) }
                    h2 { "It looks at " (accents.tag(Some(&self.property))) }
                    ul { @for text in &self.texts {
                        li { q { (text.text) } @if !text.images.is_empty() { (strip(run, &question, &text.images)) } }
                    } }
                }
                div.removed {
                    h3 { @if self.without.is_some() { "Without it" } @else { "How much it matters" } }
                    (self.removed())
                    p.hint { "Examples stand in the order of what is lost without them, if that was measured, else of their variance, times how well their texts fit." }
                    p.links {
                        a href=(head_path(run, self.head)) { "All about it" } " · "
                        a href={ "/r/" (run) "/map?heads=" (name) } { "all images on its map" }
                        @if self.heads > 1 { " · " a rel="next" href={ "/?" (next) } { "another head" } }
                    }
                }
            }
        }
    }

    /// What happens when it is removed.
    fn removed(&self) -> Markup {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        html! {
            @if let Some(found) = &self.without {
                p { "The model names the class of " strong { (percent(found.all.accuracy_after)) } " of the images, instead of " (percent(found.all.accuracy_before)) "." }
                @if let Some(row) = found.classes.first().filter(|row| row.accuracy_before > row.accuracy_after) {
                    p { "It loses most on " strong { (row.class_id.as_deref().unwrap_or("")) } ": " (percent(row.accuracy_before)) " → " strong { (percent(row.accuracy_after)) } "." }
                }
                p.hint { "Zero-shot " (term("accuracy", "accuracy")) ", with what the head adds replaced " @if found.replacement == "mean" { "by its mean." } @else { "(" (found.replacement) ")." } }
            } @else {
                @if let Some(share) = self.variance_share {
                    p { "It makes up " strong { (percent(share)) } " of how much the heads of this run differ from image to image (" (term("of-run", "their variance")) ")." }
                }
                @if self.has_classes {
                    @let (dataset, model) = self.run.split_once('/').unwrap_or(("", &self.run));
                    p.hint { "How many images are then put into the wrong class: " code { "headspan ablate " (model) " --dataset " (dataset) } }
                }
            }
        }
    }
}
