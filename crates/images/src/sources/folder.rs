//! Folders of images, with or without a subfolder for each class.

use std::path::Path;

use walkdir::WalkDir;

use crate::{
    dataset::{DatasetError, ImageClasses, RawClass},
    sources::{
        Listing, Location, SourceFormat,
        files::ImageFiles,
        names::{is_hidden, is_image},
        tally::Tally,
    },
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "folder",
    schemes: &[],
    recognises: |location| Ok(matches!(location, Location::Folder)),
    list: |settings| list(&settings.path),
    identity: |_settings| None,
};

/// Lists a folder: `root/class/…/image.jpg`, or flat. The class is the first folder below the root. Hidden files are
/// passed over, links are followed. What cannot be read (a subfolder, a loop of links) is passed over with a warning.
fn list(root: &Path) -> Result<Listing, DatasetError> {
    let mut files = ImageFiles::new(root);
    let mut unread = Tally::default();
    let walk = WalkDir::new(root).follow_links(true).into_iter();
    for found in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        match found {
            Ok(found) if found.file_type().is_file() && is_image(found.path()) => {
                push(&mut files, root, found.path(), found.metadata().map_or(0, |metadata| metadata.len()));
            }
            Ok(_folder_or_other) => {}
            Err(error) if error.depth() == 0 => return Err(std::io::Error::from(error).into()),
            Err(error) => match broken_image(&error) {
                // An image that is skipped later, as one that a manifest names and that is gone.
                Some(path) => push(&mut files, root, path, 0),
                None if error.path().and_then(Path::file_name).is_some_and(is_hidden) => {}
                None => unread.add(|| error.to_string()),
            },
        }
    }
    files.sort();
    let mut classes = ImageClasses::default();
    for index in 0..files.ids().len() {
        classes.push(RawClass::named(files.ids().get(index).split_once('/').map(|(class, _rest)| class)));
    }
    let warnings = unread.warning("entries of the folder could not be read and were skipped").into_iter().collect();
    Ok(Listing { images: Box::new(files), classes, class_names: None, warnings })
}

fn push(files: &mut ImageFiles, root: &Path, path: &Path, bytes: u64) {
    let relative = path.strip_prefix(root).unwrap_or(path);
    // A name that is not UTF-8 keeps its place under a readable spelling; the file is opened by its real path.
    let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    files.push(&parts.join("/"), bytes, relative.to_str().is_none().then_some(path));
}

/// The link of an image's name that an error is about, if what it points to cannot be looked at.
fn broken_image(error: &walkdir::Error) -> Option<&Path> {
    let path = error.path().filter(|_path| error.loop_ancestor().is_none())?;
    let shown = is_image(path) && !path.file_name().is_some_and(is_hidden);
    (shown && path.is_symlink()).then_some(path)
}
