//! What people send: judgements, names, notes on heads, saved views. Each is on the disk before it is answered.

use axum::{
    Json,
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use headspan_artifacts::{HeadId, NoteKind};
use headspan_notes::{FITS, FITS_NOT, NewNote, Notes, author_name, state_of};
use headspan_query::HeadSelection;
use serde_json::json;

use super::{Items, Mode, People, author, first_texts};
use crate::{
    app::head_path,
    ask::Fields,
    error::WebError,
    page_request::{Answer, Form, PageRequest},
    pages::urlencoded,
};

/// Longest comment, in characters.
const LONGEST_COMMENT: usize = 4_000;
/// Longest name of a property, tag, list or view, in characters.
const LONGEST: usize = 200;
/// Largest form, in bytes.
const LARGEST: usize = 64 << 10;

type Added = Result<(Response, String), WebError>;

/// What is sent to a page of a run.
pub(crate) async fn on_run(page: PageRequest, headers: HeaderMap, body: Bytes) -> Answer {
    match page.name("page") {
        "review" => on_review(page, headers, body).await,
        "notes" => on_notes(page, headers, body).await,
        _ => Err(WebError::new(StatusCode::METHOD_NOT_ALLOWED, "this page takes nothing in").in_form(page.form)),
    }
}

/// An answer of a review: the next thing to answer follows, or the same again where two answers contradict each other.
async fn on_review(page: PageRequest, headers: HeaderMap, body: Bytes) -> Answer {
    taken(page, &headers, &body, |page, fields| {
        let run = page.access()?.run();
        let author = author_of(page, fields)?;
        let head = head_of(page, fields)?;
        let mode = if fields.get("blind").is_some() { Mode::Blind } else { Mode::Judge };
        let at = fields.optional_number::<usize>("at")?.unwrap_or(0);
        let seen = fields.optional_number::<u64>("seen")?.unwrap_or(0);
        let texts = first_texts(&page.shared, run);
        let state = state_of(texts.get(&head).into_iter().flatten().map(String::as_str));
        let note = match mode {
            Mode::Judge => judgement(&author, fields)?,
            Mode::Blind => {
                let note = NewNote::of(&author, NoteKind::Name);
                if fields.get("undecided").is_some() { note } else { note.value(&short(fields, "value")?) }
            }
        };
        let added = Notes::add(run.directory(), vec![note.head(head).state(&state).seen(seen)])?;
        let conflict = !added.conflicts.is_empty();
        if page.form == Form::Json {
            let said = json!({ "revision": added.notes.revision(), "conflict": conflict });
            let status = if conflict { StatusCode::CONFLICT } else { StatusCode::OK };
            return Ok(((status, Json(said)).into_response(), author));
        }
        let people = People { standing: added.notes.standing(), notes: added.notes, texts };
        let items = Items::of(&people, run, mode);
        let next = if conflict { Some(at) } else { items.progress(&people, &author, at + 1).1 };
        let place = next.map(|next| format!("&at={next}")).unwrap_or_default();
        let target = format!("/r/{}/review?as={}{}{place}", run.name(), urlencoded(&author), mode.query());
        Ok((Redirect::to(&target).into_response(), author))
    })
    .await
}

/// A note on a head, from its page.
pub(crate) async fn on_head(page: PageRequest, headers: HeaderMap, body: Bytes) -> Answer {
    taken(page, &headers, &body, |page, fields| {
        let run = page.access()?.run();
        let author = author_of(page, fields)?;
        let HeadSelection::Head(head) = page.name("page").parse()? else {
            return Err(WebError::absent("no such head"));
        };
        run.readout(head)?;
        let texts = first_texts(&page.shared, run);
        let state = state_of(texts.get(&head).into_iter().flatten().map(String::as_str));
        let label = run.label(head).and_then(|label| label.property.clone());
        let notes = of_head(&author, label.as_deref(), fields)?;
        let notes = notes.into_iter().map(|note| note.head(head).state(&state)).collect();
        Notes::add(run.directory(), notes)?;
        Ok((Redirect::to(&format!("{}#notes", head_path(&run.name(), head))).into_response(), author))
    })
    .await
}

/// A view that is saved under a name, or taken off.
async fn on_notes(page: PageRequest, headers: HeaderMap, body: Bytes) -> Answer {
    taken(page, &headers, &body, |page, fields| {
        let run = page.access()?.run();
        let author = author_of(page, fields)?;
        let view = NewNote::of(&author, NoteKind::View).key(&short(fields, "name")?);
        let view = match fields.get("action") {
            Some("save") => view.value(&own_page(fields.get("view").unwrap_or_default())?),
            Some("remove") => view,
            _ => return Err(WebError::question("action: expected save or remove")),
        };
        Notes::add(run.directory(), vec![view])?;
        Ok((Redirect::to(&format!("/r/{}/notes#views", run.name())).into_response(), author))
    })
    .await
}

/// Reads a form, off the async threads does what it says, and keeps the name of who sent it.
async fn taken(
    page: PageRequest,
    headers: &HeaderMap,
    body: &Bytes,
    does: impl FnOnce(&PageRequest, &Fields) -> Added + Send + 'static,
) -> Answer {
    let form = page.form;
    let fields = fields(headers, body).map_err(|error| error.in_form(form))?;
    page.answer(move |page| {
        let (mut response, author) = does(page, &fields)?;
        if let Some(cookie) = author::kept(&author) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    })
    .await
}

fn fields(headers: &HeaderMap, body: &Bytes) -> Result<Fields, WebError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        let message = "a form is sent as application/x-www-form-urlencoded";
        return Err(WebError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if body.len() > LARGEST {
        return Err(WebError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("at most {} KiB are taken in", LARGEST >> 10),
        ));
    }
    let text = std::str::from_utf8(body).map_err(|_not_utf8| WebError::question("the form is not text in UTF-8"))?;
    Ok(Fields::read(Some(text)))
}

