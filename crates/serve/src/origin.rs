//! Which requests are answered at all: those that name this server as their host, and that no other site's page makes.
//!
//! A browser lets a page read what its own server answers. A page of another site gets at this server in two ways: its name is made to
//! resolve to this machine's address after it was loaded (DNS rebinding), or it sends a request that it cannot read. The first shows in the
//! header `Host`, which then has the other site's name. The second shows in `Origin` and in `Sec-Fetch-Site`. None of the three can be
//! set by a page. `X-Forwarded-Host` and `Forwarded` are not read: anybody may set them.

use std::net::IpAddr;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde_json::json;

use crate::{page_request::Form, pages::document};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The hosts under which this server is asked.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    listen: IpAddr,
    /// In lower case, without a final dot.
    names: Vec<String>,
    /// Whether a frame of another site may show a page. Which sites may is told to the browser in a header.
    framed: bool,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    advice: String,
}

impl Hosts {
    /// Addresses that fit the one listened on, `localhost`, and names that were given.
    pub(super) fn new(listen: IpAddr, names: &[String]) -> Self {
        Self { listen, names: names.iter().map(|name| plain(name)).collect(), framed: false }
    }

    /// Whether pages may be shown in a frame of another site.
    pub(super) fn framed(self, framed: bool) -> Self {
        Self { framed, ..self }
    }

    /// Refuses a request that names another host, or that a page of another site makes.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.host(uri, headers)?;
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let from_here = self.is_from_here(&host, headers);
        if from_here || reads && is_visit(headers, self.framed) {
            return Ok(());
        }
        let site = origin(headers).unwrap_or("another site").to_owned();
        let what = if reads { "loads parts of" } else { "sends data to" };
        Err(Refusal {
            status: StatusCode::FORBIDDEN,
            message: format!("a page of {} {what} this explorer, which serves its own pages only", quoted(&site)),
            advice: "Open the explorer in a tab of its own. If a proxy serves it under another name, start it with \
                     `headspan explore --host-name NAME`."
                .to_owned(),
        })
    }

    /// The host that a request names, if it is this server.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
        let malformed = |message: &str| Refusal {
            status: StatusCode::BAD_REQUEST,
            message: message.to_owned(),
            advice: "A request names the server once, in the header `Host`: `Host: localhost:7478`.".to_owned(),
        };
        let mut named = headers.get_all(header::HOST).iter();
        let host = named.next().ok_or_else(|| malformed("the request names no host"))?;
        if named.next().is_some() {
            return Err(malformed("the request names two hosts"));
        }
        let host = Authority::try_from(host.as_bytes()).ok().filter(is_host);
        let host = host.ok_or_else(|| malformed("the host that the request names is not readable"))?;
        // A request in absolute form names the host in its target as well.
        for asked in uri.authority().into_iter().chain([&host]) {
            if !self.is_ours(asked.host()) {
                return Err(self.misdirected(asked.host()));
            }
        }
        Ok(host)
    }

    fn misdirected(&self, host: &str) -> Refusal {
        let shown: String = host.chars().take(80).collect();
        Refusal {
            status: StatusCode::MISDIRECTED_REQUEST,
            message: format!("this explorer is not served under the name `{shown}`"),
            advice: format!(
                "Open it by {}, or start it with `headspan explore --host-name {shown}`.",
                if self.listen.is_unspecified() {
                    "an IP address of its machine"
                } else {
                    "its IP address or as localhost"
                }
            ),
        }
    }

    /// An address cannot be rebound to another server, a name can. Loopback addresses are those of a forwarded port, too.
    fn is_ours(&self, host: &str) -> bool {
        let host = plain(host.trim_start_matches('[').trim_end_matches(']'));
        let address = host.parse::<IpAddr>().map(|ip| ip.to_canonical());
        let fits = |address: IpAddr| {
            self.listen.is_unspecified() || address.is_loopback() || address == self.listen.to_canonical()
        };
        host == "localhost" || self.names.contains(&host) || address.is_ok_and(fits)
    }

    /// Whether no page of another site makes a request. Programs send neither header.
    fn is_from_here(&self, host: &Authority, headers: &HeaderMap) -> bool {
        let site = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin" || site == "none");
        let Some(origin) = headers.get(header::ORIGIN) else { return site };
        let authority =
            origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
        // `null` is the origin of sandboxed pages and of files.
        let authority = authority.and_then(|authority| authority.parse::<Authority>().ok());
        let known = |origin: Authority| same(&origin, host) || self.names.contains(&plain(origin.host()));
        site && authority.is_some_and(known)
    }
}

