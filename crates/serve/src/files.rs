//! Pictures that pages show, and images that are handed in.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use headspan_artifacts::with_causes;
use headspan_images::{RgbImage8, probe_dimensions};

use crate::{
    app::Shared,
    ask::{Fields, QueryInput},
    error::WebError,
    handlers::pixels,
    page_request::{Answer, PageRequest},
};
use headspan_query::png;

/// Bytes of an image file of the run.
pub(super) async fn image(page: PageRequest) -> Answer {
    page.answer(|page| {
        let access = page.access()?;
        let index: u64 = page.name("page").parse().map_err(|_no_number| WebError::absent("no such image"))?;
        access.run().image(index)?;
        let bytes = access.image_bytes(index)?;
        let kind = match bytes.get(..4) {
            Some([0xff, 0xd8, ..]) => "image/jpeg",
            Some(b"\x89PNG") => "image/png",
            Some(b"RIFF") => "image/webp",
            _ => return Err(WebError::absent("not an image that a browser shows")),
        };
        Ok(picture(kind, bytes))
    })
    .await
}

/// What the model sees of an image of the run (`12.png`) or of an upload (`<hash>.png`): the centre, at the model's size.
pub(super) async fn seen(page: PageRequest) -> Answer {
    page.answer(|page| {
        let name = page.name("page").strip_suffix(".png").ok_or_else(|| WebError::absent("no such image"))?;
        // A position has at most twenty digits, a hash has twenty-four.
        let asked = match name.parse::<u64>() {
            Ok(index) if name.len() <= 20 => QueryInput::Image(index),
            _ => QueryInput::Upload(name.to_owned()),
        };
        let access = page.access()?.as_ref();
        let image = pixels(&page.shared, access, &asked)?;
        encoded(&access.model()?.seen(&image))
    })
    .await
}

/// An upload as it was decoded.
pub(super) async fn uploaded(page: PageRequest) -> Answer {
    page.answer(|page| {
        let name = page.name("page").strip_suffix(".png").unwrap_or_default();
        let image = page.shared.uploads.find(name);
        encoded(&*image.ok_or_else(|| WebError::absent("that upload is no longer here"))?)
    })
    .await
}

fn encoded(image: &RgbImage8) -> Answer {
    let bytes = png(image).map_err(|error| WebError::failed(&error))?;
    Ok(picture("image/png", bytes))
}

fn picture(kind: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=3600")];
    (headers, Body::from(bytes)).into_response()
}

/// Takes an image in and goes on to the page that asked, now about that image. Fields: `next` with the page's path and query
/// (without it, the page that the request came from), and `file`. An error leads back to the same page.
pub(super) async fn upload(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let mut next = referrer(request.headers()).unwrap_or_default();
    let taken = take_in(&shared, request, &mut next).await;
    taken.map_err(|error| if is_page(&next) { error.leading_back(next) } else { error })
}

/// Reads the form, setting `next` as soon as it is known.
async fn take_in(shared: &Arc<Shared>, request: Request, next: &mut String) -> Answer {
    let form = Multipart::from_request(request, shared).await;
    let mut form = form.map_err(|error| WebError::new(error.status(), error.body_text()))?;
    let (mut file, mut named) = (None, false);
    let most = shared.settings.upload_bytes >> 20;
    let damaged = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => WebError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the file is too large: at most {most} MiB are taken in"),
        ),
        status => WebError::new(status, error.body_text()),
    };
    while let Some(field) = form.next_field().await.map_err(damaged)? {
        match field.name() {
            Some("file") => {
                named = field.file_name().is_some_and(|name| !name.is_empty());
                file = Some(field.bytes().await.map_err(damaged)?);
            }
            Some("next") => *next = field.text().await.map_err(damaged)?,
            _ => {}
        }
    }
    let file = file.filter(|file| !file.is_empty()).ok_or_else(|| {
        // A form without a choice sends a file without a name.
        WebError::question(if named { "the file is empty" } else { "no file was chosen" })
    })?;
    if !is_page(next) {
        return Err(WebError::question("next: not a page of this explorer"));
    }
    let access = shared.runs.values().next().map(Arc::clone).ok_or_else(|| WebError::absent("no run is shown"))?;
    let own = Arc::clone(shared);
    let decode = move || {
        // The header alone tells; a picture that is too large is never decoded.
        let unusable = |message: String| WebError::new(StatusCode::UNPROCESSABLE_ENTITY, message);
        if let Some((width, height)) = probe_dimensions(&file) {
            let (pixels, most) = (u64::from(width) * u64::from(height), own.settings.upload_pixels);
            if pixels > most {
                return Err(unusable(format!("{width} × {height} are {pixels} pixels; at most {most} are taken in")));
            }
        }
        let image = access.decode(&file).map_err(|error| unusable(with_causes(&error)))?;
        Ok(own.uploads.keep(&file, image))
    };
    let name = shared.work.answer(decode).await?;
    let (path, query) = next.split_once('?').unwrap_or((next.as_str(), ""));
    let fields = Fields::read(Some(query)).without(&["image", "by"]);
    Ok(Redirect::to(&format!("{path}?{}", fields.with("upload", &name))).into_response())
}

/// Path and query of the page that a request came from.
fn referrer(headers: &HeaderMap) -> Option<String> {
    let uri: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    Some(uri.path_and_query()?.to_string())
}

/// Whether a path (with or without a query) leads to a page of this server that shows uploads: a redirect elsewhere could be
/// planted in a link.
fn is_page(next: &str) -> bool {
    let path = next.split_once('?').map_or(next, |(path, _query)| path);
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    (path == "/compare" || path == "/search" || path.starts_with("/r/")) && !path.contains("//") && plain
}

#[cfg(test)]
mod tests {
    use super::is_page;

    #[test]
    fn an_upload_leads_to_a_page_of_this_server_alone() {
        assert!(is_page("/compare") && is_page("/search?text=a") && is_page("/r/scenes/scenes-4/segment?text=a+b"));
        for elsewhere in
            ["", "/", "https://a.example/", "//a.example/r/", "/r//a.example", "/r/\\a", "/r/a\r\nb", "/r/é"]
        {
            assert!(!is_page(elsewhere), "{elsewhere}");
        }
    }
}
