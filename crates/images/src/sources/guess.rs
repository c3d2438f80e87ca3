//! Which source a path means.
//!
//! A folder with files of one kind is of that kind: tar shards, Parquet shards, else images. A folder with files of several
//! kinds is refused, because no rule is right: a tar may have been unpacked where it lies, or a picture may illustrate shards.
//! Two things do not count. Parquet files without images are tables about them, as beside tars of img2dataset. Compressed tars
//! beside images are archives.

use std::path::{Path, PathBuf};

use super::{
    Location, SOURCES, SourceFormat, folder, names, pattern,
    place::{Place, children, place},
    signature::what_is,
};
use crate::dataset::{DatasetError, DatasetSettings};

/// The source that the settings mean: that of the URL's scheme, else the `kind`, else the one that recognises the path.
pub(crate) fn format_of(settings: &DatasetSettings) -> Result<&'static SourceFormat, DatasetError> {
    let path = &settings.path;
    let by_scheme = |scheme| SOURCES.iter().copied().find(|format| format.schemes.contains(&scheme));
    if let Some(format) = scheme(path).and_then(by_scheme) {
        return Ok(format);
    }
    if pattern::is_pattern(path) {
        return settings.kind.format().map_or_else(|| of_pattern(settings), Ok);
    }
    if let Some(scheme) = scheme(path).filter(|_scheme| !headspan_store::is_address(path) && !path.exists()) {
        return Err(DatasetError::UnknownScheme { path: path.clone(), scheme: scheme.to_owned() });
    }
    let place = place(path)?;
    if let Place::Special(what) = place {
        return Err(DatasetError::UnknownKind { path: path.clone(), what: Some(what) });
    }
    settings.kind.format().map_or_else(|| guess(settings, &place), Ok)
}

/// Whether a path is one of this machine's disks: neither an address, such as `s3://bucket/images`, nor images that a program
/// handed over, `memory://pictures`.
pub fn is_local(path: &Path) -> bool {
    scheme(path).is_none()
}

/// Scheme of a URL, without `://`.
pub(super) fn scheme(path: &Path) -> Option<&str> {
    let (scheme, _rest) = path.to_str()?.split_once("://")?;
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(valid)).then_some(scheme)
}

fn of_pattern(settings: &DatasetSettings) -> Result<&'static SourceFormat, DatasetError> {
    let path = settings.path.as_path();
    let message = "it ends in neither .tar nor .parquet";
    recognised(&Location::Pattern { ending: &names::shard_ending(path) }, settings)?
        .ok_or_else(|| DatasetError::Pattern { path: path.to_owned(), message })
}

/// Looks at a file or a folder.
fn guess(settings: &DatasetSettings, place: &Place) -> Result<&'static SourceFormat, DatasetError> {
    let path = settings.path.as_path();
    if matches!(place, Place::Folder) {
        return of_folder(settings);
    }
    let ending = names::shard_ending(path);
    recognised(&Location::File { path, ending: &ending }, settings)?
        .ok_or_else(|| DatasetError::UnknownKind { path: path.to_owned(), what: what_is(path) })
}

/// Looks at the files of a folder in the order of their names. What is found does not depend on that order, only which file
/// an error names.
fn of_folder(settings: &DatasetSettings) -> Result<&'static SourceFormat, DatasetError> {
    let root = settings.path.as_path();
    let files = children(root)?.into_iter().filter(|child| !child.is_folder);
    let mut files: Vec<PathBuf> = files.map(|child| child.path).collect();
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
        if let Some(error) = unreadable
            && folder::first_image(root)?.is_none()
        {
            return Err(error);
        }
        return recognised(&Location::Folder, settings)?
            .ok_or_else(|| DatasetError::UnknownKind { path: root.to_owned(), what: None });
    };
    let image = folder::first_image(root)?;
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
        assert!(!is_local(Path::new("memory://x")) && is_local(Path::new("x/y")));
        for path in ["images/s3", r"C:\images", "://x", "an image://x", "3s://x", "s3:/x"] {
            assert_eq!(scheme(Path::new(path)), None, "{path}");
        }
    }
}
