use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use crate::{
    address::Address,
    blocks::{self, AHEAD, BLOCK, Source},
    disk,
    error::StoreError,
    files::Metadata,
    provider::Object,
    runtime::wait,
};

/// Most bytes of a single read that nothing else is read with.
const LONE: u64 = 4 * BLOCK;

/// A file that is open for reading. Clones read the same file; any number of threads may read at once.
#[derive(Clone)]
pub struct Blob {
    inner: Inner,
    /// The first failure of the store.
    failure: Arc<OnceLock<StoreError>>,
}

#[derive(Clone)]
enum Inner {
    Local(Arc<File>),
    Remote(Arc<Remote>),
}

struct Remote {
    source: Arc<Source>,
    progress: Mutex<Progress>,
}

/// How a file is read: forwards, or here and there.
#[derive(Debug, Default, Clone, Copy)]
struct Progress {
    /// The last block of those that were read forwards.
    front: u64,
    /// How often it was a later one than before.
    steps: u64,
}

impl Progress {
    /// Takes note of a read. Gives how many blocks to fetch behind it; none if it is far from what was read before.
    ///
    /// Decoding threads take images nearly in order, so that a few blocks back or forth are still the same way forwards.
    fn follow(&mut self, block: u64) -> Option<u64> {
        if block + AHEAD < self.front || block > self.front + AHEAD {
            *self = Self { front: block, steps: 0 };
            return None;
        }
        if block > self.front {
            *self = Self { front: block, steps: self.steps + 1 };
        }
        // Of a file whose start alone is looked at, no more is fetched.
        Some((2 * self.steps).min(AHEAD))
    }
}

impl Blob {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::opened(path, false)
    }

    /// Opens a file. Blocks of a remote one are kept on disk, within the bound of that cache, so that they are not fetched
    /// again by the next process.
    pub fn open_cached(path: &Path) -> io::Result<Self> {
        Self::opened(path, true)
    }

    fn opened(path: &Path, on_disk: bool) -> io::Result<Self> {
        let Some(address) = Address::of(path)? else {
            return Ok(fs_err::File::open(path)?.into_parts().0.into());
        };
        let (provider, key) = (address.provider()?, address.key.clone());
        let object = wait({
            let provider = Arc::clone(&provider);
            async move { provider.head(&key).await }
        })??;
        Ok(Self::remote(Source::new(address, provider, object, on_disk)))
    }

    /// Opens a file of which is known what it was, without a request. Reading it fails if it changed meanwhile. A path of this
    /// machine is opened as it is now.
    pub fn known(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        Self::opened_as(path, metadata, false)
    }

    /// The same; what is read of it is kept on disk, as by [`Blob::open_cached`].
    pub fn known_cached(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        Self::opened_as(path, metadata, true)
    }

    fn opened_as(path: &Path, metadata: &Metadata, on_disk: bool) -> io::Result<Self> {
        let Some(address) = Address::of(path)? else { return Self::open(path) };
        let Metadata { length, version, modified, kind: _ } = metadata.clone();
        let object = Object { key: address.key.clone(), size: length, version, modified };
        let provider = address.provider()?;
        Ok(Self::remote(Source::new(address, provider, object, on_disk)))
    }

    /// These bytes, in one request. With `keep`, they are kept on disk where the file was opened so.
    pub fn exact(&self, range: Range<u64>, keep: bool) -> io::Result<Bytes> {
        if range.end < range.start || range.end > self.length()? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match &self.inner {
            Inner::Remote(remote) if !range.is_empty() => Ok(blocks::kept(&remote.source, range, keep)?),
            _ => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                self.read_exact_at(&mut bytes, range.start)?;
                Ok(bytes.into())
            }
        }
    }

    pub(crate) fn remote(source: Source) -> Self {
        Inner::Remote(Arc::new(Remote { source: Arc::new(source), progress: Mutex::default() })).into()
    }

    /// The same file, whose failures are watched from now on. Libraries make text of errors, from which nobody can tell a store
    /// that failed from a file that is damaged.
    #[must_use]
    pub fn watched(&self) -> Self {
        self.inner.clone().into()
    }

    /// The first failure of the store since this file was opened or [watched](Self::watched).
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.get()
    }

    /// What a remote file is, as of when it was opened. None for a local one.
    pub fn remote_metadata(&self) -> Option<Metadata> {
        match &self.inner {
            Inner::Local(_file) => None,
            Inner::Remote(remote) => Some(remote.source.object().clone().into()),
        }
    }

    /// What was kept about this version of a remote file under a name. Nothing may depend on it.
    pub fn note(&self, name: &str) -> Option<Bytes> {
        let Inner::Remote(remote) = &self.inner else { return None };
        remote.source.version().and_then(|_version| disk::NOTES.get(remote.source.id(), name))
    }

    /// Keeps something about this version of a remote file on disk, within the bound of that cache.
    pub fn keep_note(&self, name: &str, bytes: &[u8]) {
        if let Inner::Remote(remote) = &self.inner
            && remote.source.version().is_some()
        {
            disk::NOTES.put(remote.source.id(), name, bytes);
        }
    }

    /// Length in bytes: of a remote file, when it was opened.
    pub fn length(&self) -> io::Result<u64> {
        match &self.inner {
            Inner::Local(file) => Ok(file.metadata()?.len()),
            Inner::Remote(remote) => Ok(remote.source.size()),
        }
    }

    /// What changes whenever a remote file does. None for local files, and where the server does not say.
    pub fn version(&self) -> Option<&str> {
        match &self.inner {
            Inner::Local(_file) => None,
            Inner::Remote(remote) => remote.source.version(),
        }
    }

    /// Fills `bytes` with those from `offset` on.
    pub fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, offset) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes = &mut bytes[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads some of the bytes from `offset` on; none at the end.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.inner {
            Inner::Local(file) => read_local(file, bytes, offset),
            Inner::Remote(remote) => remote.read_at(bytes, offset).map_err(|error| {
                // A later failure says no more.
                drop(self.failure.set(error.clone()));
                error.into()
            }),
        }
    }

    /// A reader from the start on, with a position of its own.
    pub fn reader(&self) -> BlobReader {
        BlobReader { blob: self.clone(), position: 0 }
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.inner {
            Inner::Local(file) => file.fmt(formatter),
            Inner::Remote(remote) => formatter.write_str(&remote.source.shown()),
        }
    }
}

