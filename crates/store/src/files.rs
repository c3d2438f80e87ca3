use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};

use crate::{
    address::Address,
    blocks::{BLOCK, turn},
    error::StoreError,
    provider::{Listing, Object, Provider, When},
    runtime::wait,
};

/// Files that are asked about at once.
const ASKED: usize = 64;

/// Whether something is a file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder; in a store, a beginning that keys share.
    Folder,
    /// A pipe, a device or the like.
    Other,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file.
    pub length: u64,
    /// Changes whenever a remote file does. None for local files, for folders, and where a server does not say.
    pub version: Option<String>,
    /// When a file was written, by the clock of what it lies on.
    pub modified: Option<SystemTime>,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, which begins with that of the folder.
    pub path: PathBuf,
    /// What it is.
    pub metadata: Metadata,
}

impl From<Object> for Metadata {
    fn from(object: Object) -> Self {
        let Object { size, version, modified, key: _ } = object;
        Self { kind: Kind::File, length: size, version, modified }
    }
}

impl From<std::fs::Metadata> for Metadata {
    fn from(found: std::fs::Metadata) -> Self {
        let kind = match () {
            () if found.is_file() => Kind::File,
            () if found.is_dir() => Kind::Folder,
            () => Kind::Other,
        };
        Self { kind, length: found.len(), version: None, modified: found.modified().ok() }
    }
}

const FOLDER: Metadata = Metadata { kind: Kind::Folder, length: 0, version: None, modified: None };

/// What lies at a path; links are followed.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    let Some(address) = Address::of(path)? else { return Ok(fs_err::metadata(path)?.into()) };
    let provider = address.provider()?;
    Ok(wait(async move { found(&*provider, &address).await })??)
}

/// What lies at remote addresses, which are asked about at the same time. Paths of this machine are looked at one after the
/// other.
pub fn metadata_of(paths: &[PathBuf]) -> io::Result<Vec<io::Result<Metadata>>> {
    if !paths.iter().any(|path| crate::is_address(path)) {
        return Ok(paths.iter().map(|path| metadata(path)).collect());
    }
    let one = |path: PathBuf| async move {
        let Some(address) = Address::of(&path)? else { return metadata(&path) };
        let provider = address.provider()?;
        Ok(found(&*provider, &address).await?)
    };
    let all = stream::iter(paths.to_vec()).map(one).buffered(ASKED).collect::<Vec<_>>();
    wait(all)
}

async fn found(provider: &dyn Provider, address: &Address) -> Result<Metadata, StoreError> {
    let gone = || StoreError::NotFound { address: address.shown() };
    if !address.key.is_empty() {
        match provider.head(&address.key).await {
            Err(StoreError::NotFound { .. }) => {}
            other => return other.map(Metadata::from),
        }
    }
    match provider.list(&address.key, false).await {
        Ok(listing) if listing.files.is_empty() && listing.folders.is_empty() && !address.key.is_empty() => Err(gone()),
        // A server that lists nothing has no folders.
        Err(StoreError::Unsupported { .. }) => Err(gone()),
        other => other.map(|_found| FOLDER),
    }
}

/// The bytes of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A length is below it.
    read_within(path, u64::MAX).map(Result::unwrap_or_default)
}

/// The bytes of a file that has at most `most`; else its length. A small remote file takes one request.
pub fn read_within(path: &Path, most: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let Some(address) = Address::of(path)? else {
        let length = fs_err::metadata(path)?.len();
        return Ok(if length > most { Err(length) } else { Ok(fs_err::read(path)?) });
    };
    let provider = address.provider()?;
    Ok(wait(async move {
        let _turn = turn().await;
        let (object, start) = provider.start(&address.key, BLOCK).await?;
        if object.size > most {
            return Ok(Err(object.size));
        }
        let have = start.len() as u64;
        if have == object.size {
            return Ok(Ok(start.into()));
        }
        let mut bytes = BytesMut::from(start);
        bytes.extend_from_slice(&provider.range(&address.key, have..object.size, object.version.as_deref()).await?);
        if bytes.len() as u64 == object.size {
            Ok(Ok(bytes.into()))
        } else {
            Err(StoreError::ChangedWhileRead { address: address.shown() })
        }
    })??)
}

/// What lies in a folder, in the order of names. A store has no empty folders: there, what does not exist is empty.
pub fn read_dir(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    if let Some(address) = Address::of(folder)? {
        let Listing { files, folders } = listed(&address, false)?;
        entries.extend(files.into_iter().map(|file| entry(&address, file)));
        let folder = |key: String| Entry { path: address.with_key(&key).path(), metadata: FOLDER };
        entries.extend(folders.into_iter().map(folder));
    } else {
        for found in fs_err::read_dir(folder)? {
            let path = found?.path();
            // A link that leads nowhere is not there.
            match metadata(&path) {
                Ok(metadata) => entries.push(Entry { path, metadata }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

/// All files of a remote folder and of those below it, in the order of their keys. Empty for a path of this machine, whose
/// folders have links and rights that the caller has to decide about.
pub fn walk(folder: &Path) -> io::Result<Vec<Entry>> {
    let Some(address) = Address::of(folder)? else { return Ok(Vec::new()) };
    let mut files = listed(&address, true)?.files;
    files.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(files.into_iter().map(|file| entry(&address, file)).collect())
}

/// Writes a remote file at once: all of it is there, or nothing of it. Gives its version, which is another than before
/// whenever its bytes are.
///
/// A path of this machine is refused; `artifacts` makes such files visible.
pub fn put(path: &Path, bytes: impl Into<Bytes>, when: When) -> io::Result<Option<String>> {
    let address = Address::of(path)?.ok_or(io::ErrorKind::InvalidInput)?;
    let (provider, bytes) = (address.provider()?, bytes.into());
    Ok(wait(async move { provider.put(&address.key, bytes, when).await })??)
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    let Some(address) = Address::of(path)? else {
        return match fs_err::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
    };
    let provider = address.provider()?;
    Ok(wait(async move { provider.remove(&address.key).await })??)
}

fn listed(address: &Address, deep: bool) -> io::Result<Listing> {
    let (provider, key) = (address.provider()?, address.key.clone());
    let mut listing = wait({
        let key = key.clone();
        async move { provider.list(&key, deep).await }
    })??;
    // Consoles of stores leave an empty file where somebody made a folder.
    listing.files.retain(|file| file.key != key);
    Ok(listing)
}

fn entry(folder: &Address, file: Object) -> Entry {
    Entry { path: folder.with_key(&file.key).path(), metadata: file.into() }
}

impl Address {
    /// The store of this address.
    pub(crate) fn provider(&self) -> io::Result<Arc<dyn Provider>> {
        Ok(crate::schemes::provider(self)?)
    }
}
