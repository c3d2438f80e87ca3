//! What people say of a run: answers that are kept, conflicts, servers that are killed, requests of other sites.

use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Request, StatusCode, header},
};
use headspan_artifacts::{Table, read_rows, remove};
use headspan_notes::Notes;
use serde_json::Value;

use crate::{
    site::{RUN, Site, shared},
    support::{Failure, Outcome},
};

/// The shared site, its notes for one test at a time and none at its beginning.
struct Alone {
    site: &'static Site,
    _others: MutexGuard<'static, ()>,
}

impl Deref for Alone {
    type Target = Site;

    fn deref(&self) -> &Site {
        self.site
    }
}

fn site() -> Result<Alone, Failure> {
    static ONE: Mutex<()> = Mutex::new(());
    let others = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    remove(&shared().case.run.directory().table(Table::Notes))?;
    Ok(Alone { site: shared(), _others: others })
}

/// Sends a form; the status, the headers and the body.
fn post(
    site: &Site,
    path: &str,
    form: &str,
    headers: &[(&str, &str)],
) -> Result<(StatusCode, HeaderMap, String), Failure> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(HeaderName::try_from(*name)?, *value);
    }
    let (status, headers, body) = site.send(request.body(Body::from(form.to_owned()))?)?;
    Ok((status, headers, String::from_utf8_lossy(&body).into_owned()))
}

fn leads_to(headers: &HeaderMap) -> String {
    headers.get(header::LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default().to_owned()
}

/// A head as it is written.
fn written(head: &Value) -> String {
    format!("L{}.H{}", head["layer"], head["head"])
}

/// The form of the text that is asked about, with an answer.
fn answer(site: &Site, author: &str, at: usize, value: &str) -> Result<String, Failure> {
    let asked = site.json(&format!("{RUN}/review.json?as={author}&at={at}"))?["asked"].take();
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let pick = asked["pick"].as_u64().ok_or("no text is asked about")?;
    let judged = asked["texts"][pick as usize]["text"].as_str().unwrap_or_default().to_owned();
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("as", author)
        .append_pair("head", &written(&asked["head"]))
        .append_pair("property", &text("property"));
    form.append_pair("at", &at.to_string()).append_pair("pick", &pick.to_string());
    form.append_pair("seen", &asked["seen"].to_string()).append_pair("text", &judged).append_pair("value", value);
    Ok(form.finish())
}

#[test]
fn answers_are_kept_one_by_one_and_the_review_goes_on_where_it_stopped() -> Outcome {
    let site = site()?;
    let (status, welcome) = site.get(&format!("{RUN}/review"))?;
    assert!(status == StatusCode::OK && welcome.contains("Your name"), "{welcome}");
    for (at, value) in [(0, "1"), (1, "0"), (2, "u")] {
        let (status, headers, _) = post(&site, &format!("{RUN}/review"), &answer(&site, "anna", at, value)?, &[])?;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert_eq!(leads_to(&headers), format!("{RUN}/review?as=anna&at={}", at + 1));
        let cookie = headers.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok()).unwrap_or_default();
        assert!(cookie.starts_with("headspan-name=anna;") && cookie.contains("SameSite=Strict"), "{cookie}");
    }
    // A tab that was closed: the address without a place.
    let review = site.json(&format!("{RUN}/review.json?as=anna"))?;
    assert_eq!((review["answered"].as_u64(), review["asked"]["at"].as_u64()), (Some(3), Some(3)));
    // The file has each answer: a killed server loses none.
    let rows = Notes::read(site.case.run.directory())?;
    let values: Vec<_> = rows.rows().iter().map(|row| row.value.as_deref()).collect();
    assert_eq!(values, [Some("fits"), Some("not"), None]);
    let labels = read_rows::<headspan_artifacts::LabelRow>(&site.case.run.directory().table(Table::Labels))?;
    assert!(labels.iter().all(|row| row.labeller != "anna"), "the run's own tables are as they were");
    Ok(())
}

