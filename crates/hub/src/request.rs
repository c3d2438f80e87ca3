//! One request and its tries: who gets the token, and which failures are worth another try.

use std::{error::Error, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};

use crate::{error::HubError, settings::HubSettings};

/// One try: worth another, or not.
pub(crate) enum Failure {
    Passing(Box<dyn Error + Send + Sync>),
    Final(HubError),
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Final(error.into())
    }
}

pub(crate) async fn retried<T>(
    settings: &HubSettings,
    url: &str,
    mut once: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, HubError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match once().await {
            Ok(value) => return Ok(value),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(source)) if tries > settings.retries => {
                return Err(HubError::GaveUp { url: url.to_owned(), tries, source });
            }
            Err(Failure::Passing(cause)) => {
                tracing::debug!("{url}: {}; trying again", with_causes(&*cause));
                tokio::time::sleep(Duration::from_millis(settings.backoff_ms << (tries - 1).min(6))).await;
            }
        }
    }
}

fn client(redirects: Policy) -> Result<Client, HubError> {
    Client::builder()
        .redirect(redirects)
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_secs(60))
        .user_agent(concat!("headspan/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(HubError::Client)
}

/// A request that carries the token only if it goes to the hub: to others the token is a secret. (On a redirect to another
/// host, reqwest drops it.)
pub(crate) fn request(
    settings: &HubSettings,
    redirects: Policy,
    method: Method,
    url: &str,
) -> Result<RequestBuilder, HubError> {
    let request = client(redirects)?.request(method, url);
    Ok(match &settings.token {
        Some(token) if settings.is_hub(url) => request.bearer_auth(token),
        _ => request,
    })
}

pub(crate) async fn send(url: &str, request: RequestBuilder) -> Result<Response, Failure> {
    request.send().await.map_err(|error| {
        // A request that cannot be made, or that is sent in circles, fails the same way each time.
        if error.is_builder() || error.is_redirect() {
            Failure::Final(HubError::Request { url: url.to_owned(), source: error })
        } else {
            Failure::Passing(error.into())
        }
    })
}

pub(crate) fn refuse(url: &str, status: StatusCode) -> Result<(), Failure> {
    let url = url.to_owned();
    match status.as_u16() {
        200..=299 => Ok(()),
        404 => Err(HubError::NotFound { url }.into()),
        401 | 403 => Err(HubError::Forbidden { url, status: status.as_u16() }.into()),
        408 | 429 | 500..=599 => Err(Failure::Passing(format!("status {status}").into())),
        status => Err(HubError::Status { url, status }.into()),
    }
}

/// An error and its causes in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
