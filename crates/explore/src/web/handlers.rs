use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Multipart, OriginalUri, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use headspan_clip::RgbImage8;
use maud::Markup;
use serde::Serialize;

use crate::{
    extremes::ExtremesRequest,
    model::ImageTrace,
    neighbours::{Neighbours, Query},
    pictures::png,
    selection::HeadSelection,
    web::{
        app::Shared,
        ask::{Fields, NeighboursAsk, SegmentAsk, Subject as Asked},
        error::WebError,
        pages,
        subject::Subject,
    },
};

type Answer = Result<Response, WebError>;

/// Where a question came in: which run, and whether as JSON.
#[derive(Clone)]
struct Place {
    subject: Arc<dyn Subject>,
    fields: Fields,
    json: bool,
}

impl Place {
    fn new(shared: &Shared, dataset: &str, model: &str, uri: &axum::http::Uri) -> Result<Self, WebError> {
        let json = wants_json(uri);
        let name = format!("{dataset}/{model}");
        let subject = shared.subjects.get(&name).map(Arc::clone).ok_or_else(|| {
            let known: Vec<&str> = shared.subjects.keys().map(String::as_str).collect();
            WebError::absent(format!("no run `{name}` is shown; there are {}", known.join(", "))).in_json(json)
        })?;
        Ok(Self { subject, fields: Fields::read(uri.query()), json })
    }
}

fn wants_json(uri: &axum::http::Uri) -> bool {
    std::path::Path::new(uri.path()).extension().is_some_and(|ending| ending == "json")
}

/// A page, or what it shows as JSON.
fn respond<T: Serialize>(json: bool, answer: &T, page: impl FnOnce() -> Markup) -> Response {
    if json { Json(answer).into_response() } else { page().into_response() }
}

/// Answers a question off the async threads; errors come back in the form that was asked for.
async fn ask<F>(shared: &Arc<Shared>, place: Place, question: F) -> Answer
where
    F: FnOnce(&Arc<Shared>, &Place) -> Answer + Send + 'static,
{
    let json = place.json;
    let own = Arc::clone(shared);
    shared.work.answer(move || question(&own, &place)).await.map_err(|error| error.in_json(json))
}

pub(super) async fn start(State(shared): State<Arc<Shared>>, OriginalUri(uri): OriginalUri) -> Answer {
    let json = wants_json(&uri);
    let own = Arc::clone(&shared);
    let answer = move || {
        let overview = pages::Overview::new(&own, &Fields::read(uri.query()))?;
        Ok(respond(json, &overview, || pages::start(&overview)))
    };
    shared.work.answer(answer).await.map_err(|error| error.in_json(json))
}

pub(super) async fn head(
    State(shared): State<Arc<Shared>>,
    Path((dataset, model, head)): Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let place = Place::new(&shared, &dataset, &model, &uri)?;
    ask(&shared, place, move |shared, place| {
        let name = head.strip_suffix(".json").unwrap_or(&head);
        let HeadSelection::Head(head) = name.parse()? else {
            return Err(WebError::absent(format!(
                "`{}` is no head such as L3.H5",
                name.chars().take(40).collect::<String>()
            )));
        };
        let run = place.subject.run();
        let extremes = run.extremes(head, ExtremesRequest::Distance, 6)?;
        let page = pages::HeadPage::new(shared, run, head, extremes)?;
        Ok(respond(place.json, &page, || pages::head(&page)))
    })
    .await
}

