use std::collections::BTreeSet;

use headspan_artifacts::HeadId;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    bars::Bars,
    carried::carried_words,
    layout::{
        Title, by, counted, cut_note, formats, heading, heads_field, image_choice, image_id, in_words, kept_note,
        own_image, page, selection_tag, sight, subject_query, upload_form, urlencoded,
    },
    terms::term,
};
use crate::{
    app::{Shared, head_path},
    ask::{Fields, NeighboursAsk, QueryInput},
    handlers::Near,
    page_request::Page,
};
use headspan_query::{Carried, Columns, ExploreRun, Neighbour, Neighbours, Similarity, image_columns, number};

/// Most classes offered while typing.
const LISTED: usize = 400;
/// Most heads named one by one.
const LINKED: usize = 12;

/// A question about neighbours and its answer, if a subject was given.
#[derive(Debug, Serialize)]
pub(crate) struct NeighboursPage {
    run: String,
    heads: String,
    count: usize,
    similarity: Similarity,
    farthest: bool,
    classes: Vec<String>,
    image: Option<u64>,
    image_id: Option<String>,
    upload: Option<String>,
    text: Option<String>,
    /// Whether the text was longer than the model's context.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// How much of the text the heads carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Carried>,
    answer: Option<Neighbours>,
    #[serde(skip)]
    query: String,
}

impl NeighboursPage {
    pub(crate) fn new(run: &ExploreRun, ask: &NeighboursAsk, fields: &Fields, answer: Option<Near>) -> Self {
        let (request, subject) = (&ask.request, ask.input.as_ref());
        Self {
            run: run.name(),
            heads: request.heads.to_string(),
            count: request.count,
            similarity: request.similarity,
            farthest: request.farthest,
            classes: request.classes.iter().cloned().collect(),
            image: subject.and_then(QueryInput::image),
            image_id: subject
                .and_then(QueryInput::image)
                .and_then(|image| run.image(image).ok())
                .map(|row| row.image_id.clone()),
            upload: subject.and_then(QueryInput::upload),
            text: subject.and_then(QueryInput::text),
            cut: answer.as_ref().is_some_and(|near| near.cut),
            carried: answer.as_ref().and_then(|near| near.carried),
            answer: answer.map(|near| near.found),
            query: fields.text(),
        }
    }

    fn subject(&self) -> Option<String> {
        subject_query(self.image, self.upload.as_deref())
    }

    fn title(&self) -> Title<'static> {
        let asked = in_words(self.text.as_slice(), self.image, self.upload.as_deref(), &self.heads);
        Title { section: "Neighbours", asked }
    }

    /// What "why" keeps of the question, so that its links lead back to it.
    fn rest(&self) -> String {
        Fields::read(Some(&self.query)).only(&["count", "class", "farthest"]).text()
    }
}

impl Page for NeighboursPage {
    fn html(&self, shared: &Shared) -> Markup {
        let run = self.run.as_str();
        let path = format!("/r/{run}/neighbours");
        let (subject, rest) = (self.subject(), self.rest());
        let why = subject.as_deref().map(|subject| [subject, rest.as_str()]);
        page(
            &self.title(),
            Some(run),
            &html! {
                (heading("Nearest neighbours", "Images that the chosen heads see alike. Contributions of several heads are averaged."))
                (form(shared, self, &path))
                (upload_form(&format!("{path}?{}", self.query)))
                @if let Some(answer) = &self.answer {
                    section.answer aria-label="Answer" {
                        (cut_note(self.cut))
                        (kept_note(shared, run))
                        (asked(shared, self, answer, &path))
                        (grid(run, &question(&self.heads, self.similarity), &answer.images, why, Bars::of(answer.images.iter())))
                    }
                } @else {
                    p.empty { "Choose heads, and say of what: a text, an image of the run, or an image of yours." }
                }
            },
        )
    }

    fn table(&self) -> Columns {
        self.answer.as_ref().map(|answer| image_columns(&answer.images)).unwrap_or_default()
    }
}

fn form(shared: &Shared, shown: &NeighboursPage, path: &str) -> Markup {
    let sight = sight(&shown.run, "neighbours", &shown.query);
    html! {
        form.ask autocomplete="off" method="get" action=(path) {
            @if let Some(subject) = shared.runs.get(&shown.run) {
                (heads_field(subject.run(), &shown.heads))
                (class_list(subject.run().classes()))
            }
            fieldset {
                legend { "Near" }
                div.choice.wide {
                    (by("text", "a text", shown.text.is_some() || shown.subject().is_none()))
                    input type="text" name="text" aria-label="Text" maxlength="1000" value=(shown.text.as_deref().unwrap_or("")) placeholder="a red boat" data-by="text";
                }
                (image_choice("an image of the run", shown.image, Some(shown.image.is_some()), Some(&sight)))
                (own_image(shown.upload.as_deref()))
            }
            div.details {
                label { "Images " input type="number" name="count" min="1" max="200" value=(shown.count); }
                label { "Compare by "
                    select name="similarity" {
                        option value="cosine" selected[shown.similarity == Similarity::Cosine] { "cosine" }
                        option value="dot" selected[shown.similarity == Similarity::Dot] { "dot product, as published" }
                    }
                }
                (class_fields(&shown.classes))
                label.check { input type="checkbox" name="farthest" value="1" checked[shown.farthest]; " farthest first" }
                button { "Find" }
            }
        }
    }
}

