//! What the name of a file says about it.

use std::{ffi::OsStr, path::Path};

use crate::decoding::formats::is_image_ending;

/// Second endings of tars that are compressed, as in `train.tar.gz`. How a tar is compressed is seen in its bytes.
const COMPRESSED: [&str; 9] = ["gz", "gzip", "z", "zst", "zstd", "bz2", "xz", "lzma", "lz4"];
/// The same in one ending.
const COMPRESSED_TARS: [&str; 8] = ["tgz", "taz", "tzst", "tbz", "tbz2", "tb2", "txz", "tlz"];

/// Whether a name is that of a hidden file.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a name is that of a file that an operating system leaves in any folder.
pub(super) fn is_litter(name: &OsStr) -> bool {
    ["thumbs.db", "desktop.ini"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a file's ending is one of an image.
pub(super) fn is_image(path: &Path) -> bool {
    is_image_ending(&ending(path))
}

/// Whether a file has this ending, in whatever case.
pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending))
}

/// Ending of a file in lower case, without the dot; empty if it has none or one that is not UTF-8.
pub(super) fn ending(path: &Path) -> String {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase()
}

/// Ending that says what a data set's file is: as [`ending`], but `tar` for compressed tars too.
pub(super) fn shard_ending(path: &Path) -> String {
    if is_compressed_tar(path) { "tar".to_owned() } else { ending(path) }
}

/// Whether a name is that of a compressed tar.
pub(super) fn is_compressed_tar(path: &Path) -> bool {
    let ending = ending(path);
    let is_tar = || path.file_stem().is_some_and(|stem| has_ending(Path::new(stem), "tar"));
    COMPRESSED_TARS.contains(&ending.as_str()) || (COMPRESSED.contains(&ending.as_str()) && is_tar())
}

/// A name that is not UTF-8, spelled so that no two names are spelled alike: its other bytes as `\xE4`.
pub(super) fn spelled(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_tars_are_tars() {
        for name in ["a.tar", "a.TAR.gz", "a.tgz", "b.c.tar.zst", "a.tar.bz2", "a.txz"] {
            assert_eq!(shard_ending(Path::new(name)), "tar", "{name}");
        }
        assert_eq!(shard_ending(Path::new("a.gz")), "gz");
        assert!(!is_compressed_tar(Path::new("a.tar")) && is_compressed_tar(Path::new("x/a.tar.xz")));
    }

    #[test]
    fn names_that_are_not_utf8_stay_apart() {
        assert_eq!(spelled(b"fo\xe4.jpg"), r"fo\xE4.jpg");
        assert_ne!(spelled(b"\xe4\xff"), spelled(b"\xff\xe4"));
    }
}
