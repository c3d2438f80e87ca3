use std::path::Path;

use walkdir::WalkDir;

use crate::dataset::{
    IMAGE_ENDINGS, Listing,
    error::DatasetError,
    listing::{ClassOf, Classes},
    source::{Files, Source},
};

/// Lists a folder: `root/class/…/image.jpg`, or flat. The class is the first folder below the root. Hidden files are
/// passed over, links are followed (loops are errors).
pub(super) fn list(root: &Path) -> Result<Listing, DatasetError> {
    let mut files = Files::new(root);
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
        let odd = relative.to_str().is_none().then_some(found.path());
        files.push(&parts.join("/"), found.metadata().map_err(std::io::Error::from)?.len(), odd);
    }
    files.sort();
    let mut classes = Classes::default();
    for index in 0..files.ids().len() {
        classes.push(ClassOf::named(files.ids().get(index).split_once('/').map(|(class, _rest)| class)));
    }
    Ok(Listing { source: Source::Files(files), classes, names: None })
}

/// Whether a file's ending is one of an image.
pub(super) fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| IMAGE_ENDINGS.contains(&ending.to_lowercase().as_str()))
}
