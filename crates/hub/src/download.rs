use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err as fs;
use futures::StreamExt;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{CONTENT_RANGE, ETAG, HeaderMap, RANGE},
    redirect::Policy,
};
use sha2::{Digest, Sha256};

use crate::{cache::RepositoryCache, error::HubError, settings::HubSettings};

/// Called with bytes there and bytes in all, if known.
pub type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// What the hub says of a file before it is fetched.
struct FileFacts {
    commit: String,
    etag: String,
    size: Option<u64>,
    /// Stated for large files, whose etag is their SHA-256.
    sha256: Option<String>,
}

/// Fetches one file of a repository and returns where it is. A file that the cache has is not fetched again.
pub async fn fetch_file(
    settings: &HubSettings,
    repository: &str,
    revision: &str,
    file: &str,
    progress: Progress<'_>,
) -> Result<PathBuf, HubError> {
    let cache = RepositoryCache::new(settings, repository);
    if let Some(path) = cache.find(revision, file) {
        return Ok(path);
    }
    let url = format!("{}/{repository}/resolve/{revision}/{file}", settings.endpoint);
    let facts = retried(settings, &url, || facts(settings, &url, revision)).await?;
    let blob = cache.blob(&facts.etag);
    if !blob.is_file() {
        let expected = Expected { size: facts.size, sha256: facts.sha256.clone() };
        download(settings, &url, &blob, &expected, progress).await?;
    }
    Ok(cache.link(revision, &facts.commit, file, &facts.etag)?)
}

/// Fetches an address to a file, checking its SHA-256 if one is given.
pub async fn fetch_url(
    settings: &HubSettings,
    url: &str,
    target: &Path,
    sha256: Option<&str>,
    progress: Progress<'_>,
) -> Result<(), HubError> {
    download(settings, url, target, &Expected { size: None, sha256: sha256.map(str::to_owned) }, progress).await
}

struct Expected {
    size: Option<u64>,
    sha256: Option<String>,
}

/// One try: worth another, or not.
enum Failure {
    Passing(String),
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

async fn retried<T>(
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
            Err(Failure::Passing(message)) if tries > settings.retries => {
                return Err(HubError::GaveUp { url: url.to_owned(), tries, message });
            }
            Err(Failure::Passing(message)) => {
                tracing::debug!("{url}: {message}; trying again");
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

fn authorised(settings: &HubSettings, request: RequestBuilder) -> RequestBuilder {
    match &settings.token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Reads the headers of the hub's own answer: a redirect to its storage would no longer carry them.
async fn facts(settings: &HubSettings, url: &str, revision: &str) -> Result<FileFacts, Failure> {
    let request = authorised(settings, client(Policy::none())?.head(url));
    let response = request.send().await.map_err(|error| Failure::Passing(describe(&error)))?;
    let status = response.status();
    if !status.is_redirection() {
        refuse(url, status)?;
    }
    let headers = response.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let etag = text("x-linked-etag").or_else(|| text(ETAG.as_str())).unwrap_or_default();
    let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
    if etag.is_empty() || etag.contains(['/', '\\', '.']) {
        return Err(Failure::Passing("the answer has no usable etag".to_owned()));
    }
    let size = text("x-linked-size").or_else(|| text("content-length").filter(|_| status.is_success()));
    Ok(FileFacts {
        commit: text("x-repo-commit").unwrap_or_else(|| revision.to_owned()),
        size: size.and_then(|size| size.parse().ok()),
        sha256: (etag.len() == 64).then(|| etag.clone()),
        etag,
    })
}

fn refuse(url: &str, status: StatusCode) -> Result<(), Failure> {
    let url = url.to_owned();
    match status.as_u16() {
        200..=299 => Ok(()),
        404 => Err(HubError::NotFound { url }.into()),
        401 | 403 => Err(HubError::Forbidden { url, status: status.as_u16() }.into()),
        408 | 429 | 500..=599 => Err(Failure::Passing(format!("status {status}"))),
        status => Err(HubError::Status { url, status }.into()),
    }
}

/// Downloads to `target` by way of `target.incomplete`, which a later call continues. Damaged bytes are fetched once more
/// from the start, then given up.
async fn download(
    settings: &HubSettings,
    url: &str,
    target: &Path,
    expected: &Expected,
    progress: Progress<'_>,
) -> Result<(), HubError> {
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(".incomplete");
    let partial = target.with_file_name(name);
    let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(partial.with_extension("lock"))?;
    let lock = lock.into_parts().0;
    if lock.try_lock().is_err() {
        return Err(HubError::Busy { path: partial });
    }
    let mut damage = None;
    for _ in 0..2 {
        retried(settings, url, || receive(settings, url, &partial, expected.size, progress)).await?;
        match verify(&partial, expected)? {
            None => {
                fs::rename(&partial, target)?;
                fs::remove_file(partial.with_extension("lock"))?;
                return Ok(());
            }
            Some(what) => {
                fs::remove_file(&partial)?;
                damage = Some(what);
            }
        }
    }
    let (what, found, expected) = damage.unwrap_or_default();
    Err(HubError::Damaged { url: url.to_owned(), what, found, expected })
}

async fn receive(
    settings: &HubSettings,
    url: &str,
    partial: &Path,
    size: Option<u64>,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let have = fs::metadata(partial).map_or(0, |metadata| metadata.len());
    if have > 0 && size == Some(have) {
        return Ok(());
    }
    let mut request = authorised(settings, client(Policy::limited(5))?.get(url));
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let response = request.send().await.map_err(|error| Failure::Passing(describe(&error)))?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        // What is there cannot be the beginning of this file.
        fs::remove_file(partial)?;
        return Err(Failure::Passing("the unfinished file does not fit".to_owned()));
    }
    refuse(url, response.status())?;
    let continues = response.status() == StatusCode::PARTIAL_CONTENT && starts_at(response.headers(), have);
    let start = if continues { have } else { 0 };
    write_body(response, partial, start, size, progress).await
}

fn starts_at(headers: &HeaderMap, have: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

async fn write_body(
    response: Response,
    partial: &Path,
    start: u64,
    size: Option<u64>,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let total = size.or_else(|| response.content_length().map(|length| start + length));
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true).append(start > 0).truncate(start == 0);
    let mut file = options.open(partial)?;
    let mut have = start;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Failure::Passing(describe(&error)))?;
        file.write_all(&chunk)?;
        have += chunk.len() as u64;
        progress(have, total);
    }
    file.sync_all()?;
    match total {
        Some(total) if have < total => Err(Failure::Passing(format!("cut off after {have} of {total} bytes"))),
        _ => Ok(()),
    }
}

/// What is wrong with the bytes: what, found, expected.
fn verify(path: &Path, expected: &Expected) -> Result<Option<(&'static str, String, String)>, HubError> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    if let Some(wanted) = expected.size.filter(|wanted| *wanted != size) {
        return Ok(Some(("size", size.to_string(), wanted.to_string())));
    }
    // Small files carry a git hash as etag; for them the size is all that is checked.
    let Some(wanted) = &expected.sha256 else { return Ok(None) };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((found != *wanted).then(|| ("SHA-256", found, wanted.clone())))
}

fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
