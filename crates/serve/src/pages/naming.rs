//! The form of a review in which a head is named, its label hidden.

use std::collections::BTreeSet;

use headspan_artifacts::HeadId;
use headspan_query::{ExploreRun, ExtremesRequest, Neighbour, Similarity};
use maud::{Markup, html};

use super::{
    neighbours::{question, strip},
    review::{Asked, ReviewPage, around, conflict, hidden},
};

/// Names that have a key of their own.
const KEYS: usize = 9;
/// Most names to choose from; others are typed.
const OFFERED: usize = 24;
/// Images beside the texts.
const IMAGES: usize = 6;

/// Properties of all heads and categories of all texts, the same for every head so that they tell nothing of its label.
pub(super) fn offered(run: &ExploreRun) -> Vec<String> {
    let categories = run.heads().flat_map(|head| run.textspan(head)).filter_map(|row| row.category.clone());
    let names: BTreeSet<String> = run.properties().keys().cloned().chain(categories).collect();
    names.into_iter().collect()
}

/// Images that the head sets apart most; none where the run keeps none.
pub(super) fn images(run: &ExploreRun, head: HeadId) -> Vec<Neighbour> {
    let found = run.extremes(head, ExtremesRequest::Distance, IMAGES);
    found.map(|found| found.largest).unwrap_or_default()
}

pub(super) fn form(shown: &ReviewPage, asked: &Asked, author: &str) -> Markup {
    let action = format!("/r/{}/review", shown.run);
    let now = asked.said.last().filter(|_| !asked.is_conflict()).map(|said| said.value.as_deref());
    html! {
        (conflict(asked))
        div.card.judge {
            h1 { "What do these texts have in common?" }
            ol.subjects { @for text in &asked.texts { li { q { (text.text) } } } }
            @if !asked.images.is_empty() {
                p.hint { "Images that the head sets apart most:" }
                (strip(&shown.run, &question(&asked.head.to_string(), Similarity::Cosine), &asked.images))
            }
            @if let Some(Some(name)) = now { p.said role="status" { "You said " q { (name) } "." } }
            @if now == Some(None) { p.said role="status" { "You said that you are undecided." } }
            form.names method="post" action=(action) {
                (hidden(shown, asked, author))
                div.offered {
                    @for (place, name) in asked.offered.iter().take(OFFERED).enumerate() {
                        @let key = (place < KEYS).then(|| (place + 1).to_string());
                        button name="value" value=(name) data-key=[key.as_ref()] aria-keyshortcuts=[key.as_ref()]
                            aria-pressed=(if now == Some(Some(name.as_str())) { "true" } else { "false" }) {
                            @if let Some(key) = &key { kbd aria-hidden="true" { (key) } " " } (name)
                        }
                    }
                    button.second name="undecided" value="1" data-key="u" aria-keyshortcuts="u" { kbd aria-hidden="true" { "u" } " undecided" }
                }
            }
            // A form of its own: Return in its field must not choose the first of the names above.
            form.other method="post" action=(action) {
                (hidden(shown, asked, author))
                label { "Another name " input type="text" name="value" maxlength="200" required list="offered" autocomplete="off" data-key="t" aria-keyshortcuts="t"; }
                button { "Name it" }
                datalist id="offered" { @for name in &asked.offered { option value=(name) {} } }
            }
            (around(shown, asked))
        }
        p.keys.hint { kbd { "1" } "–" kbd { "9" } " choose " kbd { "t" } " type " kbd { "u" } " undecided " kbd { "←" } " back " kbd { "→" } " skip" }
    }
}
