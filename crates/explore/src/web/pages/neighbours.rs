use maud::{Markup, html};
use serde::Serialize;

use super::{
    layout::{heads_field, page, upload_form},
    start::urlencoded,
};
use crate::{
    neighbours::{Neighbour, Neighbours, Similarity},
    run::ExploreRun,
    web::{
        app::{Shared, head_path},
        ask::{Fields, NeighboursAsk, Subject},
    },
};

/// A question about neighbours and its answer, if a subject was given.
#[derive(Debug, Serialize)]
pub(in crate::web) struct NeighboursPage {
    run: String,
    heads: String,
    count: usize,
    similarity: Similarity,
    farthest: bool,
    classes: Vec<String>,
    image: Option<u64>,
    upload: Option<String>,
    text: Option<String>,
    answer: Option<Neighbours>,
    #[serde(skip)]
    query: String,
}

impl NeighboursPage {
    pub(in crate::web) fn new(
        run: &ExploreRun,
        ask: &NeighboursAsk,
        fields: &Fields,
        answer: Option<Neighbours>,
    ) -> Self {
        let request = &ask.request;
        let subject = ask.subject.clone();
        Self {
            run: run.name(),
            heads: request.heads.to_string(),
            count: request.count,
            similarity: request.similarity,
            farthest: request.farthest,
            classes: request.classes.iter().cloned().collect(),
            image: if let Some(Subject::Image(image)) = subject { Some(image) } else { None },
            upload: if let Some(Subject::Upload(name)) = &ask.subject { Some(name.clone()) } else { None },
            text: if let Some(Subject::Text(text)) = subject { Some(text) } else { None },
            answer,
            query: fields.text(),
        }
    }

    /// Query string of the subject alone, for links that ask something else of it.
    fn subject(&self) -> Option<String> {
        let image = self.image.map(|image| format!("image={image}"));
        image.or_else(|| self.upload.as_ref().map(|name| format!("upload={name}")))
    }
}

/// Nearest neighbours of an image, an upload or a text.
pub(in crate::web) fn neighbours(shared: &Shared, shown: &NeighboursPage) -> Markup {
    let run = shown.run.as_str();
    let path = format!("/r/{run}/neighbours");
    let here = format!("{path}?{}", shown.query);
    page(
        "Neighbours",
        Some(run),
        &html! {
            h1 { "Nearest neighbours" }
            p.lead {
                "Images that the chosen heads see alike. Contributions of several heads are averaged, for the query and for every image."
            }
            form.ask method="get" action=(path) {
                @if let Some(subject) = shared.subjects.get(run) { (heads_field(subject.run(), &shown.heads)) }
                label { "Text " input type="text" name="text" maxlength="1000" value=(shown.text.as_deref().unwrap_or("")) placeholder="a red boat"; }
                label { "or image number " input type="number" name="image" min="0" value=[shown.image]; }
                label { "Images " input type="number" name="count" min="1" max="200" value=(shown.count); }
                label { "Compare by "
                    select name="similarity" {
                        option value="dot" selected[shown.similarity == Similarity::Dot] { "dot product" }
                        option value="cosine" selected[shown.similarity == Similarity::Cosine] { "cosine" }
                    }
                }
                label { "Class " input type="text" name="class" maxlength="200" value=(shown.classes.first().map_or("", String::as_str)) placeholder="any"; }
                label.check { input type="checkbox" name="farthest" value="1" checked[shown.farthest]; " farthest first" }
                button { "Find" }
            }
            (upload_form(&here))
            @if let Some(answer) = &shown.answer {
                section aria-label="Answer" {
                    (asked(shown))
                    p.hint {
                        (answer.images.len()) " of " (answer.compared) " images, by "
                        @for head in answer.heads.iter().take(12) { a href=(head_path(run, *head)) { (head) } " " }
                        @if answer.heads.len() > 12 { "and " (answer.heads.len() - 12) " more heads " }
                        "· " a href={ (path) ".json?" (shown.query) } { "JSON" }
                    }
                    (grid(run, &shown.heads, &answer.images, shown.subject().as_deref()))
                }
            } @else {
                p.hint { "Choose heads, and say of what: a text, an image of the run by its number, or an image of yours." }
            }
        },
    )
}

/// What was asked about.
fn asked(shown: &NeighboursPage) -> Markup {
    let run = &shown.run;
    html! {
        figure.query {
            @if let Some(image) = shown.image {
                img src={ "/r/" (run) "/image/" (image) } alt={ "The query, image " (image) };
            } @else if let Some(upload) = &shown.upload {
                img src={ "/upload/" (upload) ".png" } alt="The query, an upload";
            }
            figcaption {
                "Query: "
                @if let Some(text) = &shown.text { "“" (text) "”" } @else if let Some(image) = shown.image { "image " (image) } @else { "your image" }
            }
        }
    }
}

/// Images with what they are, each a place to go on from. `subject` is what they are neighbours of, for "why".
pub(super) fn grid(run: &str, heads: &str, images: &[Neighbour], subject: Option<&str>) -> Markup {
    let heads = urlencoded(heads);
    html! {
        ol.grid {
            @for image in images {
                @let index = image.image_index;
                li {
                    a href={ "/r/" (run) "/neighbours?heads=" (heads) "&image=" (index) } {
                        img loading="lazy" src={ "/r/" (run) "/image/" (index) } alt=(image.image_id);
                    }
                    p.score { (format!("{:.4}", image.score)) }
                    p.id title=(image.image_id) { (image.image_id) }
                    @if let Some(class) = &image.class_id { p.class { (class) } }
                    p.links {
                        a href={ "/r/" (run) "/segment?image=" (index) "&heads=" (heads) } { "segment" }
                        @if let Some(subject) = subject {
                            " · " a href={ "/r/" (run) "/why?" (subject) "&heads=" (heads) "&neighbour=" (index) } { "why" }
                        }
                    }
                }
            }
        }
    }
}
