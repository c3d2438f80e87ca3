use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;

use crate::{
    address::Address,
    blob::Blob,
    error::StoreError,
    provider::{Listing, Object, When},
    runtime::wait,
};

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
    wait(async move {
        if !address.key.is_empty() {
            match provider.head(&address.key).await {
                Err(StoreError::NotFound { .. }) => {}
                other => return other.map(Metadata::from),
            }
        }
        match provider.list(&address.key, false).await {
            Ok(listing) if listing.files.is_empty() && listing.folders.is_empty() && !address.key.is_empty() => {}
            // A server that lists nothing has no folders.
            Err(StoreError::Unsupported { .. }) => {}
            other => return other.map(|_found| FOLDER),
        }
        Err(StoreError::NotFound { address: address.shown() })
    })?
    .map_err(io::Error::from)
}

/// The bytes of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if Address::of(path)?.is_none() {
        return fs_err::read(path);
    }
    let blob = Blob::open(path)?;
    let mut bytes = vec![0; blob.length()? as usize];
    blob.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// What lies in a folder, in the order of names. A store has no empty folders: there, what does not exist is empty.
pub fn read_dir(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    if let Some(address) = Address::of(folder)? {
        let Listing { files, folders } = listed(&address, false)?;
        entries.extend(files.into_iter().map(|file| entry(&address, file)));
        entries.extend(
            folders.into_iter().map(|key| Entry { path: address.with_key(&key).path(), metadata: FOLDER }),
        );
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
    Ok(wait(async move { provider.list(&key, deep).await })??)
}

fn entry(folder: &Address, file: Object) -> Entry {
    Entry { path: folder.with_key(&file.key).path(), metadata: file.into() }
}

impl Address {
    /// The store of this address.
    pub(crate) fn provider(&self) -> io::Result<Arc<dyn crate::provider::Provider>> {
        Ok(crate::schemes::provider(self)?)
    }
}
