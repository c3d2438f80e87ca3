use std::path::Path;

use walkdir::WalkDir;

use crate::dataset::{Entry, IMAGE_ENDINGS, Listing, Location, Source, error::DatasetError};

/// Lists a folder: `root/class/…/image.jpg`, or flat. The class is the first folder below the root. Hidden files are
/// passed over, links are followed (loops are errors).
pub(super) fn list(root: &Path) -> Result<Listing, DatasetError> {
    let mut entries = Vec::new();
    let hidden = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with('.'));
    let walk = WalkDir::new(root).follow_links(true).into_iter();
    for found in walk.filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name())) {
        let found = found.map_err(std::io::Error::from)?;
        if !found.file_type().is_file() || !is_image(found.path()) {
            continue;
        }
        let relative = found.path().strip_prefix(root).unwrap_or(found.path());
        // A name that is not UTF-8 keeps its place under a readable spelling; the file is opened by its real path.
        let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        entries.push(Entry {
            id: parts.join("/"),
            class_id: (parts.len() > 1).then(|| parts[0].to_string()),
            class_index: None,
            bytes: found.metadata().map_err(std::io::Error::from)?.len(),
            location: Location::File(found.path().to_owned()),
        });
    }
    entries.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Listing { entries, source: Source::Files, classes: None })
}

/// Whether a file's ending is one of an image.
pub(super) fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| IMAGE_ENDINGS.contains(&ending.to_lowercase().as_str()))
}
