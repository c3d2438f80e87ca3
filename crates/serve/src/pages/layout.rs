use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::accents::Accents;
use crate::{app::Shared, ask::Fields, error::WebError};

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/explorer.js");
const MAP_SCRIPT: &str = include_str!("../assets/map.js");
const KEYS: &str = include_str!("../assets/keys.js");
/// Description of the paths and their fields for machines.
pub(crate) const OPENAPI: &str = include_str!("../assets/openapi.json");
/// What all titles end with.
pub(crate) const OURS: &str = " – headspan";
/// Of the pages that people write on.
const NOTES_STYLE: &str = include_str!("../assets/notes.css");
const NOTES_SCRIPT: &str = include_str!("../assets/notes.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// A file of the program itself.
pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response, WebError> {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "explorer.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "notes.css" => ("text/css; charset=utf-8", NOTES_STYLE),
        "notes.js" => ("text/javascript; charset=utf-8", NOTES_SCRIPT),
        "keys.js" => ("text/javascript; charset=utf-8", KEYS),
        "map.js" => ("text/javascript; charset=utf-8", MAP_SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(WebError::absent("there is no such page")),
    };
    Ok(self::text(kind, text))
}

/// A text of the program itself.
pub(crate) fn text(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// What a page is called.
pub(super) struct Title<'a> {
    /// The kind of page, by its name in the navigation.
    pub(super) section: &'a str,
    /// What was asked, which tells the page from others of its kind; may be empty.
    pub(super) asked: String,
}

impl Title<'_> {
    /// The title of a page about a run, or about several.
    fn text(&self, run: Option<&str>) -> String {
        let parts = [self.asked.as_str(), self.section, run.unwrap_or("")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" – ")
    }
}

/// A question in words, for a page's title: its texts, its image and its heads. Nothing, if it has no subject.
pub(super) fn in_words(texts: &[String], image: Option<u64>, upload: Option<&str>, heads: &str) -> String {
    let mut parts: Vec<String> = texts.iter().map(|text| format!("“{text}”")).collect();
    parts.extend(image.map(|image| format!("image {image}")));
    parts.extend(upload.map(|_hash| "your image".to_owned()));
    if !parts.is_empty() {
        parts.push(if heads == "all" { "all heads".to_owned() } else { heads.to_owned() });
    }
    parts.join(", ")
}

/// A number of things, such as `1 head` and `2 heads`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// That not all of a text was read, where that is so.
pub(super) fn cut_note(cut: bool) -> Markup {
    html! { @if cut { p.hint.cut role="note" { "A text is longer than what the model reads at once: its end was cut off." } } }
}

/// That not all images of a run can be shown, where that is so.
pub(super) fn kept_note(shared: &Shared, run: &str) -> Markup {
    let note = shared.runs.get(run).and_then(|subject| subject.run().kept().note());
    html! { @if let Some(note) = note { p.hint role="note" { (note) } } }
}

/// A whole page. `run` is the one that it is about, for the links between analyses.
pub(super) fn page(title: &Title<'_>, run: Option<&str>, body: &Markup) -> Markup {
    let link = |name: &str, target: &str| {
        html! { a href=(target) aria-current=[(name == title.section).then_some("page")] { (name) } }
    };
    let linked = html! {
        link rel="icon" href="/assets/icon.svg";
        link rel="stylesheet" href="/assets/style.css";
        link rel="stylesheet" href="/assets/notes.css";
        // Not a module: a browser loads none for a saved page, which has no server.
        script defer src="/assets/explorer.js" {}
        script defer src="/assets/notes.js" {}
        script defer src="/assets/keys.js" {}
        script defer src="/assets/map.js" {}
    };
    document(
        &title.text(run),
        &linked,
        &html! {
            a.skip href="#main" { "Skip to the content" }
            header {
                nav aria-label="Analyses" {
                    a.brand href="/" { img src="/assets/icon.svg" alt="" width="22" height="22"; "headspan" }
                    (link("Heads", "/")) (link("Compare", "/compare"))
                    (search_box(title))
                    @if let Some(run) = run {
                        (link("Neighbours", &format!("/r/{run}/neighbours")))
                        (link("Segmentation", &format!("/r/{run}/segment")))
                        (link("Images", &format!("/r/{run}/images")))
                        (link("Review", &format!("/r/{run}/review")))
                        (link("Notes", &format!("/r/{run}/notes")))
                        a.run href={ "/?run=" (urlencoded(run)) } { (run) }
                    }
                }
            }
            main #main { (body) }
        },
    )
}

