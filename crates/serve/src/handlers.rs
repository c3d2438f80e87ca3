//! The pages: each reads its question from the URL, asks the library, and shows what comes back.

use headspan_artifacts::{HeadId, Kept};
use headspan_images::RgbImage8;
use std::sync::Arc;

use axum::{
    http::header,
    response::{IntoResponse, Redirect},
};

use crate::{
    app::Shared,
    ask::{CompareAsk, ImagesAsk, NeighboursAsk, QueryInput, SegmentAsk, search_input, similarity},
    ask_map::MapAsk,
    error::WebError,
    page_request::{Answer, Form, PageRequest},
    pages::{self, Maps, OPENAPI},
};
use headspan_query::RunAccess;
use headspan_query::{Carried, ExtremesRequest, HeadSelection, ImageTrace, Neighbours, Query};

/// Images at each end of a head's range.
const AT_EACH_END: usize = 6;

/// Pages about all runs.
pub(super) async fn overview(page: PageRequest) -> Answer {
    page.answer(|page| match page.name("page") {
        "" | "index" => page.respond(&pages::Overview::new(&page.shared, &page.fields)?),
        "compare" => compare(page),
        "review" => Ok(pages::to_review(page)),
        "search" => search(page),
        "openapi" if page.form == Form::Json => Ok(pages::text("application/json", OPENAPI)),
        _ => Err(nowhere()),
    })
    .await
}

/// Pages about one run.
pub(super) async fn analysis(page: PageRequest) -> Answer {
    page.answer(|page| match page.name("page") {
        "neighbours" => neighbours(page),
        "segment" => segmentation(page),
        "why" => why(page),
        "images" => images(page),
        "map" => map(page),
        "review" => page.respond(&pages::ReviewPage::new(page)?),
        "agreement" => page.respond(&pages::AgreementPage::new(page)?),
        "notes" => page.respond(&pages::NotesPage::new(page)?),
        _ => Err(nowhere()),
    })
    .await
}

/// A page about one head.
pub(super) async fn head(page: PageRequest) -> Answer {
    page.answer(|page| {
        let access = page.access()?;
        let HeadSelection::Head(head) = page.name("page").parse()? else {
            let shown: String = page.name("page").chars().take(40).collect();
            return Err(WebError::absent(format!("`{shown}` is not a head such as L3.H5")));
        };
        page.respond(&head_page(page, access.as_ref(), head)?)
    })
    .await
}

pub(super) async fn nothing(page: PageRequest) -> WebError {
    nowhere().in_form(page.form)
}

/// A run's name alone leads to its heads.
pub(super) async fn run(page: PageRequest) -> Answer {
    let name = page.access().map(|access| access.run().name()).map_err(|error| error.in_form(page.form))?;
    Ok(Redirect::to(&format!("/?run={}", pages::urlencoded(&name))).into_response())
}

fn nowhere() -> WebError {
    WebError::absent("there is no such page")
}

fn head_page(page: &PageRequest, access: &dyn RunAccess, head: HeadId) -> Result<pages::HeadPage, WebError> {
    let run = access.run();
    let direction = page.fields.optional_number::<usize>("direction")?;
    let request = direction.map_or(ExtremesRequest::Distance, ExtremesRequest::Pick);
    // A run that keeps moments alone can say everything of a head but which images are at its ends.
    let extremes = match run.kept() {
        Kept::Moments { .. } => run.readout(head).map(|_there| None)?,
        Kept::All | Kept::Sample { .. } => Some(run.extremes(head, request, AT_EACH_END)?),
    };
    pages::HeadPage::new(page, run, head, direction, extremes)
}

fn neighbours(page: &PageRequest) -> Answer {
    let access = page.access()?.as_ref();
    let ask = NeighboursAsk::read(&page.fields)?;
    // A question that lacks its subject is wrong all the same if its heads are.
    access.run().resolve(&ask.request.heads)?;
    let found = near(&page.shared, access, &ask).transpose()?;
    page.respond(&pages::NeighboursPage::new(access.run(), &ask, &page.fields, found))
}

fn segmentation(page: &PageRequest) -> Answer {
    let access = page.access()?.as_ref();
    let ask = SegmentAsk::read(&page.fields)?;
    access.run().resolve(&ask.heads)?;
    there(&page.shared, access, &ask)?;
    let (maps, note) = match (&ask.input, maps(&page.shared, access, &ask)) {
        (_, Some(found)) => (Some(found?), None),
        // Where the heads look is an answer that nobody asked for in words, so that it may fail.
        (Some(asked), None) => match looked(&page.shared, access, asked, &ask.heads) {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error.message)),
        },
        (None, None) => (None, None),
    };
    page.respond(&pages::SegmentPage::new(access.run(), &ask, &page.fields, maps, note))
}

/// Where the heads look in an image, whatever is there.
fn looked(
    shared: &Shared,
    access: &dyn RunAccess,
    asked: &QueryInput,
    heads: &HeadSelection,
) -> Result<Maps, WebError> {
    Maps::of_looks(access.run(), &trace(shared, access, asked)?, heads)
}

