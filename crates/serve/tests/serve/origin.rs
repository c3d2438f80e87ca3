//! Who is answered: requests to this server by a name that is its own, and from its own pages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::{
    body::Body,
    http::{HeaderName, Method, Request, StatusCode, header},
};
use headspan_query::png;
use headspan_serve::ExplorerSettings;
use serde_json::Value;

use crate::{
    site::{RUN, Site, form, shared},
    support::{Failure, Outcome, scene},
};

const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";
const FETCH_DEST: &str = "sec-fetch-dest";

/// Status of a question with exactly these headers.
fn asked(site: &Site, headers: &[(&str, &str)]) -> Result<StatusCode, Failure> {
    let mut request = Request::get(format!("{RUN}/images.json"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(site.send_as_it_is(request.body(Body::empty())?)?.0)
}

/// Status of an upload to `localhost:8080` with these headers.
fn posted(site: &Site, headers: &[(&str, &str)]) -> Result<StatusCode, Failure> {
    let mut request = form(&png(&scene(6).0)?, &format!("{RUN}/segment"))?;
    request.headers_mut().insert(header::HOST, "localhost:8080".parse()?);
    for (name, value) in headers {
        request.headers_mut().insert(HeaderName::try_from(*name)?, value.parse()?);
    }
    Ok(site.send(request)?.0)
}

fn listening(listen: impl Into<IpAddr>, names: &[&str]) -> Result<Site, Failure> {
    let host_names = names.iter().map(|name| (*name).to_owned()).collect();
    Site::new(ExplorerSettings { listen: listen.into(), host_names, ..ExplorerSettings::default() })
}

#[test]
fn a_name_that_was_rebound_reads_nothing() -> Outcome {
    let site = shared();
    for host in
        ["localhost", "localhost:8080", "LocalHost:1", "localhost.", "127.0.0.1:7478", "[::1]:7478", "127.0.0.2"]
    {
        assert_eq!(asked(site, &[("host", host)])?, StatusCode::OK, "{host}");
    }
    for host in [
        "rebound.example",
        "rebound.example:7478",
        "localhost.rebound.example",
        "127.0.0.1.rebound.example:7478",
        "rebound.example.",
        "0.0.0.0:7478",
        "192.168.0.1",
        "[2001:db8::1]:7478",
    ] {
        assert_eq!(asked(site, &[("host", host)])?, StatusCode::MISDIRECTED_REQUEST, "{host}");
        let trusted = [("host", host), ("x-forwarded-host", "localhost"), ("forwarded", "host=localhost")];
        assert_eq!(asked(site, &trusted)?, StatusCode::MISDIRECTED_REQUEST, "{host} with headers that anybody may set");
    }
    assert_eq!(asked(site, &[("host", "localhost"), ("x-forwarded-host", "rebound.example")])?, StatusCode::OK);
    Ok(())
}

#[test]
fn a_request_names_its_host_once() -> Outcome {
    let site = shared();
    for headers in [
        &[][..],
        &[("host", "")],
        &[("host", "localhost"), ("host", "localhost")],
        &[("host", "user@localhost")],
        &[("host", "localhost:port")],
        &[("host", "local host")],
    ] {
        let status = asked(site, headers)?;
        assert!(matches!(status, StatusCode::BAD_REQUEST | StatusCode::MISDIRECTED_REQUEST), "{headers:?}: {status}");
    }
    // In absolute form the target has a host as well.
    let absolute = |target: &str| -> Result<StatusCode, Failure> {
        let request = Request::get(target).header(header::HOST, "localhost:7478").body(Body::empty())?;
        Ok(site.send_as_it_is(request)?.0)
    };
    assert_eq!(absolute("http://localhost:7478/index.json")?, StatusCode::OK);
    assert_eq!(absolute("http://rebound.example/index.json")?, StatusCode::MISDIRECTED_REQUEST);
    Ok(())
}

#[test]
fn an_address_and_given_names_are_answered_where_they_are_listened_on() -> Outcome {
    let everywhere = listening(Ipv4Addr::UNSPECIFIED, &["gpu-7.example.org"])?;
    for host in
        ["192.168.0.1:7478", "[2001:db8::1]:7478", "localhost:8080", "GPU-7.example.org:7478", "gpu-7.example.org."]
    {
        assert_eq!(asked(&everywhere, &[("host", host)])?, StatusCode::OK, "{host}");
    }
    assert_eq!(asked(&everywhere, &[("host", "gpu-8.example.org")])?, StatusCode::MISDIRECTED_REQUEST);
    let six = listening(Ipv6Addr::UNSPECIFIED, &[])?;
    assert_eq!(asked(&six, &[("host", "192.168.0.1")])?, StatusCode::OK);
    assert_eq!(asked(&six, &[("host", "gpu-7.example.org")])?, StatusCode::MISDIRECTED_REQUEST);
    let one = listening(Ipv4Addr::new(192, 168, 0, 1), &[])?;
    assert_eq!(asked(&one, &[("host", "192.168.0.1:7478")])?, StatusCode::OK);
    assert_eq!(asked(&one, &[("host", "192.168.0.2:7478")])?, StatusCode::MISDIRECTED_REQUEST);
    Ok(())
}

#[test]
fn only_own_pages_post() -> Outcome {
    let site = shared();
    for own in [
        // A program.
        &[][..],
        &[("origin", "http://localhost:8080")],
        &[("origin", "http://localhost:8080"), (FETCH_SITE, "same-origin")],
        &[("origin", "http://LOCALHOST:8080"), (FETCH_SITE, "none")],
    ] {
        assert_eq!(posted(site, own)?, StatusCode::SEE_OTHER, "{own:?}");
    }
    for foreign in [
        &[("origin", "null")][..],
        &[("origin", "")],
        &[("origin", "http://evil.example")],
        &[
            ("origin", "http://evil.example"),
            (FETCH_SITE, "cross-site"),
            (FETCH_MODE, "navigate"),
            (FETCH_DEST, "document"),
        ],
        // Another server of this machine.
        &[("origin", "http://localhost:3000"), (FETCH_SITE, "same-site")],
        &[("origin", "http://localhost:3000")],
        &[("origin", "http://localhost.evil.example:8080")],
        &[("origin", "localhost:8080")],
        &[(FETCH_SITE, "cross-site")],
        &[(FETCH_SITE, "same-site")],
        &[("origin", "http://evil.example"), (FETCH_SITE, "same-origin")],
    ] {
        assert_eq!(posted(site, foreign)?, StatusCode::FORBIDDEN, "{foreign:?}");
    }
    // What asks whether it may post is told nothing.
    let preflight =
        Request::builder().method(Method::OPTIONS).uri("/upload").header(header::ORIGIN, "http://evil.example");
    let (status, headers, _) = site.send(preflight.body(Body::empty())?)?;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    Ok(())
}

#[test]
fn a_proxy_serves_under_a_name_that_was_given() -> Outcome {
    let site = listening(Ipv4Addr::LOCALHOST, &["hub.example.org"])?;
    assert_eq!(asked(&site, &[("host", "hub.example.org")])?, StatusCode::OK);
    // A proxy that passes the name on, and one that replaces it by its own.
    for host in ["hub.example.org", "127.0.0.1:7478"] {
        let own = [("host", host), ("origin", "https://hub.example.org"), (FETCH_SITE, "same-origin")];
        assert_eq!(posted(&site, &own)?, StatusCode::SEE_OTHER, "{host}");
    }
    let unknown = [("host", "127.0.0.1:7478"), ("origin", "https://hub.example.org")];
    assert_eq!(posted(shared(), &unknown)?, StatusCode::FORBIDDEN, "without the name it is another site");
    Ok(())
}

#[test]
fn another_site_leads_here_and_embeds_nothing() -> Outcome {
    let site = shared();
    let from_elsewhere = |mode, dest| {
        asked(site, &[("host", "localhost"), (FETCH_SITE, "cross-site"), (FETCH_MODE, mode), (FETCH_DEST, dest)])
    };
    assert_eq!(from_elsewhere("navigate", "document")?, StatusCode::OK, "a link");
    for (mode, dest) in
        [("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("cors", "empty"), ("no-cors", "")]
    {
        assert_eq!(from_elsewhere(mode, dest)?, StatusCode::FORBIDDEN, "{mode} {dest}");
    }
    assert_eq!(asked(site, &[("host", "localhost"), ("origin", "http://evil.example")])?, StatusCode::FORBIDDEN);
    for own in ["same-origin", "none"] {
        let image = [("host", "localhost"), (FETCH_SITE, own), (FETCH_MODE, "no-cors"), (FETCH_DEST, "image")];
        assert_eq!(asked(site, &image)?, StatusCode::OK, "{own}");
    }
    Ok(())
}

#[test]
fn a_refusal_says_why_and_what_to_do() -> Outcome {
    let site = shared();
    let get = |path: &str, headers: &[(&str, &str)]| -> Result<(StatusCode, String), Failure> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, headers, body) = site.send(request.body(Body::empty())?)?;
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY), "refusals keep to themselves as well");
        Ok((status, String::from_utf8(body)?))
    };
    let (status, page) = get("/", &[("host", "gpu-7:7478")])?;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    assert!(page.contains("is not served under the name `gpu-7`") && page.contains("--host-name gpu-7"), "{page}");
    assert!(!page.contains("/assets/") && !page.contains("scenes-4"), "{page}");
    let (status, body) = get("/index.json", &[("host", "gpu-7:7478")])?;
    let body: Value = serde_json::from_str(&body)?;
    assert_eq!((status.as_u16(), body["status"].as_u64()), (421, Some(421)));
    assert!(body["error"].as_str().is_some_and(|error| error.contains("--host-name gpu-7")), "{body}");
    let (_, page) = get("/", &[("origin", "http://evil.example")])?;
    assert!(page.contains("a page of `http://evil.example` loads parts of this explorer"), "{page}");
    let (_, page) = get("/", &[("host", "<script>alert(1)</script>")])?;
    assert!(!page.contains("<script>"), "{page}");
    Ok(())
}

