//! One request: who gets the token, and which answers are worth another try.

use std::time::Duration;

use headspan_net::{ClientSettings, Failure, Redirects, RetryRule, Stopped, retry_after, shown};
use reqwest::{Client, RequestBuilder, Response, header::HeaderMap};

use crate::{error::HubError, settings::HubSettings};

/// Longest pause between two parts of an answer.
const PAUSE: Duration = Duration::from_secs(60);

/// Clients for one piece of work, with the rule for tries.
pub(crate) struct Connection<'a> {
    pub(crate) settings: &'a HubSettings,
    /// For facts: the hub's own answer is wanted, not that of the storage it redirects to.
    asking: Client,
    /// For bytes.
    fetching: Client,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(settings: &'a HubSettings, url: &str) -> Result<Self, HubError> {
        settings.online(url)?;
        let client =
            |redirects, whole| headspan_net::client(&ClientSettings { redirects, pause: Some(PAUSE), whole }, url);
        Ok(Self {
            settings,
            asking: client(Redirects::None, Some(PAUSE))?,
            fetching: client(Redirects::Limited(5), None)?,
        })
    }

    pub(crate) async fn head(&self, url: &str) -> Result<Response, Failure<HubError>> {
        self.send(url, self.asking.head(url)).await
    }

    pub(crate) async fn get(&self, url: &str, headers: HeaderMap) -> Result<Response, Failure<HubError>> {
        self.send(url, self.fetching.get(url).headers(headers)).await
    }

    /// Sends a request, which carries the token only if it goes to the hub: to others the token is a secret. (On a redirect
    /// to another host, reqwest drops it.)
    async fn send(&self, url: &str, request: RequestBuilder) -> Result<Response, Failure<HubError>> {
        let request = match &self.settings.token {
            Some(token) if self.settings.is_hub(url) => request.bearer_auth(token),
            _ => request,
        };
        headspan_net::send(url, request).await
    }

    /// Tries by the settings' rule.
    pub(crate) async fn retried<T, F>(&self, url: &str, once: impl FnMut() -> F) -> Result<T, HubError>
    where
        F: Future<Output = Result<T, Failure<HubError>>>,
    {
        let rule = RetryRule {
            retries: self.settings.retries,
            first_wait: Duration::from_millis(self.settings.backoff_ms),
            total: Duration::from_secs(self.settings.total_secs),
        };
        let url = shown(url);
        headspan_net::retried(&rule, &url, once).await.map_err(|stopped| match stopped {
            Stopped::Final(error) => error,
            Stopped::GaveUp(gave_up) => {
                HubError::GaveUp { url: url.clone(), tries: gave_up.tries, source: gave_up.cause }
            }
        })
    }
}

pub(crate) fn refuse(url: &str, response: &Response) -> Result<(), Failure<HubError>> {
    let (status, url) = (response.status(), shown(url));
    Err(Failure::Final(match status.as_u16() {
        200..=299 => return Ok(()),
        404 => HubError::NotFound { url },
        status @ (401 | 403) => HubError::Forbidden { url, status },
        408 | 429 | 500..=599 => {
            let wait = retry_after(response.headers());
            return Err(Failure::Passing { cause: format!("status {status}").into(), wait });
        }
        status => HubError::Status { url, status },
    }))
}

/// A failure on this machine, which another try does not mend.
pub(crate) fn local(error: std::io::Error) -> Failure<HubError> {
    Failure::Final(error.into())
}