/// Who sends a form: the name in it, else the one in the cookie, else the one that the server was started with.
fn author_of(page: &PageRequest, fields: &Fields) -> Result<String, WebError> {
    let given = fields.get("as").map(str::to_owned).or_else(|| page.known_author());
    let given = given.ok_or_else(|| WebError::question("as: say who you are; answers are kept under a name"))?;
    Ok(author_name(&given)?)
}

fn head_of(page: &PageRequest, fields: &Fields) -> Result<HeadId, WebError> {
    let HeadSelection::Head(head) = fields.get("head").unwrap_or_default().parse()? else {
        return Err(WebError::question("head: expected a head such as L3.H5"));
    };
    page.access()?.run().readout(head)?;
    Ok(head)
}

fn judgement(author: &str, fields: &Fields) -> Result<NewNote, WebError> {
    let property = short(fields, "property")?;
    // Texts of a pool may be long; they are sent back as they were shown.
    let text = fields.get("text").ok_or_else(|| WebError::question("text: the text that is judged"))?;
    let note = NewNote::of(author, NoteKind::Judgement).property(Some(&property)).key(text);
    let note = note.pick(fields.optional_number::<u32>("pick")?.unwrap_or(0));
    match fields.get("value") {
        Some("1" | FITS) => Ok(note.value(FITS)),
        Some("0" | FITS_NOT) => Ok(note.value(FITS_NOT)),
        Some("u" | "undecided") => Ok(note),
        _ => Err(WebError::question("value: expected 1 (fits), 0 (does not fit) or u (undecided)")),
    }
}

/// What a form on a head's page says.
fn of_head(author: &str, label: Option<&str>, fields: &Fields) -> Result<Vec<NewNote>, WebError> {
    let of = |kind| NewNote::of(author, kind);
    let named = |kind, key: &str| of(kind).key(key);
    match fields.get("action") {
        Some("confirm") => {
            let label = label.ok_or_else(|| WebError::question("the head has no label to confirm"))?;
            Ok(vec![of(NoteKind::Label).property(Some(label)).value(label)])
        }
        Some("rename") => Ok(vec![of(NoteKind::Label).property(label).value(&short(fields, "value")?)]),
        Some("unlabel") => Ok(vec![of(NoteKind::Label).property(label)]),
        Some("comment") => {
            let text = fields.get("value").unwrap_or_default().trim();
            if text.is_empty() || text.chars().count() > LONGEST_COMMENT {
                return Err(WebError::question(format!("a comment has 1 to {LONGEST_COMMENT} characters")));
            }
            Ok(vec![of(NoteKind::Comment).value(text)])
        }
        Some("uncomment") => Ok(vec![named(NoteKind::Comment, &short(fields, "key")?)]),
        // Several at once, as one types them.
        Some("tag") => Ok(split(&short(fields, "value")?).map(|tag| named(NoteKind::Tag, tag).value("on")).collect()),
        Some("untag") => Ok(vec![named(NoteKind::Tag, &short(fields, "key")?)]),
        Some("list") => Ok(vec![named(NoteKind::List, &short(fields, "value")?).value("on")]),
        Some("unlist") => Ok(vec![named(NoteKind::List, &short(fields, "key")?)]),
        _ => Err(WebError::question("action: confirm, rename, comment, tag or list")),
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// A field that must be there and short.
fn short(fields: &Fields, key: &str) -> Result<String, WebError> {
    let text = fields.get(key).map(str::trim).unwrap_or_default();
    let plain = !text.chars().any(char::is_control);
    if text.is_empty() || text.chars().count() > LONGEST || !plain {
        return Err(WebError::question(format!("{key}: expected 1 to {LONGEST} characters in one line")));
    }
    Ok(text.to_owned())
}

/// A page of this explorer by its path and query; a link elsewhere must not pass for a saved view.
fn own_page(view: &str) -> Result<String, WebError> {
    let view = view.trim();
    let plain = view.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    let is_own = view.starts_with('/') && !view.starts_with("//") && !view.starts_with("/upload");
    if !plain || !is_own || view.len() > 4_000 {
        return Err(WebError::question("view: expected the address of a page here, such as /r/scenes/scenes-4/images"));
    }
    Ok(view.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_a_page_of_this_explorer() {
        assert!(own_page("/r/scenes/scenes-4/segment?text=a+b").is_ok() && own_page("/").is_ok());
        for elsewhere in ["", "https://a.example/", "//a.example", "/\\a.example", "/é", "/a b", "/upload/x"] {
            assert!(own_page(elsewhere).is_err(), "{elsewhere}");
        }
    }
}