#[test]
fn two_tabs_that_contradict_each_other_are_shown_and_neither_is_lost() -> Outcome {
    let site = site()?;
    let path = format!("{RUN}/review");
    let (one, other) = (answer(&site, "anna", 0, "1")?, answer(&site, "anna", 0, "0")?);
    post(&site, &path, &one, &[])?;
    let (status, headers, _) = post(&site, &path, &other, &[])?;
    assert_eq!((status, leads_to(&headers)), (StatusCode::SEE_OTHER, format!("{RUN}/review?as=anna&at=0")));
    let (_, page) = site.get(&leads_to(&headers))?;
    assert!(page.contains("Different answers stand") && page.contains("does not fit"), "{page}");
    let review = site.json(&format!("{RUN}/review.json?as=anna&at=0"))?;
    assert_eq!((review["answered"].as_u64(), review["asked"]["said"].as_array().map(Vec::len)), (Some(0), Some(2)));
    // A program is told by the status.
    let (status, _, said) = post(&site, &format!("{RUN}/review.json"), &other, &[])?;
    assert_eq!((status, said.contains("\"conflict\":true")), (StatusCode::CONFLICT, true), "{said}");
    // Who has seen both chooses.
    let (_, headers, _) = post(&site, &path, &answer(&site, "anna", 0, "1")?, &[])?;
    assert_eq!(leads_to(&headers), format!("{RUN}/review?as=anna&at=1"));
    let rows = Notes::read(site.case.run.directory())?;
    assert_eq!(rows.rows().len(), 4, "all that was said is kept");
    assert_eq!(rows.standing().values().next().and_then(headspan_notes::Standing::value), Some("fits"));
    // Another person is another labeller, not a conflict.
    let (_, headers, _) = post(&site, &path, &answer(&site, "ben", 0, "0")?, &[])?;
    assert_eq!(leads_to(&headers), format!("{RUN}/review?as=ben&at=1"));
    let agreement = site.json(&format!("{RUN}/agreement.json"))?;
    let differ = &agreement["disagreements"][0];
    assert!(
        differ["fits_not"].to_string().contains("ben") && differ["fits"].to_string().contains("anna"),
        "{agreement}"
    );
    Ok(())
}

#[test]
fn heads_are_named_without_their_label() -> Outcome {
    let site = site()?;
    let review = site.json(&format!("{RUN}/review.json?as=anna&blind=1&at=1"))?;
    let asked = &review["asked"];
    assert!(asked["property"].is_null() && asked["labeller"].is_null(), "{asked}");
    assert!(asked["offered"].as_array().is_some_and(|names| names.len() == 2), "{asked}");
    let head = written(&asked["head"]);
    let form = format!("as=anna&blind=1&at=1&seen=0&head={head}&value=weather");
    let (status, headers, _) = post(&site, &format!("{RUN}/review"), &form, &[])?;
    assert_eq!((status, leads_to(&headers)), (StatusCode::SEE_OTHER, format!("{RUN}/review?as=anna&blind=1&at=2")));
    let agreement = site.json(&format!("{RUN}/agreement.json"))?;
    assert!(agreement["agreements"].to_string().contains("names"), "{agreement}");
    let (status, page) = site.get(&format!("{RUN}/review?as=anna&blind=1&at=1"))?;
    assert!(status == StatusCode::OK && page.contains("You said"), "{page}");
    Ok(())
}