/// Whether what is to be segmented is there, which a page without a text shows already.
fn there(shared: &Shared, access: &dyn RunAccess, ask: &SegmentAsk) -> Result<(), WebError> {
    match &ask.input {
        Some(QueryInput::Image(image)) => Ok(access.run().image(*image).map(|_there| ())?),
        Some(QueryInput::Upload(name)) => shared.uploads.find(name).map(|_there| ()).ok_or_else(no_upload),
        Some(QueryInput::Text(_)) | None => Ok(()),
    }
}

fn why(page: &PageRequest) -> Answer {
    let access = page.access()?.as_ref();
    let run = access.run();
    let ask = SegmentAsk::read(&page.fields)?;
    let neighbour = page.fields.optional_number::<u64>("neighbour")?;
    let neighbour = neighbour.ok_or_else(|| WebError::question("neighbour: the position of an image of the run"))?;
    let asked = ask.input.as_ref().ok_or_else(|| WebError::question("why: give an image or an upload"))?;
    let direction = run.reason(neighbour, &ask.heads)?;
    let maps = Maps::of_direction(run, &trace(&page.shared, access, asked)?, &ask.heads, neighbour, &direction)?;
    let similarity = similarity(&page.fields)?;
    page.respond(&pages::WhyPage::new(run, &ask, &page.fields, (neighbour, similarity), maps)?)
}

fn images(page: &PageRequest) -> Answer {
    let access = page.access()?.as_ref();
    let ask = ImagesAsk::read(&page.fields)?;
    page.respond(&pages::ImagesPage::new(access.run(), &ask, &page.fields)?)
}

fn map(page: &PageRequest) -> Answer {
    let access = page.access()?.as_ref();
    let shown = pages::MapPage::new(access, MapAsk::read(&page.fields)?, &page.fields)?;
    if page.form == Form::Binary {
        return Ok(([(header::CONTENT_TYPE, "application/octet-stream")], shown.bytes()?).into_response());
    }
    page.respond(&shown)
}

fn compare(page: &PageRequest) -> Answer {
    let ask = CompareAsk::read(&page.fields)?;
    page.respond(&pages::ComparePage::new(&page.shared, &ask, &page.fields)?)
}

fn search(page: &PageRequest) -> Answer {
    let asked = search_input(&page.fields)?;
    page.respond(&pages::SearchPage::new(&page.shared, asked.as_ref(), &page.fields)?)
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
    /// How much of the text the heads carry, if it is one that was asked about.
    pub(super) carried: Option<Carried>,
}

/// Neighbours of what was asked about, if anything was.
pub(super) fn near(shared: &Shared, access: &dyn RunAccess, ask: &NeighboursAsk) -> Option<Result<Near, WebError>> {
    let (run, request) = (access.run(), &ask.request);
    let asked = ask.input.as_ref()?;
    let found = || -> Result<Near, WebError> {
        // A selection without heads is found out before a forward pass is made for it.
        let heads = run.resolve(&request.heads)?;
        let (mut cut, mut carried) = (false, None);
        let found = match asked {
            QueryInput::Image(image) => run.neighbours(Query::Image(*image), request)?,
            QueryInput::Upload(_) => run.neighbours(Query::Trace(&trace(shared, access, asked)?), request)?,
            QueryInput::Text(text) => {
                let embedded;
                (embedded, cut) = access.model()?.embed(&[text])?.remove(0);
                carried = run.carried(&heads, &embedded)?;
                run.neighbours(Query::Text(&embedded), request)?
            }
        };
        Ok(Near { found, cut, carried })
    };
    Some(found())
}

/// Heat maps of the texts in the image, if there are both.
pub(super) fn maps(shared: &Shared, access: &dyn RunAccess, ask: &SegmentAsk) -> Option<Result<Maps, WebError>> {
    let asked = ask.input.as_ref().filter(|_| !ask.texts.is_empty())?;
    let found = || {
        let run = access.run();
        run.resolve(&ask.heads)?;
        let texts: Vec<&str> = ask.texts.iter().map(String::as_str).collect();
        let embedded = access.model()?.embed(&texts)?;
        let model = || access.model().map_err(WebError::from);
        let subtraction = run.subtraction(&ask.baseline, access.class_names(), model)?;
        Maps::of_texts(run, &trace(shared, access, asked)?, &ask.heads, &ask.texts, &embedded, subtraction)
    };
    Some(found())
}

/// One forward pass of what was asked about.
fn trace(shared: &Shared, access: &dyn RunAccess, asked: &QueryInput) -> Result<ImageTrace, WebError> {
    let image = pixels(shared, access, asked)?;
    Ok(access.model()?.trace(&image, &access.run().layers())?)
}

/// The image that was asked about.
pub(super) fn pixels(shared: &Shared, access: &dyn RunAccess, asked: &QueryInput) -> Result<Arc<RgbImage8>, WebError> {
    match asked {
        QueryInput::Image(index) => {
            access.run().image(*index)?;
            let bytes = access.image_bytes(*index)?;
            Ok(Arc::new(access.decode(&bytes)?))
        }
        QueryInput::Upload(name) => shared.uploads.find(name).ok_or_else(no_upload),
        QueryInput::Text(_) => Err(WebError::question("expected an image, not a text")),
    }
}