/// The box over everything, which `/` leads to; on the page of the search itself a link, as it has a larger one.
fn search_box(title: &Title<'_>) -> Markup {
    html! {
        @if title.section == "Search" { a href="/search" aria-current="page" { "Search" } }
        @else {
            form.find role="search" method="get" action="/search" autocomplete="off" {
                input type="search" name="q" maxlength="1000" aria-label="Search everything" placeholder="Search  /" aria-keyshortcuts="/";
            }
        }
    }
}

/// The frame of every page: `title`, what the page links to in its head, and its body.
pub(crate) fn document(title: &str, linked: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) (OURS) }
                (linked)
            }
            body { (body) }
        }
    }
}

/// What is shown instead of an answer.
pub(crate) fn error_page(status: StatusCode, message: &str, run: Option<&str>, back: Option<&str>) -> Markup {
    let title = status.canonical_reason().unwrap_or("No answer");
    page(
        &Title { section: "", asked: title.to_owned() },
        run,
        &html! {
            h1 { (title) }
            p.error role="alert" { (message) }
            @if let Some(back) = back { p { a href=(back) { "Back to the question" } } }
            p { a href="/" { "To the heads" } }
        },
    )
}

/// A page's heading, and beside it what the page is for.
pub(super) fn heading(title: &str, lead: &str) -> Markup {
    html! { div.heading { h1 { (title) } p.lead { (lead) } } }
}

/// Where a page stands: the pages above it with their addresses, and its own name.
pub(super) fn breadcrumbs(above: &[(&str, String)], here: &str) -> Markup {
    html! {
        nav.crumbs aria-label="Breadcrumbs" {
            ol {
                @for (name, target) in above { li { a href=(target) { (name) } } }
                li aria-current="page" { (here) }
            }
        }
    }
}

/// The form that hands in an image; its fields stand in the form of the question ([`own_image`]), which cannot hold another.
/// `next` is the page's path and query.
pub(super) fn upload_form(next: &str) -> Markup {
    html! {
        form #upload method="post" action="/upload" enctype="multipart/form-data" data-drop="" {
            input type="hidden" name="next" value=(next);
        }
    }
}

/// The choice of an image of one's own, to stand among the other subjects of a question.
pub(super) fn own_image(upload: Option<&str>) -> Markup {
    html! {
        div.choice.own {
            @if let Some(upload) = upload {
                (by("upload", "your image", true))
                input type="hidden" name="upload" value=(upload);
            } @else { span.name { "an image of yours" } }
            div.together {
                input type="file" name="file" form="upload" aria-label="Your own image" aria-describedby="own-hint"
                    accept="image/png,image/jpeg,image/webp" required;
                input.second type="submit" form="upload" value="Upload";
            }
            small.hint #own-hint role="status" title="It stays in this server's memory." { "Choose, drop or paste: PNG, JPEG, WebP" }
        }
    }
}

/// One of the things that a question can be about.
pub(super) fn by(value: &str, name: &str, chosen: bool) -> Markup {
    html! { label.check { input type="radio" name="by" value=(value) checked[chosen]; " " (name) } }
}

/// The choice of an image by its number. `name` says of what images; `chosen` whether it is the subject, or none if there is
/// nothing else to choose; `sight` leads to the images, to choose one by looking.
pub(super) fn image_choice(name: &str, image: Option<u64>, chosen: Option<bool>, sight: Option<&str>) -> Markup {
    html! {
        div.choice {
            @if let Some(chosen) = chosen { (by("image", name, chosen)) } @else { span.name { (name) } }
            input type="number" name="image" min="0" value=[image] aria-label="Image number" placeholder="number" data-by="image";
            @if let Some(sight) = sight { small { a href=(sight) { "choose by sight" } } }
        }
    }
}

/// Options of a list of heads: all, properties, layers, heads.
pub(super) fn heads_field(run: &headspan_query::ExploreRun, chosen: &str) -> Markup {
    let option = |value: &str, text: String| {
        html! { option value=(value) selected[value.eq_ignore_ascii_case(chosen)] { (text) } }
    };
    html! {
        label.heads { "Heads "
            select name="heads" {
                (option("all", format!("all {}", counted(run.heads().count(), "head"))))
                optgroup label="Properties" {
                    @for (property, heads) in run.properties() {
                        (option(property, format!("{property} ({})", counted(heads.len(), "head"))))
                    }
                }
                optgroup label="Layers" {
                    @for layer in run.layers() { (option(&format!("L{layer}"), format!("layer {layer}"))) }
                }
                optgroup label="Heads" {
                    @for head in run.heads() {
                        @let name = head.to_string();
                        @let property = run.label(head).and_then(|row| row.property.as_deref()).unwrap_or("no label");
                        (option(&name, format!("{name} · {property}")))
                    }
                }
            }
        }
    }
}