/// Fields for classes, those that were given and at least one.
pub(super) fn class_fields(classes: &[String]) -> Markup {
    html! {
        @for place in 0..classes.len().max(1) {
            label { "Class " input type="text" name="class" list="classes" maxlength="200" value=(classes.get(place).map_or("", String::as_str)) placeholder="any"; }
        }
    }
}

/// Classes that [`class_fields`] offers while typing.
pub(super) fn class_list(classes: &BTreeSet<String>) -> Markup {
    html! { datalist id="classes" { @for class in classes.iter().take(LISTED) { option value=(class) {} } } }
}

/// What was asked about, of which heads, and where the answer leads on to.
fn asked(shared: &Shared, shown: &NeighboursPage, answer: &Neighbours, path: &str) -> Markup {
    let run = &shown.run;
    html! {
        div.asked role="group" aria-label="Question" {
            figure.query {
                @if let Some(image) = shown.image {
                    img src={ "/r/" (run) "/image/" (image) } alt={ "The query, image " (image) };
                } @else if let Some(upload) = &shown.upload {
                    img src={ "/upload/" (upload) ".png" } alt="The query, an upload";
                }
                figcaption {
                    span.over { @if shown.farthest { "Farthest from" } @else { "Nearest to" } }
                    @if let Some(text) = &shown.text { q.text { (text) } }
                    @else if let Some(image) = shown.image { strong { "image " (image) } }
                    @else { strong { "your image" } }
                    @if let Some(id) = &shown.image_id { span.id title=(id) { (id) } }
                }
            }
            dl {
                dt { "under" }
                dd { @if let [head] = answer.heads[..] { (one_head(shared, run, head)) } @else { (selection_tag(shared, run, &shown.heads)) } }
                @if answer.heads.len() > 1 {
                    dt { "averaged" }
                    dd.hint {
                        @for head in answer.heads.iter().take(LINKED) { a href=(head_path(run, *head)) { (head) } " " }
                        @if answer.heads.len() > LINKED { "and " (counted(answer.heads.len() - LINKED, "more head")) }
                    }
                }
                dt { "shown" } dd { (answer.images.len()) " of " (answer.compared) " images" }
                dt { "score" } dd {
                    @if shown.similarity == Similarity::Dot { (term("dot", "dot product")) } @else { (term("cosine", "cosine")) }
                    span.hint title="Mean and standard deviation of the scores of all images of the run" {
                        ", over all images " (spread(shown.similarity, answer.mean)) " ± " (spread(shown.similarity, answer.std))
                    }
                }
                @if let Some(carried) = shown.carried { dt { "text" } dd.hint { (carried_words(carried)) } }
            }
            @if shown.similarity == Similarity::Cosine {
                p.onward { a href={ (path) "?" (Fields::read(Some(&shown.query)).with("similarity", "dot")) } { "dot product, as published" } }
            }
            p.onward { a href={ "/compare?" (shown.query) } { "other models" } " " (formats(path, &shown.query)) }
        }
    }
}

/// A score's mean or deviation: of a cosine with two places, as its range is known.
fn spread(similarity: Similarity, value: f64) -> String {
    match similarity {
        Similarity::Cosine => format!("{value:.2}"),
        Similarity::Dot => number(value as f32),
    }
}

/// A head with its property, leading to its page.
fn one_head(shared: &Shared, run: &str, head: HeadId) -> Markup {
    let label = shared.runs.get(run).and_then(|subject| subject.run().label(head));
    let property = label.and_then(|label| label.property.as_deref());
    html! { a href=(head_path(run, head)) { (head) } " " (Accents::of(shared).tag(property)) }
}

/// What a link keeps of a question: its heads and its measure.
pub(super) fn question(heads: &str, similarity: Similarity) -> String {
    let measure = if similarity == Similarity::Cosine { "&similarity=cosine" } else { "&similarity=dot" };
    format!("heads={}{measure}", urlencoded(heads))
}

/// Images with what they are, each a place to go on from with the same `question`. `why` is what they are neighbours of, and
/// what else its page keeps of the question. `bars` is the scale that their scores are drawn on.
pub(super) fn grid(run: &str, question: &str, images: &[Neighbour], why: Option<[&str; 2]>, bars: Bars) -> Markup {
    html! {
        ol.grid {
            @for image in images {
                @let index = image.image_index;
                li {
                    a.picture href={ "/r/" (run) "/neighbours?" (question) "&image=" (index) } {
                        img loading="lazy" src={ "/r/" (run) "/image/" (index) } alt=(image.image_id);
                    }
                    div.measure { span.score { (number(image.score)) } (bars.bar(f64::from(image.score))) }
                    @if let Some(class) = &image.class_id { p.class { (class) } }
                    (image_id(&image.image_id, image.class_id.as_deref()))
                    p.links {
                        a href={ "/r/" (run) "/segment?image=" (index) "&" (question) } { "segment" }
                        @if let Some([subject, rest]) = why {
                            " · " a href={ "/r/" (run) "/why?" (subject) "&" (question) "&neighbour=" (index) @if !rest.is_empty() { "&" (rest) } } { "why" }
                        }
                    }
                }
            }
        }
    }
}

/// A row of small images.
pub(super) fn strip(run: &str, question: &str, images: &[Neighbour]) -> Markup {
    html! {
        span.strip {
            @for image in images {
                a href={ "/r/" (run) "/neighbours?" (question) "&image=" (image.image_index) } {
                    img loading="lazy" src={ "/r/" (run) "/image/" (image.image_index) }
                        alt=(image.image_id) title={ (image.image_id) ", " (number(image.score)) };
                }
            }
        }
    }
}
