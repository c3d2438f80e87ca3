//! Which source a path means.
//!
//! A folder with files of one kind is of that kind: tar shards, Parquet shards, else images. A folder with files of several
//! kinds is refused, because no rule is right: a tar may have been unpacked where it lies, or a picture may illustrate shards.
//! Two things do not count. Parquet files without images are tables about them, as beside tars of img2dataset. Compressed tars
//! beside images are archives.

use std::path::{Path, PathBuf};

use super::{Location, SOURCES, SourceFormat, folder, names, open::special, pattern, signature::what_is};
use crate::dataset::{DatasetError, DatasetSettings};

/// The source that the settings mean: that of the URL's scheme, else the `kind`, else the one that recognises the path.
pub(crate) fn format_of(settings: &DatasetSettings) -> Result<&'static SourceFormat, DatasetError> {
    let path = &settings.path;
    let by_scheme = |scheme| SOURCES.iter().copied().find(|format| format.schemes.contains(&scheme));
    if let Some(format) = scheme(path).and_then(by_scheme) {
        return Ok(format);
    }
    if !pattern::is_pattern(path) {
        let metadata = fs_err::metadata(path)?;
        if let Some(what) = special(&metadata) {
            return Err(DatasetError::UnknownKind { path: path.clone(), what: Some(what) });
        }
    }
    settings.kind.format().map_or_else(|| guess(settings), Ok)
}

/// Whether a path is a URL, such as `memory://pictures`, and not a place on a disk.
pub fn is_address(path: &Path) -> bool {
    scheme(path).is_some()
}

/// Scheme of a URL, without `://`.
pub(super) fn scheme(path: &Path) -> Option<&str> {
    let (scheme, _rest) = path.to_str()?.split_once("://")?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(valid)).then_some(scheme)
}

/// Looks at a local path: a pattern, a file, or a folder.
fn guess(settings: &DatasetSettings) -> Result<&'static SourceFormat, DatasetError> {
    let path = settings.path.as_path();
    let ending = names::shard_ending(path);
    if pattern::is_pattern(path) {
        let message = "it ends in neither .tar nor .parquet";
        return recognised(&Location::Pattern { ending: &ending }, settings)?
            .ok_or_else(|| DatasetError::Pattern { path: path.to_owned(), message });
    }
    if path.is_dir() {
        return of_folder(settings);
    }
    recognised(&Location::File { path, ending: &ending }, settings)?
        .ok_or_else(|| DatasetError::UnknownKind { path: path.to_owned(), what: what_is(path) })
}

/// Looks at the files of a folder in the order of their names. What is found does not depend on that order, only which file
/// an error names.
fn of_folder(settings: &DatasetSettings) -> Result<&'static SourceFormat, DatasetError> {
    let root = settings.path.as_path();
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        if !names::is_hidden(&entry.file_name()) && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    let mut found: Vec<(&SourceFormat, &Path)> = Vec::new();
    // Whether all tars are compressed.
    let mut archives = true;
    let mut unreadable = None;
    for path in &files {
        let ending = names::shard_ending(path);
        archives &= ending != "tar" || names::is_compressed_tar(path);
        let location = Location::FolderWith { path, ending: &ending };
        for format in SOURCES.iter().copied() {
            // One file of a kind is enough: others of it are not opened.
            if found.iter().any(|(known, _path)| std::ptr::eq(*known, format)) {
                continue;
            }
            match (format.recognises)(&location, settings) {
                Ok(true) => found.push((format, path)),
                Ok(false) => {}
                // It ends the run only if it is what the data set is.
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
    }
    let Some((format, one)) = found.first().copied() else {
        if let Some(error) = unreadable.filter(|_error| folder::first_image(root).is_none()) {
            return Err(error);
        }
        return recognised(&Location::Folder, settings)?
            .ok_or_else(|| DatasetError::UnknownKind { path: root.to_owned(), what: None });
    };
    let image = folder::first_image(root);
    if image.is_some() && archives && found.iter().all(|(format, _path)| format.name == "webdataset") {
        return Ok(&folder::FORMAT);
    }
    let Some(other) = found.get(1).map(|(_format, path)| (*path).to_owned()).or(image) else { return Ok(format) };
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
    Err(DatasetError::Mixed { path: root.to_owned(), one: below(one), other: below(&other) })
}

fn recognised(
    location: &Location<'_>,
    settings: &DatasetSettings,
) -> Result<Option<&'static SourceFormat>, DatasetError> {
    for format in SOURCES {
        if (format.recognises)(location, settings)? {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_those_of_urls() {
        assert_eq!(scheme(Path::new("s3://bucket/shard-{0..9}.tar")), Some("s3"));
        for path in ["images/s3", r"C:\images", "://x", "an image://x", "3s://x", "s3:/x"] {
            assert_eq!(scheme(Path::new(path)), None, "{path}");
        }
    }
}
