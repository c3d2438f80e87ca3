//! Web servers, and data sets of Hugging Face, which are one with a list of its files.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use headspan_hub::HubSettings;
use headspan_net::{ClientSettings, Failure, NetError, Redirects, RetryRule, Stopped, retry_after};
use reqwest::{
    Client, Response,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, LINK, RANGE},
};
use serde::Deserialize;
use url::Url;

use crate::{
    address::Address,
    error::{Cause, StoreError},
    provider::{Listing, Object, Provider, When},
};

const PAUSE: Duration = Duration::from_secs(30);
const RETRIES: RetryRule =
    RetryRule { retries: 8, first_wait: Duration::from_millis(250), total: Duration::from_secs(180) };
/// Bytes of a page of a list of files.
const MOST_LISTED: usize = 64 << 20;

/// Files below one address.
struct Web {
    /// What the addresses of files begin with.
    base: String,
    /// What they end with; it may be a secret.
    query: String,
    /// Root of its addresses, for messages.
    root: String,
    client: Client,
    /// A key that this server alone is given.
    token: Option<String>,
    /// Where files are listed; none if the server does not list them.
    lists: Option<String>,
}

/// A file in a list of the hub.
#[derive(Deserialize)]
struct Listed {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
}

pub(super) fn server(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    web(address, address.root.clone(), None, None)
}

/// `hf://datasets/OWNER/NAME@REVISION`, by the settings of the hub's own client.
pub(super) fn data_set(address: &Address) -> Result<Arc<dyn Provider>, StoreError> {
    let malformed = || StoreError::Address { address: address.shown(), why: address.scheme.form };
    let name = address.root.strip_prefix("hf://datasets/").ok_or_else(malformed)?;
    let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
    let hub = HubSettings::from_env(|name| std::env::var(name).ok());
    if hub.offline {
        return Err(StoreError::Unsupported { address: address.shown(), what: "HF_HUB_OFFLINE is set" });
    }
    // A branch may have slashes in its name, which the hub wants written so.
    let revision = revision.replace('/', "%2F");
    let base = format!("{}/datasets/{name}/resolve/{revision}", hub.endpoint);
    let lists = format!("{}/api/datasets/{name}/tree/{revision}", hub.endpoint);
    web(address, base, Some(lists), hub.token)
}

fn web(
    address: &Address,
    base: String,
    lists: Option<String>,
    token: Option<String>,
) -> Result<Arc<dyn Provider>, StoreError> {
    let settings = ClientSettings { redirects: Redirects::Limited(10), pause: Some(PAUSE), whole: None };
    let client = headspan_net::client(&settings, &base)
        .map_err(|source| StoreError::Settings { address: address.shown(), source: Arc::new(source) })?;
    let (root, query) = (address.root.clone(), address.query.clone());
    Ok(Arc::new(Web { base, query, root, client, token, lists }))
}

