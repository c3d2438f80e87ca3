use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use crate::web::error::WebError;

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/explorer.js");
/// Description of the paths and their fields for machines.
pub(in crate::web) const OPENAPI: &str = include_str!("../assets/openapi.json");
const ICON: &str = include_str!("../assets/icon.svg");

/// A file of the program itself.
pub(in crate::web) async fn asset(Path(name): Path<String>) -> Result<Response, WebError> {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "explorer.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(WebError::absent("there is no such page")),
    };
    Ok(self::text(kind, text))
}

/// A text of the program itself.
pub(in crate::web) fn text(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// A whole page. `run` is the one that it is about, for the links between analyses.
pub(super) fn page(title: &str, run: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – headspan" }
                link rel="icon" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/style.css";
                script type="module" src="/assets/explorer.js" {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    nav aria-label="Analyses" {
                        a.brand href="/" { "headspan" }
                        a href="/" { "Heads" }
                        a href="/compare" { "Compare" }
                        @if let Some(run) = run {
                            a href={ "/r/" (run) "/neighbours" } { "Neighbours" }
                            a href={ "/r/" (run) "/segment" } { "Segmentation" }
                            a href={ "/r/" (run) "/images" } { "Images" }
                            span.run { (run) }
                        }
                    }
                }
                main #main { (body) }
            }
        }
    }
}

/// What is shown instead of an answer.
pub(in crate::web) fn error_page(status: StatusCode, message: &str, back: Option<&str>) -> Markup {
    let title = status.canonical_reason().unwrap_or("No answer");
    page(
        title,
        None,
        &html! {
            h1 { (title) }
            p.error role="alert" { (message) }
            @if let Some(back) = back { p { a href=(back) { "Back to the question" } } }
            p { a href="/" { "To the heads" } }
        },
    )
}

/// The image that a question is about, with a way to hand in another. `next` is the page's path and query.
pub(super) fn upload_form(next: &str) -> Markup {
    html! {
        form.upload method="post" action="/upload" enctype="multipart/form-data" data-drop="" {
            input type="hidden" name="next" value=(next);
            label { "Your own image " input type="file" name="file" accept="image/png,image/jpeg,image/webp" required; }
            button { "Upload" }
            p.hint { "Choose, drop or paste an image: PNG, JPEG or WebP. It stays in this server's memory." }
        }
    }
}

/// Options of a list of heads: all, properties, layers, heads.
pub(super) fn heads_field(run: &crate::run::ExploreRun, chosen: &str) -> Markup {
    let option = |value: &str, text: String| {
        html! { option value=(value) selected[value.eq_ignore_ascii_case(chosen)] { (text) } }
    };
    html! {
        label { "Heads "
            select name="heads" {
                (option("all", format!("all {} heads", run.heads().count())))
                optgroup label="Properties" {
                    @for (property, heads) in run.properties() {
                        (option(property, format!("{property} ({} heads)", heads.len())))
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

/// Links to the same answer for machines. `path` is the page's, without an ending.
pub(super) fn formats(path: &str, query: &str) -> Markup {
    html! {
        span.formats {
            a href={ (path) ".json?" (query) } { "JSON" } " · " a href={ (path) ".parquet?" (query) } { "Parquet" }
        }
    }
}

/// The image that a question is about in a query string, for links that ask something else of it.
pub(super) fn subject_query(image: Option<u64>, upload: Option<&str>) -> Option<String> {
    image.map(|image| format!("image={image}")).or_else(|| upload.map(|name| format!("upload={name}")))
}

/// A value as it may stand in a query string.
pub(super) fn urlencoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// Number of an image of the run, with a way to choose it by sight. `next` is the page that asks, `query` its fields.
pub(super) fn image_field(run: &str, next: &str, image: Option<u64>, query: &str) -> Markup {
    html! {
        div.field {
            label { "Image number " input type="number" name="image" min="0" value=[image] data-by="image"; }
            a href={ "/r/" (run) "/images?next=" (next) "&" (query) } { "choose by sight" }
        }
    }
}
