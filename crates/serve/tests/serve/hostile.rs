//! What the pages answer when asked for what is not there, or by somebody who means harm.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use headspan_images::RgbImage8;
use headspan_query::png;
use headspan_serve::ExplorerSettings;
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    site::{RUN, Site, shared},
    support::{Failure, Outcome, SKIPPED, scene},
};

#[test]
fn what_cannot_be_uploaded_is_refused() -> Outcome {
    let site = Site::new(ExplorerSettings { upload_bytes: 100_000, ..ExplorerSettings::default() })?;
    let next = format!("{RUN}/segment");
    let file = png(&scene(6).0)?;
    for (file, next, expected) in [
        (&b"not an image"[..], next.as_str(), StatusCode::UNPROCESSABLE_ENTITY),
        (&file[..file.len() / 2], &next, StatusCode::UNPROCESSABLE_ENTITY),
        (&[], &next, StatusCode::BAD_REQUEST),
        (&vec![7; 200_000], &next, StatusCode::PAYLOAD_TOO_LARGE),
        (&file, "https://elsewhere.example/", StatusCode::BAD_REQUEST),
        (&file, "//elsewhere.example/r/", StatusCode::BAD_REQUEST),
    ] {
        let (status, said) = site.upload(file, next)?;
        assert_eq!(status, expected, "{said}");
    }
    // A hundred megapixels in a few bytes: refused by the header alone.
    let huge = RgbImage8 { width: 10_000, height: 1_000, data: vec![0; 30_000_000] };
    let huge = png(&huge)?;
    assert!(huge.len() < 100_000, "{}", huge.len());
    let (status, said) = site.upload(&huge, &next)?;
    assert_eq!((status, said.contains("pixels")), (StatusCode::UNPROCESSABLE_ENTITY, true), "{said}");
    assert_eq!(site.get("/")?.0, StatusCode::OK, "the server goes on");
    Ok(())
}

#[test]
fn bad_questions_have_clear_answers() -> Outcome {
    let site = shared();
    let long = "a".repeat(10_000);
    for (path, status, says) in [
        ("/r/scenes/nobody/neighbours".to_owned(), 404, "no run `scenes/nobody` is shown; there are scenes/scenes-4"),
        (format!("{RUN}/head/L9.H0"), 404, "head L9.H0 was not extracted"),
        (format!("{RUN}/head/colors"), 404, "`colors` is not a head"),
        (format!("{RUN}/neighbours?heads=tastes&image=1"), 404, "no head of the run"),
        (format!("{RUN}/neighbours?heads=tastes&text=a"), 404, "no head of the run"),
        (format!("{RUN}/neighbours?heads=tastes"), 404, "no head of the run"),
        (format!("{RUN}/segment?heads=L9.H0"), 404, "was not extracted"),
        (format!("{RUN}/neighbours?image=1&count=NaN"), 400, "count: `NaN` is not a number"),
        (format!("{RUN}/neighbours?image=999"), 404, "no extracted image `#999`"),
        (format!("{RUN}/neighbours?image={SKIPPED}"), 404, "no extracted image `007.png`"),
        (format!("{RUN}/neighbours?image=1&class=zebra"), 404, "has the class `zebra`"),
        (format!("{RUN}/neighbours?text={long}"), 400, "a text of 10000 characters"),
        (format!("{RUN}/neighbours?upload=0123456789abcdef01234567"), 404, "no longer here"),
        (format!("{RUN}/segment?image=2000"), 404, "no extracted image `#2000`"),
        (format!("{RUN}/segment?upload=0123456789abcdef01234567"), 404, "no longer here"),
        (format!("{RUN}/why?image=1&neighbour=2&similarity=euclid"), 400, "neither cosine nor dot"),
        (format!("{RUN}/segment?image={SKIPPED}&text=a"), 503, "the image is damaged"),
        (format!("{RUN}/why?image=1"), 400, "neighbour: the position"),
        (format!("{RUN}/image/../../etc/passwd"), 404, "no such"),
        (format!("{RUN}/image/x"), 404, "no such image"),
        ("/assets/../Cargo.toml".to_owned(), 404, "no such page"),
        ("/nowhere".to_owned(), 404, "no such page"),
    ] {
        let (found, page) = site.get(&path)?;
        assert_eq!(found.as_u16(), status, "{path}: {page}");
        assert!(page.contains(says), "{path}: {says:?} is not in {page}");
    }
    let (status, body) = site.get(&format!("{RUN}/neighbours.json?heads=tastes&image=1"))?;
    let body: Value = serde_json::from_str(&body)?;
    assert_eq!((status, body["status"].as_u64()), (StatusCode::NOT_FOUND, Some(404)));
    Ok(())
}