#[async_trait]
impl Provider for Web {
    /// By asking for the first byte: not all servers answer HEAD, and this says whether parts can be had.
    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        let response = self.retried(key, || self.request(key, 0..1)).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let size = match response.status().as_u16() {
            // `bytes 0-0/1234`, and `bytes */0` of an empty file.
            206 | 416 => {
                header(CONTENT_RANGE).and_then(|range| range.rsplit('/').next()).and_then(|size| size.parse().ok())
            }
            _ if header(CONTENT_LENGTH) == Some("0") => Some(0),
            _ => None,
        };
        let what = "the server does not give parts of files";
        let size = size.ok_or_else(|| StoreError::Unsupported { address: self.shown(key), what })?;
        Ok(Object { key: key.to_owned(), size, version: version(&response), modified: None })
    }

    async fn start(&self, key: &str, length: u64) -> Result<(Object, Bytes), StoreError> {
        let object = self.head(key).await?;
        let bytes = match length.min(object.size) {
            0 => Bytes::new(),
            length => self.range(key, 0..length, object.version.as_deref()).await?,
        };
        Ok((object, bytes))
    }

    async fn range(&self, key: &str, range: Range<u64>, expected: Option<&str>) -> Result<Bytes, StoreError> {
        // What has come stays when a connection breaks off: the next try goes on behind it.
        let got = Mutex::new(BytesMut::with_capacity((range.end - range.start) as usize));
        let (got, wanted) = (&got, &range);
        self.retried(key, || async move {
            let have = got.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
            let rest = wanted.start + have..wanted.end;
            if rest.is_empty() {
                return Ok(());
            }
            let mut response = self.request(key, rest.clone()).await?;
            let is_another = expected.is_some_and(|expected| version(&response).is_some_and(|now| now != expected));
            if is_another || response.status() != 206 || !begins_at(&response, rest.start) {
                return Err(Failure::Final(StoreError::ChangedWhileRead { address: self.shown(key) }));
            }
            while let Some(chunk) = response.chunk().await.map_err(|error| Failure::passing(error.without_url()))? {
                let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (wanted.end - wanted.start) as usize - got.len();
                got.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            let have = got.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
            if have < wanted.end - wanted.start { Err(Failure::passing("the answer ended early")) } else { Ok(()) }
        })
        .await?;
        let got = std::mem::take(&mut *got.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(got.freeze())
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Listing, StoreError> {
        let Some(lists) = &self.lists else {
            let what = "a web server does not list its files; name them, as in `train-{000..009}.tar`";
            return Err(StoreError::Unsupported { address: self.shown(folder), what });
        };
        let slash = if folder.is_empty() { "" } else { "/" };
        let mut page = Some(format!("{lists}{slash}{}?recursive={deep}", encoded(folder)));
        let mut listing = Listing::default();
        while let Some(url) = page {
            let (listed, next) = self.retried(folder, || self.page(folder, &url)).await?;
            for Listed { path, kind, size, oid } in listed {
                match kind.as_str() {
                    "file" => listing.files.push(Object { key: path, size, version: oid, modified: None }),
                    "directory" if !deep => listing.folders.push(path),
                    _ => {}
                }
            }
            page = next;
        }
        Ok(listing)
    }

    async fn put(&self, key: &str, _bytes: Bytes, _when: When) -> Result<Option<String>, StoreError> {
        Err(StoreError::read_only(self.shown(key)))
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        Err(StoreError::read_only(self.shown(key)))
    }
}

impl Web {
    fn shown(&self, key: &str) -> String {
        if key.is_empty() { self.root.clone() } else { format!("{}/{key}", self.root) }
    }

    fn url(&self, key: &str) -> String {
        // Addresses of the web are encoded by whoever types them; keys of the hub are names of files.
        let key = if self.lists.is_some() { encoded(key) } else { key.to_owned() };
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("{}/{key}{query}", self.base)
    }

    async fn retried<T, F>(&self, key: &str, once: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure<StoreError>>>,
    {
        headspan_net::retried(&RETRIES, &self.shown(key), once).await.map_err(|stopped| match stopped {
            Stopped::Final(error) => error,
            Stopped::GaveUp(gave_up) => StoreError::Failed { address: self.shown(key), source: gave_up.cause.into() },
        })
    }

    async fn request(&self, key: &str, range: Range<u64>) -> Result<Response, Failure<StoreError>> {
        self.send(key, &self.url(key), Some(format!("bytes={}-{}", range.start, range.end - 1))).await
    }

    async fn send(&self, key: &str, url: &str, range: Option<String>) -> Result<Response, Failure<StoreError>> {
        let mut request = self.client.get(url);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = headspan_net::send::<Refused>(url, request).await.map_err(|failure| match failure {
            Failure::Passing { cause, wait } => Failure::Passing { cause, wait },
            Failure::Final(Refused(source)) => {
                Failure::Final(StoreError::Failed { address: self.shown(key), source: Arc::new(source) })
            }
        })?;
        let (status, address) = (response.status().as_u16(), self.shown(key));
        let said = || -> Cause { Arc::new(io::Error::other(format!("status {status}"))) };
        Err(Failure::Final(match status {
            200..=299 | 416 => return Ok(response),
            404 | 410 => StoreError::NotFound { address },
            401 => StoreError::Denied { address, known: false, source: said() },
            403 => StoreError::Denied { address, known: true, source: said() },
            408 | 429 | 500..=599 => {
                let wait = retry_after(response.headers());
                return Err(Failure::Passing { cause: format!("status {status}").into(), wait });
            }
            _ => StoreError::Failed { address, source: said() },
        }))
    }

    /// A page of a list, and the address of the next.
    async fn page(&self, folder: &str, url: &str) -> Result<(Vec<Listed>, Option<String>), Failure<StoreError>> {
        let response = self.send(folder, url, None).await?;
        let next = response.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next_page);
        // The hub's key goes to no other server.
        let next = next.filter(|next| same_origin(next, url));
        let body = headspan_net::read_body(response, MOST_LISTED).await.map_err(Failure::passing)?;
        let listed = serde_json::from_slice(&body).map_err(|source| {
            Failure::Final(StoreError::Failed { address: self.shown(folder), source: Arc::new(source) })
        })?;
        Ok((listed, next))
    }
}

/// A request that no further try mends.
struct Refused(NetError);

impl From<NetError> for Refused {
    fn from(error: NetError) -> Self {
        Self(error)
    }
}

/// What changes with the file, as far as the server says.
fn version(response: &Response) -> Option<String> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    header(ETAG).or_else(|| header(LAST_MODIFIED))
}

fn begins_at(response: &Response, start: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")).is_some_and(|range| range.starts_with(&format!("{start}-")))
}

/// `<https://…>; rel="next"`
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    Some(next.split_once('<')?.1.split_once('>')?.0.to_owned())
}

fn same_origin(one: &str, other: &str) -> bool {
    matches!((Url::parse(one), Url::parse(other)), (Ok(one), Ok(other)) if one.origin() == other.origin())
}

/// A path as a part of an address.
fn encoded(path: &str) -> String {
    let mut url = Url::parse("http://x").ok();
    if let Some(url) = &mut url {
        url.set_path(path);
    }
    // A path that cannot be encoded is left as it is, and the server says what is wrong.
    let encoded = url.map(|url| url.path().trim_start_matches('/').replace('?', "%3F").replace('#', "%23"));
    encoded.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_paths_as_the_hub_writes_them() {
        let link = "<https://hub/api/x?cursor=a>; rel=\"next\", <https://hub/y>; rel=\"last\"";
        assert_eq!(next_page(link).as_deref(), Some("https://hub/api/x?cursor=a"));
        assert_eq!(encoded("a b/ä?#.tar"), "a%20b/%C3%A4%3F%23.tar");
        assert!(same_origin("https://hub/a", "https://hub/b") && !same_origin("https://hub/a", "https://hub.evil/a"));
    }
}
