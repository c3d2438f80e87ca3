use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use crate::{
    address::Address,
    blocks::{self, BLOCK, Source},
    error::StoreError,
    runtime::wait,
};

/// A file that is open for reading. Clones read the same file; any number of threads may read at once.
#[derive(Clone)]
pub struct Blob(Inner);

#[derive(Clone)]
enum Inner {
    Local(Arc<File>),
    Remote(Arc<Remote>),
}

struct Remote {
    source: Arc<Source>,
    /// Where the last read ended: one near it is taken for the next of a reader that goes forwards.
    last: AtomicU64,
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
        let provider = address.provider()?;
        let key = address.key.clone();
        let object = wait({
            let provider = Arc::clone(&provider);
            async move { provider.head(&key).await }
        })??;
        let source = Source::new(address, provider, object, on_disk);
        Ok(Self(Inner::Remote(Arc::new(Remote { source: Arc::new(source), last: AtomicU64::new(0) }))))
    }

    /// Length in bytes: of a remote file, when it was opened.
    pub fn length(&self) -> io::Result<u64> {
        match &self.0 {
            Inner::Local(file) => Ok(file.metadata()?.len()),
            Inner::Remote(remote) => Ok(remote.source.size()),
        }
    }

    /// What changes whenever a remote file does. None for local files, and where the server does not say.
    pub fn version(&self) -> Option<&str> {
        match &self.0 {
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
        match &self.0 {
            Inner::Local(file) => read_local(file, bytes, offset),
            Inner::Remote(remote) => remote.read_at(bytes, offset),
        }
    }

    /// A reader from the start on, with a position of its own.
    pub fn reader(&self) -> BlobReader {
        BlobReader { blob: self.clone(), position: 0 }
    }
}

impl From<File> for Blob {
    fn from(file: File) -> Self {
        Self(Inner::Local(Arc::new(file)))
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
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let size = self.source.size();
        let length = (bytes.len() as u64).min(size.saturating_sub(offset));
        if length == 0 {
            return Ok(0);
        }
        let last = self.last.swap(offset + length, Ordering::Relaxed);
        // Decoding threads take images nearly in order: a step back within a block is still the same way forwards.
        let forward = offset.abs_diff(last) <= BLOCK;
        if !forward && length < BLOCK / 2 && !self.source.is_on_disk() {
            let exact = blocks::exact(&self.source, offset..offset + length)?;
            bytes[..exact.len()].copy_from_slice(&exact);
            return Ok(exact.len());
        }
        let number = offset / BLOCK;
        let block = blocks::get(&self.source, number, forward)?;
        let within = (offset - number * BLOCK) as usize;
        let part = block.get(within..).unwrap_or_default();
        let count = part.len().min(length as usize);
        if count == 0 {
            let address = self.source.shown();
            return Err(StoreError::ChangedWhileRead { address }.into());
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
