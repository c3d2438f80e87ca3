//! The bytes of a shard, from its start to its end: as they are in the file, or decompressed.

use std::{
    io::{BufReader, ErrorKind, Read, Result, copy, sink},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use headspan_store::{Blob, BlobReader};
use serde::{Deserialize, Serialize};

use crate::{dataset::DatasetError, sources::signature::what_begins_with};

/// Bytes that are read at once from a shard that is not compressed. Most of it is passed over, header by header.
const PLAIN_BUFFER: usize = 4096;
const DECODED_BUFFER: usize = 64 << 10;

/// How a shard is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

/// Decides by a shard's first bytes how it is compressed, whatever its name says.
pub(super) fn coding_of(path: &Path, shard: &Blob) -> std::result::Result<Coding, DatasetError> {
    let mut start = Vec::with_capacity(512);
    shard.reader().take(512).read_to_end(&mut start)?;
    // The first bytes of a tar are the name of its first member, which may be any.
    if super::headers::is_header(&start) {
        return Ok(Coding::Plain);
    }
    if start.starts_with(b"\x1f\x8b") {
        return Ok(Coding::Gzip);
    }
    if is_zstd(&start) {
        return Ok(Coding::Zstd);
    }
    match what_begins_with(&start) {
        Some(what) => Err(DatasetError::NotAShard { path: path.to_owned(), what, expected: "tar" }),
        None => Ok(Coding::Plain),
    }
}

/// A frame of zstd, or one that is skipped, as `pzstd` writes.
fn is_zstd(start: &[u8]) -> bool {
    matches!(start, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A shard that is read forwards.
pub(super) enum Input {
    Plain { reader: BufReader<BlobReader>, position: u64, end: u64 },
    Decoded(BufReader<Box<dyn Read + Send>>),
}

impl Input {
    pub(super) fn new(shard: &Blob, coding: Coding) -> Result<Self> {
        let decoder: Box<dyn Read + Send> = match coding {
            Coding::Plain => {
                let end = shard.length()?;
                let reader = BufReader::with_capacity(PLAIN_BUFFER, shard.reader());
                return Ok(Self::Plain { reader, position: 0, end });
            }
            Coding::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(shard.reader()))),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(shard.reader())?),
        };
        Ok(Self::Decoded(BufReader::with_capacity(DECODED_BUFFER, decoder)))
    }

    /// Fills `bytes` as far as the shard goes. Gives the number of bytes.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            let read = match self {
                Self::Plain { reader, .. } => reader.read(&mut bytes[filled..]),
                Self::Decoded(reader) => reader.read(&mut bytes[filled..]),
            };
            match read {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if let Self::Plain { position, .. } = self {
            *position += filled as u64;
        }
        Ok(filled)
    }

    /// Passes `count` bytes, or fewer at the shard's end. Gives the number of bytes.
    pub(super) fn pass(&mut self, count: u64) -> Result<u64> {
        match self {
            Self::Plain { reader, position, end } => {
                let passed = count.min(end.saturating_sub(*position));
                // A file's length fits into an i64.
                reader.seek_relative(passed as i64)?;
                *position += passed;
                Ok(passed)
            }
            Self::Decoded(reader) => copy(&mut reader.take(count), &mut sink()),
        }
    }
}