#[test]
fn notes_on_a_head_are_added_listed_and_taken_back() -> Outcome {
    let site = site()?;
    let head = format!("{RUN}/head/L3.H3");
    for form in [
        "as=anna&action=confirm",
        "as=ben&action=rename&value=reds",
        "as=anna&action=comment&value=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "as=anna&action=tag&value=odd,+to+check",
        "as=anna&action=list&value=paper",
    ] {
        let (status, headers, said) = post(&site, &head, form, &[])?;
        assert_eq!((status, leads_to(&headers)), (StatusCode::SEE_OTHER, format!("{head}#notes")), "{form}: {said}");
    }
    let (_, page) = site.get(&head)?;
    for says in ["label confirmed", "renamed to", "# to check", "on the list", "&lt;script&gt;alert(1)"] {
        assert!(page.contains(says), "{says} is not in {page}");
    }
    assert!(!page.contains("<script>alert"));
    let notes = site.json(&format!("{RUN}/notes.json?tag=odd"))?;
    assert_eq!(notes["tags"]["odd"].as_u64(), Some(1));
    assert_eq!(notes["notes"].as_array().map(Vec::len), Some(6), "{notes}");
    post(&site, &head, "as=anna&action=untag&key=odd", &[])?;
    assert!(site.json(&format!("{RUN}/notes.json"))?["tags"]["odd"].is_null());
    // A saved view, and one that would lead elsewhere.
    let (status, _, _) =
        post(&site, &format!("{RUN}/notes"), "as=anna&action=save&name=reds&view=%2F%3Fproperty%3Dcolors", &[])?;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(site.get(&format!("{RUN}/notes"))?.1.contains("href=\"/?property=colors\""));
    let (status, _, _) =
        post(&site, &format!("{RUN}/notes"), "as=anna&action=save&name=x&view=https%3A%2F%2Fevil.example", &[])?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[test]
fn what_other_sites_and_bad_forms_send_changes_nothing() -> Outcome {
    let site = site()?;
    let (path, form) = (format!("{RUN}/review"), answer(&site, "anna", 0, "1")?);
    for foreign in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ],
        &[("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(post(&site, &path, &form, foreign)?.0, StatusCode::FORBIDDEN, "{foreign:?}");
        assert_eq!(post(&site, &format!("{RUN}/head/L3.H3"), "as=a&action=confirm", foreign)?.0, StatusCode::FORBIDDEN);
        assert_eq!(
            post(&site, &format!("{RUN}/notes"), "as=a&action=save&name=a&view=/", foreign)?.0,
            StatusCode::FORBIDDEN
        );
    }
    let plain = Request::post(&path).header(header::CONTENT_TYPE, "text/plain").body(Body::from(form.clone()))?;
    assert_eq!(site.send(plain)?.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let long = format!("{form}&value={}", "a".repeat(70_000));
    assert_eq!(post(&site, &path, &long, &[])?.0, StatusCode::PAYLOAD_TOO_LARGE);
    for (wrong, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("as=anna", StatusCode::BAD_REQUEST),
        ("as=lexicon&head=L3.H3&property=a&text=b&value=1", StatusCode::BAD_REQUEST),
        ("as=anna&head=L9.H9&property=a&text=b&value=1", StatusCode::NOT_FOUND),
        ("as=anna&head=L3.H3&property=a&text=b&value=maybe", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(post(&site, &path, wrong, &[])?.0, status, "{wrong}");
    }
    assert_eq!(post(&site, &format!("{RUN}/images"), "as=anna", &[])?.0, StatusCode::METHOD_NOT_ALLOWED);
    assert!(Notes::read(site.case.run.directory())?.rows().is_empty());
    Ok(())
}

#[test]
fn answers_about_texts_that_are_gone_are_kept_and_said_to_be_older() -> Outcome {
    let site = site()?;
    let head = written(&site.json(&format!("{RUN}/review.json?as=anna&at=0"))?["asked"]["head"]);
    let form = format!("as=anna&head={head}&pick=0&property=colors&text=a+text+of+before&value=1&at=0&seen=0");
    post(&site, &format!("{RUN}/review"), &form, &[])?;
    let review = site.json(&format!("{RUN}/review.json?as=anna"))?;
    assert_eq!((review["answered"].as_u64(), review["older"].as_u64()), (Some(0), Some(1)));
    let (_, page) = site.get(&format!("{RUN}/review?as=anna&at=0"))?;
    assert!(page.contains("1 answer of an older state"), "{page}");
    let notes = site.json(&format!("{RUN}/notes.json?older=1"))?;
    assert_eq!(notes["notes"][0]["key"].as_str(), Some("a text of before"));
    Ok(())
}