#[test]
fn an_empty_token_lets_nobody_in_without_it() -> Outcome {
    let site = Site::new(ExplorerSettings { token: Some(String::new()), ..ExplorerSettings::default() })?;
    assert_eq!(site.get("/")?.0, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[test]
fn a_notebook_may_show_a_page_in_a_frame_where_that_was_asked_for() -> Outcome {
    let in_frame = |site: &Site| -> Result<(StatusCode, String, bool), Failure> {
        let request = Request::get("/").header(header::HOST, "127.0.0.1:7478").header(FETCH_SITE, "cross-site");
        let request = request.header(FETCH_MODE, "navigate").header(FETCH_DEST, "iframe");
        let (status, headers, _body) = site.send_as_it_is(request.body(Body::empty())?)?;
        let policy = headers.get(header::CONTENT_SECURITY_POLICY).map(|policy| policy.to_str()).transpose()?;
        Ok((status, policy.unwrap_or_default().to_owned(), headers.contains_key(header::X_FRAME_OPTIONS)))
    };
    let (status, policy, denied) = in_frame(shared())?;
    assert!(status == StatusCode::FORBIDDEN && policy.ends_with("frame-ancestors 'none'") && denied);
    let site = Site::new(ExplorerSettings { framed: true, ..ExplorerSettings::default() })?;
    let (status, policy, denied) = in_frame(&site)?;
    assert!(status == StatusCode::OK && policy.contains("frame-ancestors http://localhost:*") && !denied, "{policy}");
    // What is in the frame may be seen there, and not be read or written to from outside it.
    assert_eq!(
        asked(&site, &[("host", "localhost"), (FETCH_SITE, "cross-site"), (FETCH_MODE, "cors")])?,
        StatusCode::FORBIDDEN
    );
    assert_eq!(posted(&site, &[(FETCH_SITE, "cross-site")])?, StatusCode::FORBIDDEN);
    Ok(())
}
