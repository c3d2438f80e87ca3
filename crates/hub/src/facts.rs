//! What the hub says of a file before it is fetched.

use headspan_net::{Failure, shown};
use reqwest::{
    Response, Url,
    header::{ETAG, HeaderMap, LOCATION},
};

use crate::{
    cache::is_plain,
    error::HubError,
    request::{Connection, refuse},
};

/// Redirects that are followed from a renamed repository to the present one.
const MOVES: usize = 5;

pub(crate) struct FileFacts {
    pub(crate) commit: String,
    pub(crate) etag: String,
    pub(crate) size: Option<u64>,
    /// Stated for large files, whose etag is their SHA-256.
    pub(crate) sha256: Option<String>,
}

/// Reads the headers of the hub's own answer: a redirect to its storage would no longer carry them. A redirect without
/// them is a renamed repository's.
pub(crate) async fn facts(
    connection: &Connection<'_>,
    url: &str,
    revision: &str,
) -> Result<FileFacts, Failure<HubError>> {
    let mut address = url.to_owned();
    for _ in 0..=MOVES {
        let response = head(connection, &address).await?;
        if let Some(etag) = etag(response.headers()) {
            return read(&response, url, revision, etag).map_err(Failure::Final);
        }
        let Some(next) = moved_to(&response) else { break };
        address = next.into();
    }
    let what = "it has no usable etag, and does not redirect to an answer on the same host that has one".to_owned();
    Err(Failure::Final(HubError::Answer { url: shown(url), what }))
}

async fn head(connection: &Connection<'_>, url: &str) -> Result<Response, Failure<HubError>> {
    let response = connection.head(url).await?;
    if !response.status().is_redirection() {
        refuse(url, &response)?;
    }
    Ok(response)
}

fn read(response: &Response, url: &str, revision: &str, etag: String) -> Result<FileFacts, HubError> {
    let headers = response.headers();
    let length = || text(headers, "content-length").filter(|_| response.status().is_success());
    let size = text(headers, "x-linked-size").or_else(length);
    Ok(FileFacts {
        commit: commit(headers, url, revision)?,
        size: size.and_then(|size| size.parse().ok()),
        sha256: (etag.len() == 64).then(|| etag.clone()),
        etag,
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The etag, which becomes a file's name.
pub(crate) fn etag(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    (!etag.is_empty() && !etag.contains(['/', '\\', '.'])).then(|| etag.to_owned())
}

/// Where a redirect leads, if it stays on the host.
fn moved_to(response: &Response) -> Option<Url> {
    let location = text(response.headers(), LOCATION.as_str()).filter(|_| response.status().is_redirection())?;
    let next = response.url().join(&location).ok()?;
    (next.origin() == response.url().origin()).then_some(next)
}

/// The commit, which becomes a folder's name: a server must not be able to name one outside the cache.
pub(crate) fn commit(headers: &HeaderMap, url: &str, revision: &str) -> Result<String, HubError> {
    let what = match text(headers, "x-repo-commit") {
        Some(commit) if is_commit(&commit) => return Ok(commit),
        Some(commit) => format!("its commit is `{commit}`, not a hash"),
        None if is_plain(revision) => return Ok(revision.to_owned()),
        None => format!("it names no commit for `{revision}`"),
    };
    Err(HubError::Answer { url: shown(url), what })
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_commit_is_a_hash_or_a_plain_revision() {
        let stated = |commit: &'static str| {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-repo-commit"), HeaderValue::from_static(commit))]);
            self::commit(&headers, "http://hub/x", "main").ok()
        };
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(stated(hash).as_deref(), Some(hash));
        for bad in ["../../outside", "main", "", "012345", "/0123456789", "0123456789abcdef/.."] {
            assert_eq!(stated(bad), None, "{bad}");
        }
        let silent = |revision: &str| commit(&HeaderMap::new(), "http://hub/x", revision).ok();
        assert_eq!(silent("main").as_deref(), Some("main"));
        assert_eq!(silent("v1.0").as_deref(), Some("v1.0"));
        for bad in ["..", ".", "", "../..", "refs/pr/1", "a\\b"] {
            assert_eq!(silent(bad), None, "{bad}");
        }
    }
}
