//! What the name of a file says about it.

use std::{ffi::OsStr, path::Path};

/// Endings that count as images; other files of a folder are passed over. In shards, the earlier ending is preferred.
pub(crate) const IMAGE_ENDINGS: [&str; 5] = ["jpg", "jpeg", "jpe", "png", "webp"];

/// Whether a name is that of a hidden file.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a file's ending is one of an image.
pub(super) fn is_image(path: &Path) -> bool {
    IMAGE_ENDINGS.contains(&ending(path).as_str())
}

/// Whether a file has this ending, in whatever case.
pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending))
}

/// Ending of a file in lower case, without the dot; empty if it has none or one that is not UTF-8.
pub(super) fn ending(path: &Path) -> String {
    path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase()
}