#[test]
fn what_is_asked_is_never_markup() -> Outcome {
    let site = shared();
    let attack = "%3Cscript%3Ealert(1)%3C/script%3E%22%27";
    for path in [
        format!("{RUN}/neighbours?heads=shapes&text={attack}"),
        format!("{RUN}/segment?image=1&text={attack}"),
        format!("{RUN}/neighbours?heads={attack}&image=1"),
        format!("/?text={attack}&property={attack}"),
    ] {
        assert!(!site.get(&path)?.1.contains("<script>alert"), "{path}");
    }
    Ok(())
}

#[test]
fn pages_keep_to_themselves() -> Outcome {
    let token = ExplorerSettings { token: Some("secret".to_owned()), ..ExplorerSettings::default() };
    let site = Site::new(token)?;
    let (status, headers, _) = site.send(Request::get("/").body(Body::empty())?)?;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    Ok(())
}

#[test]
fn a_token_is_given_by_a_program_or_a_browser() -> Outcome {
    let site = Site::new(ExplorerSettings { token: Some("secret".to_owned()), ..ExplorerSettings::default() })?;
    let (_, headers, page) = site.send(Request::get("/").body(Body::empty())?)?;
    let schemes: Vec<&[u8]> =
        headers.get_all(header::WWW_AUTHENTICATE).iter().map(|scheme| scheme.as_bytes()).collect();
    assert!(schemes.contains(&&b"Bearer"[..]), "for programs");
    assert!(schemes.iter().any(|scheme| scheme.starts_with(b"Basic realm=\"headspan\"")), "for browsers");
    let page = String::from_utf8(page)?;
    assert!(page.contains("asks for a token") && !page.contains("/assets/"), "what it would load is refused: {page}");
    let (status, body) = site.get("/index.json")?;
    let body: Value = serde_json::from_str(&body)?;
    assert_eq!((status, body["status"].as_u64()), (StatusCode::UNAUTHORIZED, Some(401)));
    for (given, expected) in [
        ("Bearer wrong", StatusCode::UNAUTHORIZED),
        ("Bearer secret", StatusCode::OK),
        // anybody:secret, :secret, anybody:wrong, secret:
        ("Basic YW55Ym9keTpzZWNyZXQ=", StatusCode::OK),
        ("basic OnNlY3JldA==", StatusCode::OK),
        ("Basic YW55Ym9keTp3cm9uZw==", StatusCode::UNAUTHORIZED),
        ("Basic c2VjcmV0Og==", StatusCode::UNAUTHORIZED),
        ("Basic secret", StatusCode::UNAUTHORIZED),
        ("Basic", StatusCode::UNAUTHORIZED),
        ("secret", StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::get("/").header(header::AUTHORIZATION, given).body(Body::empty())?;
        assert_eq!(site.send(request)?.0, expected, "{given}");
    }
    Ok(())
}

#[test]
fn an_error_leads_on() -> Outcome {
    let site = shared();
    let (_, page) = site.get(&format!("{RUN}/neighbours?heads=tastes&image=1"))?;
    assert!(page.contains(&format!("href=\"{RUN}/images\"")), "the pages of the run");
    assert!(page.contains(&format!("<a href=\"{RUN}/neighbours\">Back to the question")), "{page}");
    let (_, page) = site.get("/compare?count=x")?;
    assert!(page.contains("<a href=\"/compare\">Back to the question"), "{page}");
    let (_, page) = site.get(&format!("{RUN}/head/L9.H0"))?;
    assert!(page.contains(&format!("href=\"{RUN}/images\"")) && !page.contains("Back to"), "{page}");
    let (_, page) = site.get("/r/scenes/nobody/neighbours?heads=all")?;
    assert!(!page.contains("/r/scenes/nobody"), "there is no such run to lead to");
    let (_, said) = site.upload(&[], &format!("{RUN}/segment"))?;
    assert!(said.contains("the file is empty"), "{said}");
    Ok(())
}

#[test]
fn too_many_questions_are_turned_away() -> Outcome {
    let site = Site::new(ExplorerSettings { accepted: 0, ..ExplorerSettings::default() })?;
    let (status, page) = site.get("/")?;
    assert_eq!((status, page.contains("ask again")), (StatusCode::TOO_MANY_REQUESTS, true));
    Ok(())
}

/// Names and values that mean something in one place or another, and some that do not.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "heads",
        "text",
        "image",
        "upload",
        "count",
        "similarity",
        "class",
        "farthest",
        "shading",
        "neighbour",
        "baseline",
        "baseline_text",
        "next",
        "from",
        "find",
        "by",
        "run",
        "analysis",
        "direction",
        "x",
        "y",
        "property",
        "consistent",
        "L3.H3",
        "L9",
        "all",
        "shapes",
        "3",
        "7",
        "-1",
        "NaN",
        "1e999",
        "18446744073709551615",
        "cosine",
        "patches",
        "segment",
        "0123456789abcdef01234567",
        "../../etc/passwd",
        "%00",
        "%ff%fe",
        "<script>",
        "a tree",
    ];
    prop_oneof![4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_question_breaks_the_server(
        page in proptest::sample::select(vec![
            "/", "/index.json", "/compare", "/compare.parquet", "/search", "/search.json", "/r/scenes/scenes-4/neighbours", "/r/scenes/scenes-4/segment.json",
            "/r/scenes/scenes-4/why", "/r/scenes/scenes-4/images", "/r/scenes/scenes-4/head/L3.H3", "/r/scenes/scenes-4/head/",
            "/r/scenes/scenes-4/image/", "/r/scenes/scenes-4/seen/", "/upload/", "/assets/",
        ]),
        tail in piece(),
        fields in proptest::collection::vec((piece(), piece()), 0..6),
    ) {
        let site = shared();
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let tail = if page.ends_with('/') && page.len() > 1 { encoded(&tail) } else { String::new() };
        let query: Vec<String> = fields.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        let path = format!("{page}{tail}?{}", query.join("&"));
        let request = Request::get(&path).body(Body::empty()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (status, _, _) = site.send(request).map_err(|error| TestCaseError::fail(error.to_string()))?;
        // 503 is the damaged image of the data set; anything else above 499 is a fault of ours.
        prop_assert!(!status.is_server_error() || status == StatusCode::SERVICE_UNAVAILABLE, "{path}: {status}");
    }

    #[test]
    fn no_file_breaks_the_server(
        place in proptest::num::usize::ANY,
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..40),
        length in 0_usize..4_000,
        next in piece(),
    ) {
        let site = shared();
        let failed = |error: Failure| TestCaseError::fail(error.to_string());
        let mut file = png(&scene(6).0).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for (step, byte) in bytes.iter().enumerate() {
            let at = place.wrapping_add(step * 131) % file.len();
            file[at] = *byte;
        }
        file.truncate(file.len().saturating_sub(length).max(1));
        let (status, said) = site.upload(&file, &format!("{RUN}/segment?{next}")).map_err(failed)?;
        prop_assert!(!status.is_server_error(), "{status} {said}");
    }
}