impl From<File> for Blob {
    fn from(file: File) -> Self {
        Inner::Local(Arc::new(file)).into()
    }
}

impl From<Inner> for Blob {
    fn from(inner: Inner) -> Self {
        Self { inner, failure: Arc::default() }
    }
}

#[cfg(unix)]
fn read_local(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_local(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

impl Remote {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, StoreError> {
        let size = self.source.size();
        let length = (bytes.len() as u64).min(size.saturating_sub(offset));
        if length == 0 {
            return Ok(0);
        }
        let number = offset / BLOCK;
        let ahead = self.progress.lock().unwrap_or_else(PoisonError::into_inner).follow(number);
        if ahead.is_none() && length < LONE && !self.source.is_on_disk() && !blocks::is_known(&self.source, number) {
            let exact = blocks::exact(&self.source, offset..offset + length)?;
            bytes[..exact.len()].copy_from_slice(&exact);
            return Ok(exact.len());
        }
        let block = blocks::get(&self.source, number, ahead.unwrap_or(0))?;
        let within = (offset - number * BLOCK) as usize;
        let part = block.get(within..).unwrap_or_default();
        let count = part.len().min(length as usize);
        if count == 0 {
            return Err(StoreError::ChangedWhileRead { address: self.source.shown() });
        }
        bytes[..count].copy_from_slice(&part[..count]);
        Ok(count)
    }
}

/// Reads a [`Blob`] from a position on.
pub struct BlobReader {
    blob: Blob,
    position: u64,
}

impl Read for BlobReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.blob.read_at(bytes, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, step) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(step) => (self.position, step),
            SeekFrom::End(step) => (self.blob.length()?, step),
        };
        let position = base.checked_add_signed(step).ok_or(ErrorKind::InvalidInput)?;
        self.position = position;
        Ok(position)
    }
}

impl Length for Blob {
    fn len(&self) -> u64 {
        self.length().unwrap_or(0)
    }
}

impl ChunkReader for Blob {
    type T = BufReader<BlobReader>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(BlobReader { blob: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // A footer may promise any length.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!("the file ends before byte {start} + {length}")));
        }
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, start).map_err(|error| ParquetError::External(error.into()))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_fetched_ahead_the_longer_a_file_is_read_forwards() {
        let mut progress = Progress::default();
        let ahead: Vec<_> = [0, 0, 1, 2, 1, 3, 4, 40, 40, 41, 39].map(|block| progress.follow(block)).into();
        let some = [Some(0), Some(0), Some(2), Some(4), Some(4), Some(6), Some(6), None, Some(0), Some(2), Some(2)];
        assert_eq!(ahead, some);
    }

    #[test]
    fn local_files_are_read_at_places() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a");
        fs_err::write(&path, b"0123456789")?;
        let blob = Blob::open(&path)?;
        let mut bytes = [0; 3];
        blob.read_exact_at(&mut bytes, 4)?;
        assert_eq!((&bytes, blob.length()?, blob.version()), (b"456", 10, None));
        assert!(blob.read_exact_at(&mut bytes, 8).is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof));
        let mut reader = blob.reader();
        reader.seek(SeekFrom::End(-2))?;
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest)?;
        assert_eq!(rest, b"89");
        assert!(blob.get_bytes(8, 3).is_err() && blob.get_bytes(8, 2).is_ok_and(|bytes| *bytes == *b"89"));
        assert!(blob.note("x").is_none() && blob.remote_metadata().is_none());
        Ok(())
    }
}
