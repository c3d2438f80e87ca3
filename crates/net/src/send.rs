use std::{error::Error, io};

use reqwest::{RequestBuilder, Response};
use rustls::{Error as TlsError, InvalidMessage};

use crate::{
    address::shown,
    error::{NetError, NoAnswer},
    proxy,
    retry::Failure,
};

/// Sends a request. A failure passes unless it would be the same each time.
pub async fn send<E: From<NetError>>(url: &str, request: RequestBuilder) -> Result<Response, Failure<E>> {
    request.send().await.map_err(|error| sorted(url, error))
}

fn sorted<E: From<NetError>>(url: &str, error: reqwest::Error) -> Failure<E> {
    let proxy = error.url().and_then(proxy::of);
    // Its text may hold a password or a key.
    let error = error.without_url();
    // A request that cannot be made, or that is sent in circles, fails the same way each time.
    if error.is_builder() || error.is_redirect() {
        return Failure::Final(NetError::Request { url: shown(url), source: error }.into());
    }
    match tls(&error) {
        Some(TlsError::InvalidCertificate(_)) => {
            return Failure::Final(NetError::Untrusted { url: shown(url), source: error.into() }.into());
        }
        Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            return Failure::Final(NetError::NotTls { url: shown(url), source: error.into() }.into());
        }
        _ => {}
    }
    let cause = match proxy {
        Some(proxy) => NoAnswer::Proxied { proxy, source: error },
        None if error.is_timeout() => NoAnswer::Late(error),
        None => NoAnswer::Direct(error),
    };
    Failure::passing(cause)
}

/// The TLS error among an error and its causes. I/O errors stand for the error in them, one around another.
fn tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    match error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()) {
        Some(inner) => tls(inner),
        None => error.source().and_then(tls),
    }
}
