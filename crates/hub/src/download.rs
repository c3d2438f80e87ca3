use std::{
    io::{Read, Write},
    ops::ControlFlow,
    path::Path,
};

use fs_err as fs;
use futures::StreamExt;
use headspan_net::{Failure, shown};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE},
};
use sha2::{Digest, Sha256};

use crate::{
    error::HubError,
    request::{Connection, local, refuse},
    settings::HubSettings,
};

/// A try that adds at least this much to a file was worth it: the tries are then counted anew.
const ADVANCE: u64 = 1 << 20;

/// Called with bytes there and bytes in all, if known.
pub type Progress<'a> = &'a (dyn Fn(u64, Option<u64>) -> ControlFlow<()> + Send + Sync);

/// Fetches an address to a file, checking its SHA-256 if one is given. An address that is not the hub's gets no token.
pub async fn fetch_url(
    settings: &HubSettings,
    url: &str,
    target: &Path,
    sha256: Option<&str>,
    progress: Progress<'_>,
) -> Result<(), HubError> {
    let connection = Connection::new(settings, url)?;
    download(&connection, url, target, &Expected { size: None, sha256: sha256.map(str::to_owned) }, progress).await
}

pub(crate) struct Expected {
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<String>,
}

/// Downloads to `target` by way of `target.incomplete`, which a later call continues. Damaged bytes are fetched once more
/// from the start, then given up.
pub(crate) async fn download(
    connection: &Connection<'_>,
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
        receive_all(connection, url, &partial, expected.size, progress).await?;
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
    Err(HubError::Damaged { url: shown(url), what, found, expected })
}

/// Receives until the file is whole. Large files come in as many parts as it takes, as long as each adds to them.
async fn receive_all(
    connection: &Connection<'_>,
    url: &str,
    partial: &Path,
    size: Option<u64>,
    progress: Progress<'_>,
) -> Result<(), HubError> {
    loop {
        let before = length(partial);
        match connection.retried(url, || receive(connection, url, partial, size, progress)).await {
            Err(HubError::GaveUp { .. }) if length(partial) >= before + ADVANCE => {}
            other => return other,
        }
    }
}

/// Bytes that are there.
fn length(partial: &Path) -> u64 {
    fs::metadata(partial).map_or(0, |metadata| metadata.len())
}

async fn receive(
    connection: &Connection<'_>,
    url: &str,
    partial: &Path,
    size: Option<u64>,
    progress: Progress<'_>,
) -> Result<(), Failure<HubError>> {
    let have = length(partial);
    if have > 0 && size == Some(have) {
        return Ok(());
    }
    let mut headers = HeaderMap::new();
    if let Some(range) = HeaderValue::from_str(&format!("bytes={have}-")).ok().filter(|_| have > 0) {
        headers.insert(RANGE, range);
    }
    let response = connection.get(url, headers).await?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        // What is there cannot be the beginning of this file.
        fs::remove_file(partial).map_err(local)?;
        return Err(Failure::passing("the unfinished file does not fit"));
    }
    refuse(url, &response)?;
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
) -> Result<(), Failure<HubError>> {
    let total = size.or_else(|| response.content_length().map(|length| start.saturating_add(length)));
    let mut options = fs::OpenOptions::new();
    options.create(true).write(true).append(start > 0).truncate(start == 0);
    let mut file = options.open(partial).map_err(local)?;
    let mut have = start;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Failure::passing(error.without_url()))?;
        file.write_all(&chunk).map_err(local)?;
        have += chunk.len() as u64;
        // The check of the size refuses the file; a server that never ends must not fill the disk before.
        if total.is_some_and(|total| have > total) {
            break;
        }
        if progress(have, total).is_break() {
            return Err(Failure::Final(HubError::Stopped));
        }
    }
    file.sync_all().map_err(local)?;
    match total {
        Some(total) if have < total => Err(Failure::passing(format!("cut off after {have} of {total} bytes"))),
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