pub(super) async fn neighbours(
    State(shared): State<Arc<Shared>>,
    Path((dataset, model)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let place = Place::new(&shared, &dataset, &model, &uri)?;
    ask(&shared, place, |shared, place| {
        let ask = NeighboursAsk::read(&place.fields)?;
        let found = near(shared, place, &ask).transpose()?;
        let page = pages::NeighboursPage::new(place.subject.run(), &ask, &place.fields, found);
        Ok(respond(place.json, &page, || pages::neighbours(shared, &page)))
    })
    .await
}

/// Neighbours of the subject, if there is one.
fn near(shared: &Shared, place: &Place, ask: &NeighboursAsk) -> Option<Result<Neighbours, WebError>> {
    let (run, request) = (place.subject.run(), &ask.request);
    let subject = ask.subject.as_ref()?;
    let found = || {
        // A selection without heads is found out before a forward pass is made for it.
        run.resolve(&request.heads)?;
        match subject {
            Asked::Image(image) => Ok(run.neighbours(Query::Image(*image), request)?),
            Asked::Upload(_) => Ok(run.neighbours(Query::Trace(&trace(shared, place, subject)?), request)?),
            Asked::Text(text) => Ok(run.neighbours(Query::Text(&embedded(place, text)?), request)?),
        }
    };
    Some(found())
}

pub(super) async fn compare(State(shared): State<Arc<Shared>>, OriginalUri(uri): OriginalUri) -> Answer {
    let json = wants_json(&uri);
    let own = Arc::clone(&shared);
    let answer = move || {
        let fields = Fields::read(uri.query());
        let ask = NeighboursAsk::read(&fields)?;
        let page = pages::ComparePage::new(&own, &ask, &fields, |run| {
            let subject = Arc::clone(own.subjects.get(run)?);
            near(&own, &Place { subject, fields: fields.clone(), json }, &ask)
        })?;
        Ok(respond(json, &page, || pages::compare(&page)))
    };
    shared.work.answer(answer).await.map_err(|error| error.in_json(json))
}

pub(super) async fn segmentation(
    State(shared): State<Arc<Shared>>,
    Path((dataset, model)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let place = Place::new(&shared, &dataset, &model, &uri)?;
    ask(&shared, place, |shared, place| {
        let ask = SegmentAsk::read(&place.fields)?;
        let run = place.subject.run();
        run.resolve(&ask.heads)?;
        let maps = match &ask.subject {
            Some(subject) if !ask.texts.is_empty() => {
                let trace = trace(shared, place, subject)?;
                let texts = ask.texts.iter().map(|text| embedded(place, text)).collect::<Result<Vec<_>, _>>()?;
                Some(pages::Maps::of_texts(run, &trace, &ask.heads, &ask.texts, &texts)?)
            }
            _ => None,
        };
        let page = pages::SegmentPage::new(run, &ask, &place.fields, maps);
        Ok(respond(place.json, &page, || pages::segment(shared, &page)))
    })
    .await
}

pub(super) async fn why(
    State(shared): State<Arc<Shared>>,
    Path((dataset, model)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let place = Place::new(&shared, &dataset, &model, &uri)?;
    ask(&shared, place, |shared, place| {
        let ask = SegmentAsk::read(&place.fields)?;
        let neighbour = place.fields.get("neighbour").and_then(|number| number.parse::<u64>().ok());
        let neighbour =
            neighbour.ok_or_else(|| WebError::question("neighbour: the position of an image of the run"))?;
        let subject = ask.subject.as_ref().ok_or_else(|| WebError::question("why: give an image or an upload"))?;
        let run = place.subject.run();
        let direction = run.reason(neighbour, &ask.heads)?;
        let trace = trace(shared, place, subject)?;
        let maps = pages::Maps::of_direction(run, &trace, &ask.heads, neighbour, &direction)?;
        let page = pages::WhyPage::new(run, &ask, &place.fields, neighbour, maps)?;
        Ok(respond(place.json, &page, || pages::why(&page)))
    })
    .await
}

fn embedded(place: &Place, text: &str) -> Result<Vec<f32>, WebError> {
    Ok(place.subject.model()?.embed(&[text])?.remove(0).0)
}

/// One forward pass of the subject.
fn trace(shared: &Shared, place: &Place, subject: &Asked) -> Result<ImageTrace, WebError> {
    let run = place.subject.run();
    let image = pixels(shared, place, subject)?;
    Ok(place.subject.model()?.trace(&image, &run.layers())?)
}

fn pixels(shared: &Shared, place: &Place, subject: &Asked) -> Result<Arc<RgbImage8>, WebError> {
    match subject {
        Asked::Image(index) => {
            place.subject.run().image(*index)?;
            let bytes = place.subject.image_bytes(*index)?;
            Ok(Arc::new(place.subject.decode(&bytes)?))
        }
        Asked::Upload(name) => shared.uploads.find(name).ok_or_else(|| {
            WebError::absent("that upload is no longer here (the server has restarted, or newer ones took its room); upload it again")
        }),
        Asked::Text(_) => Err(WebError::question("an image is wanted, not a text")),
    }
}

/// Bytes of an image file of the run.
pub(super) async fn image(
    State(shared): State<Arc<Shared>>,
    Path((dataset, model, index)): Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let place = Place::new(&shared, &dataset, &model, &uri)?;
    let index: u64 = index.parse().map_err(|_no_number| WebError::absent("no such image"))?;
    ask(&shared, place, move |_shared, place| {
        place.subject.run().image(index)?;
        let bytes = place.subject.image_bytes(index)?;
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
pub(super) async fn seen(
    State(shared): State<Arc<Shared>>,
    Path((dataset, model, name)): Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Answer {
    let place = Place::new(&shared, &dataset, &model, &uri)?;
    let name = name.strip_suffix(".png").unwrap_or_default().to_owned();
    ask(&shared, place, move |shared, place| {
        // A position has at most twenty digits, a hash has twenty-four.
        let subject = match name.parse::<u64>() {
            Ok(index) if name.len() <= 20 => Asked::Image(index),
            _ => Asked::Upload(name),
        };
        let image = pixels(shared, place, &subject)?;
        let preprocess = place.subject.model()?.preprocess();
        let side = preprocess.size as u32;
        encoded(&RgbImage8 { width: side, height: side, data: preprocess.pixels(&image) })
    })
    .await
}

/// An upload as it was decoded.
pub(super) async fn uploaded(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Answer {
    let name = name.strip_suffix(".png").unwrap_or_default();
    let image = shared.uploads.find(name).ok_or_else(|| WebError::absent("that upload is no longer here"))?;
    shared.work.answer(move || encoded(&image)).await
}

fn encoded(image: &RgbImage8) -> Answer {
    let bytes = png(image).map_err(|error| WebError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(picture("image/png", bytes))
}

fn picture(kind: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=3600")];
    (headers, Body::from(bytes)).into_response()
}

/// Takes an image in and goes on to the page that asked, now about that image. Fields: `file`, and `next` with the page's path
/// and query.
pub(super) async fn upload(State(shared): State<Arc<Shared>>, mut form: Multipart) -> Answer {
    let (mut file, mut next) = (None, String::new());
    let damaged = |error: axum::extract::multipart::MultipartError| WebError::new(error.status(), error.body_text());
    while let Some(field) = form.next_field().await.map_err(damaged)? {
        match field.name() {
            Some("file") => file = Some(field.bytes().await.map_err(damaged)?),
            Some("next") => next = field.text().await.map_err(damaged)?,
            _ => {}
        }
    }
    let file = file.filter(|file| !file.is_empty()).ok_or_else(|| WebError::question("no file was chosen"))?;
    // Only a page of this server: a path that begins with one slash.
    let (path, query) = next.split_once('?').unwrap_or((next.as_str(), ""));
    if !path.starts_with("/r/") || path.contains("//") {
        return Err(WebError::question("next: not a page of this explorer"));
    }
    let subject = shared.subjects.values().next().map(Arc::clone).ok_or_else(|| WebError::absent("no run is shown"))?;
    let own = Arc::clone(&shared);
    let decode = move || {
        let image =
            subject.decode(&file).map_err(|error| WebError::new(StatusCode::UNPROCESSABLE_ENTITY, error.message))?;
        Ok(own.uploads.keep(&file, image))
    };
    let name = shared.work.answer(decode).await?;
    let fields = Fields::read(Some(query)).without(&["image"]);
    Ok(Redirect::to(&format!("{path}?{}", fields.with("upload", &name))).into_response())
}

pub(super) async fn nothing(OriginalUri(uri): OriginalUri) -> WebError {
    WebError::absent("there is no such page").in_json(wants_json(&uri))
}