/// Whether an authority is a host with or without a port, and nothing else.
fn is_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// A name in one spelling: lower case, without the dot that ends a full name.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whether two authorities are one server, ports that the scheme implies left out.
fn same(one: &Authority, other: &Authority) -> bool {
    let port = |authority: &Authority| authority.port_u16().filter(|port| !matches!(port, 80 | 443));
    plain(one.host()) == plain(other.host()) && port(one) == port(other)
}

/// Whether a person follows a link from another site to a page of its own, or to one in a frame where that is allowed: what comes back is
/// shown to the person alone, and the other site cannot read it.
fn is_visit(headers: &HeaderMap, framed: bool) -> bool {
    let is = |name: HeaderName, value: &str| headers.get(name).is_none_or(|found| found == value);
    let place = is(FETCH_DEST, "document") || framed && is(FETCH_DEST, "iframe");
    headers.contains_key(FETCH_MODE) && is(FETCH_MODE, "navigate") && place
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN)?.to_str().ok().filter(|origin| *origin != "null")
}

fn quoted(site: &str) -> String {
    let shown: String = site.chars().take(80).collect();
    if shown.contains("://") { format!("`{shown}`") } else { shown }
}

impl Refusal {
    /// In the form that the answer was wanted in.
    pub(super) fn response(&self, path: &str) -> Response {
        let Self { status, message, advice } = self;
        if Form::split(path).1 == Form::Page {
            return (*status, self.page()).into_response();
        }
        let error = json!({ "error": format!("{message}. {advice}"), "status": status.as_u16() });
        (*status, Json(error)).into_response()
    }

    /// Plain: what it would load is refused as well.
    fn page(&self) -> Markup {
        let title = self.status.canonical_reason().unwrap_or("Refused");
        let body = html! {
            h1 { (title) }
            p role="alert" { (self.message) }
            p { (self.advice) }
        };
        document(title, &Markup::default(), &body)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ours(listen: &str, host: &str) -> bool {
        let listen = listen.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]));
        Hosts::new(listen, &["Hub.Example.org".to_owned(), "192.168.7.9".to_owned()]).is_ours(host)
    }

    #[test]
    fn hosts_are_addresses_localhost_and_given_names() {
        for host in [
            "127.0.0.1",
            "127.8.8.8",
            "[::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "hub.example.org",
            "HUB.example.org.",
        ] {
            assert!(ours("127.0.0.1", host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.localhost",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "hub.example.org.evil.example",
            "localhost..",
        ] {
            assert!(!ours("127.0.0.1", host), "{host}");
        }
        assert!(ours("127.0.0.1", "192.168.7.9"), "an address may be given as well");
        assert!(ours("10.0.0.1", "10.0.0.1") && ours("10.0.0.1", "127.0.0.1") && !ours("10.0.0.1", "10.0.0.2"));
        for listen in ["0.0.0.0", "::"] {
            assert!(ours(listen, "10.0.0.1") && ours(listen, "[fe80::1]") && !ours(listen, "evil.example"), "{listen}");
        }
        assert!(ours("::1", "[::1]") && ours("127.0.0.1", "[::ffff:127.0.0.1]"));
    }

    #[test]
    fn a_link_is_followed_and_a_frame_is_not() {
        let headers = |pairs: &[(HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let is_visit = |headers: &HeaderMap| super::is_visit(headers, false);
        assert!(is_visit(&headers(&[(FETCH_MODE, "navigate"), (FETCH_DEST, "document")])));
        for (mode, dest) in [("navigate", "iframe"), ("no-cors", "image"), ("cors", "empty"), ("navigate", "object")] {
            assert!(!is_visit(&headers(&[(FETCH_MODE, mode), (FETCH_DEST, dest)])), "{mode} {dest}");
        }
        assert!(!is_visit(&HeaderMap::new()));
        let in_frame = headers(&[(FETCH_MODE, "navigate"), (FETCH_DEST, "iframe")]);
        assert!(super::is_visit(&in_frame, true) && !is_visit(&in_frame));
        assert!(!super::is_visit(&headers(&[(FETCH_MODE, "navigate"), (FETCH_DEST, "object")]), true));
    }
}
