//! The pages: each reads its question from the URL, asks the library, and shows what comes back.

use headspan_artifacts::HeadId;
use headspan_images::RgbImage8;
use std::sync::Arc;

use crate::{
    app::Shared,
    ask::{CompareAsk, ImagesAsk, NeighboursAsk, SegmentAsk, Subject as Asked, similarity},
    error::WebError,
    pages::{self, Maps, OPENAPI},
    place::{Answer, Form, Place},
};
use headspan_query::RunAccess;
use headspan_query::{ExtremesRequest, HeadSelection, ImageTrace, Neighbours, Query};

/// Images at each end of a head's range.
const AT_EACH_END: usize = 6;

/// Pages about all runs.
pub(super) async fn overview(place: Place) -> Answer {
    place
        .answer(|place| match place.name("page") {
            "" | "index" => place.respond(&pages::Overview::new(&place.shared, &place.fields)?),
            "compare" => compare(place),
            "openapi" if place.form == Form::Json => Ok(pages::text("application/json", OPENAPI)),
            _ => Err(nowhere()),
        })
        .await
}

/// Pages about one run.
pub(super) async fn analysis(place: Place) -> Answer {
    place
        .answer(|place| match place.name("page") {
            "neighbours" => neighbours(place),
            "segment" => segmentation(place),
            "why" => why(place),
            "images" => images(place),
            _ => Err(nowhere()),
        })
        .await
}

/// A page about one head.
pub(super) async fn head(place: Place) -> Answer {
    place
        .answer(|place| {
            let subject = place.subject()?;
            let HeadSelection::Head(head) = place.name("page").parse()? else {
                let shown: String = place.name("page").chars().take(40).collect();
                return Err(WebError::absent(format!("`{shown}` is not a head such as L3.H5")));
            };
            place.respond(&head_page(place, subject.as_ref(), head)?)
        })
        .await
}

pub(super) async fn nothing(place: Place) -> WebError {
    nowhere().in_form(place.form)
}

fn nowhere() -> WebError {
    WebError::absent("there is no such page")
}

fn head_page(place: &Place, subject: &dyn RunAccess, head: HeadId) -> Result<pages::HeadPage, WebError> {
    let run = subject.run();
    let direction = place.fields.optional_number::<usize>("direction")?;
    let request = direction.map_or(ExtremesRequest::Distance, ExtremesRequest::Pick);
    let extremes = run.extremes(head, request, AT_EACH_END)?;
    pages::HeadPage::new(&place.shared, run, head, direction, extremes)
}

fn neighbours(place: &Place) -> Answer {
    let subject = place.subject()?.as_ref();
    let ask = NeighboursAsk::read(&place.fields)?;
    // A question that lacks its subject is wrong all the same if its heads are.
    subject.run().resolve(&ask.request.heads)?;
    let found = near(&place.shared, subject, &ask).transpose()?;
    place.respond(&pages::NeighboursPage::new(subject.run(), &ask, &place.fields, found))
}

fn segmentation(place: &Place) -> Answer {
    let subject = place.subject()?.as_ref();
    let ask = SegmentAsk::read(&place.fields)?;
    subject.run().resolve(&ask.heads)?;
    there(&place.shared, subject, &ask)?;
    let maps = maps(&place.shared, subject, &ask).transpose()?;
    place.respond(&pages::SegmentPage::new(subject.run(), &ask, &place.fields, maps))
}

/// Whether what is to be segmented is there, which a page without a text shows already.
fn there(shared: &Shared, subject: &dyn RunAccess, ask: &SegmentAsk) -> Result<(), WebError> {
    match &ask.subject {
        Some(Asked::Image(image)) => Ok(subject.run().image(*image).map(|_there| ())?),
        Some(Asked::Upload(name)) => shared.uploads.find(name).map(|_there| ()).ok_or_else(no_upload),
        Some(Asked::Text(_)) | None => Ok(()),
    }
}

