//! The token that an explorer may ask for.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, html};
use serde_json::json;

use crate::{page_request::Form, pages::document};

const MESSAGE: &str = "this explorer asks for a token";

/// Whether a request carries the token, if there is one.
pub(super) fn allowed(headers: &HeaderMap, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| given(value.as_bytes()));
    // blake3 compares hashes in constant time, and they have one length: the time says nothing about the token.
    given.is_some_and(|given| blake3::hash(&given) == blake3::hash(token.as_bytes()))
}

/// What a request without the token gets. A browser asks its user for a name and a password, and sends them with all that
/// follows.
pub(super) fn refusal(path: &str) -> Response {
    let status = StatusCode::UNAUTHORIZED;
    let mut refused = if Form::split(path).1 == Form::Page {
        (status, page()).into_response()
    } else {
        (status, Json(json!({ "error": MESSAGE, "status": status.as_u16() }))).into_response()
    };
    for scheme in ["Basic realm=\"headspan\", charset=\"UTF-8\"", "Bearer"] {
        refused.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    refused
}

/// Plain: style and script are kept by the token, too.
fn page() -> Markup {
    document(
        "Unauthorized",
        &Markup::default(),
        &html! {
            h1 { "Unauthorized" }
            p role="alert" { (MESSAGE) }
            p { "Load the page again, and give any name and the token as password. A program sends “Authorization: Bearer” and the token." }
        },
    )
}

/// The token that a header of authorization gives. Schemes are named in any case (RFC 9110, section 11.1).
fn given(header: &[u8]) -> Option<Vec<u8>> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&header[..space], header[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_all_that_follows_the_first_colon() {
        // "anybody:se:cret"
        assert_eq!(given(b"Basic YW55Ym9keTpzZTpjcmV0").as_deref(), Some(&b"se:cret"[..]));
        assert_eq!(given(b"bearer se:cret").as_deref(), Some(&b"se:cret"[..]));
        assert!(given(b"Digest x").is_none() && given(b"Basic").is_none() && given(b"Basic YQ==").is_none());
    }
}
