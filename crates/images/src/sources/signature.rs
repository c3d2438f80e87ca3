//! What a file is that is not what its name says, by its first bytes.

use std::{io::Read, path::Path};

/// A kind of file by its first bytes, and a phrase for it.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"\x1f\x9d", "compressed with compress"),
    (b"]\0\0\x80\0", "compressed with lzma"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"PAR1", "a Parquet file"),
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<!doctype", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"SQLite format 3\0", "an SQLite database"),
];

/// What begins with these bytes; none if it is not known.
pub(super) fn what_begins_with(start: &[u8]) -> Option<&'static str> {
    SIGNATURES.iter().find(|(signature, _what)| start.starts_with(signature)).map(|(_signature, what)| *what)
}

/// What a regular file is by its first bytes; none if that is not known or the file cannot be read.
pub(super) fn what_is(path: &Path) -> Option<&'static str> {
    let mut start = Vec::with_capacity(32);
    super::open::reader(path).ok()?.take(32).read_to_end(&mut start).ok()?;
    what_begins_with(&start)
}