fn why(place: &Place) -> Answer {
    let subject = place.subject()?.as_ref();
    let run = subject.run();
    let ask = SegmentAsk::read(&place.fields)?;
    let neighbour = place.fields.optional_number::<u64>("neighbour")?;
    let neighbour = neighbour.ok_or_else(|| WebError::question("neighbour: the position of an image of the run"))?;
    let asked = ask.subject.as_ref().ok_or_else(|| WebError::question("why: give an image or an upload"))?;
    let direction = run.reason(neighbour, &ask.heads)?;
    let maps = Maps::of_direction(run, &trace(&place.shared, subject, asked)?, &ask.heads, neighbour, &direction)?;
    let similarity = similarity(&place.fields)?;
    place.respond(&pages::WhyPage::new(run, &ask, &place.fields, (neighbour, similarity), maps)?)
}

fn images(place: &Place) -> Answer {
    let subject = place.subject()?.as_ref();
    let ask = ImagesAsk::read(&place.fields)?;
    place.respond(&pages::ImagesPage::new(subject.run(), &ask, &place.fields)?)
}

fn compare(place: &Place) -> Answer {
    let ask = CompareAsk::read(&place.fields)?;
    place.respond(&pages::ComparePage::new(&place.shared, &ask, &place.fields)?)
}

fn no_upload() -> WebError {
    WebError::absent(
        "that upload is no longer here (the server has restarted, or newer ones took its room); upload it again",
    )
}

/// Neighbours of what was asked about.
pub(super) struct Near {
    pub(super) found: Neighbours,
    /// Whether the text was longer than the model's context.
    pub(super) cut: bool,
}

/// Neighbours of what was asked about, if anything was.
pub(super) fn near(shared: &Shared, subject: &dyn RunAccess, ask: &NeighboursAsk) -> Option<Result<Near, WebError>> {
    let (run, request) = (subject.run(), &ask.request);
    let asked = ask.subject.as_ref()?;
    let found = || -> Result<Near, WebError> {
        // A selection without heads is found out before a forward pass is made for it.
        run.resolve(&request.heads)?;
        let mut cut = false;
        let found = match asked {
            Asked::Image(image) => run.neighbours(Query::Image(*image), request)?,
            Asked::Upload(_) => run.neighbours(Query::Trace(&trace(shared, subject, asked)?), request)?,
            Asked::Text(text) => {
                let embedded;
                (embedded, cut) = subject.model()?.embed(&[text])?.remove(0);
                run.neighbours(Query::Text(&embedded), request)?
            }
        };
        Ok(Near { found, cut })
    };
    Some(found())
}

/// Heat maps of the texts in the image, if there are both.
pub(super) fn maps(shared: &Shared, subject: &dyn RunAccess, ask: &SegmentAsk) -> Option<Result<Maps, WebError>> {
    let asked = ask.subject.as_ref().filter(|_| !ask.texts.is_empty())?;
    let found = || {
        let run = subject.run();
        run.resolve(&ask.heads)?;
        let texts: Vec<&str> = ask.texts.iter().map(String::as_str).collect();
        let embedded = subject.model()?.embed(&texts)?;
        Maps::of_texts(run, &trace(shared, subject, asked)?, &ask.heads, &ask.texts, &embedded)
    };
    Some(found())
}

/// One forward pass of what was asked about.
fn trace(shared: &Shared, subject: &dyn RunAccess, asked: &Asked) -> Result<ImageTrace, WebError> {
    let image = pixels(shared, subject, asked)?;
    Ok(subject.model()?.trace(&image, &subject.run().layers())?)
}

/// The image that was asked about.
pub(super) fn pixels(shared: &Shared, subject: &dyn RunAccess, asked: &Asked) -> Result<Arc<RgbImage8>, WebError> {
    match asked {
        Asked::Image(index) => {
            subject.run().image(*index)?;
            let bytes = subject.image_bytes(*index)?;
            Ok(Arc::new(subject.decode(&bytes)?))
        }
        Asked::Upload(name) => shared.uploads.find(name).ok_or_else(no_upload),
        Asked::Text(_) => Err(WebError::question("expected an image, not a text")),
    }
}