/// What a selection of heads is called, with the colour of its property: that of a single head, or its own name.
pub(super) fn selection_tag(shared: &Shared, run: &str, heads: &str) -> Markup {
    let accents = Accents::of(shared);
    let run = shared.runs.get(run).map(|subject| subject.run());
    let property = |name: &str| run?.properties().keys().find(|own| own.eq_ignore_ascii_case(name)).cloned();
    let label = || run?.heads().find(|head| head.to_string() == heads).map(|head| run?.label(head)?.property.clone());
    html! {
        @if let Some(property) = property(heads) { (accents.tag(Some(&property))) }
        @else if let Some(label) = label() { (heads) " " (accents.tag(label.as_deref())) }
        @else if heads == "all" { "all heads" }
        @else { (heads) }
    }
}

/// Links to the same answer for machines. `path` is the page's, without an ending.
pub(super) fn formats(path: &str, query: &str) -> Markup {
    html! {
        span.formats {
            a href={ (path) ".json?" (query) } { "JSON" } " · " a href={ (path) ".parquet?" (query) } { "Parquet" }
            @if let Some(notes) = notes_of(path) {
                " · " a href={ (notes) "?save=" (urlencoded(&format!("{path}?{query}"))) "#views" } { "save view" }
            }
        }
    }
}

/// The page of notes of the run that a page is about.
fn notes_of(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("/r/")?.split('/');
    Some(format!("/r/{}/{}/notes", parts.next()?, parts.next()?))
}

/// Links to a chart of a page as a figure, and to its data. `number` counts the page's charts from 1.
pub(super) fn figure_links(path: &str, query: &str, number: usize) -> Markup {
    let chart = Fields::read(Some(query)).with("chart", &number.to_string());
    html! {
        span.formats {
            a href={ (path) ".svg?" (chart) } { "SVG" } " · " a href={ (path) ".csv?" (chart) } { "CSV" } " · " a href={ (path) ".json?" (query) } { "JSON" }
        }
    }
}

/// The id of an image below its picture. A position in a shard says nothing to a reader: where the class is known it stays out of sight.
pub(super) fn image_id(id: &str, class: Option<&str>) -> Markup {
    html! { p.id.position[class.is_some() && is_position(id)] title=(id) { (id) } }
}

/// Whether an id is a number within a shard, such as `train-00001.parquet/345`.
fn is_position(id: &str) -> bool {
    let Some((shard, place)) = id.rsplit_once('/') else { return false };
    let shard = shard.to_ascii_lowercase();
    [".parquet", ".tar"].iter().any(|ending| shard.ends_with(ending)) && place.bytes().all(|byte| byte.is_ascii_digit())
}

/// The image that a question is about in a query string, for links that ask something else of it.
pub(super) fn subject_query(image: Option<u64>, upload: Option<&str>) -> Option<String> {
    image.map(|image| format!("image={image}")).or_else(|| upload.map(|name| format!("upload={name}")))
}

/// A value as it may stand in a query string.
pub(crate) fn urlencoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// Field that keeps a question's class while an image is chosen: the images that are shown have a class of their own.
pub(super) const QUESTION_CLASS: &str = "question_class";

/// Where an image of the run is chosen by sight. `next` is the page that asks, `query` its fields.
pub(super) fn sight(run: &str, next: &str, query: &str) -> String {
    let fields = Fields::read(Some(query)).renamed("class", QUESTION_CLASS);
    format!("/r/{run}/images?next={next}&{}", fields.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_in_shards_are_told_from_names() {
        assert!(is_position("part-00001.parquet/345") && is_position("a/train.TAR/000012"));
        for name in ["n01440764/n01440764_10026.JPEG", "photos.tar/cat.jpg", "345", "folder/12"] {
            assert!(!is_position(name), "{name}");
        }
        assert!(image_id("p.parquet/3", Some("boat")).into_string().contains("position"));
        assert!(!image_id("p.parquet/3", None).into_string().contains("position"), "it is all that there is");
    }
}
