//! Folders of images, with or without a subfolder for each class.

use std::path::{Path, PathBuf};

use headspan_store::is_address;
use walkdir::{DirEntry, WalkDir};

use crate::{
    dataset::{DatasetError, ImageClasses, RawClass},
    sources::{
        Listing, Location, SourceFormat,
        files::ImageFiles,
        names::{is_hidden, is_image, is_litter},
        passed_over::PassedOver,
        place::children,
        tally::Tally,
    },
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "folder",
    schemes: &[],
    recognises: |location, _settings| Ok(matches!(location, Location::Folder)),
    list: |settings| if is_address(&settings.path) { list_remote(&settings.path) } else { list(&settings.path) },
};

/// Lists a folder: `root/class/…/image.jpg`, or flat. The class is the first folder below the root. Hidden files are
/// passed over, links are followed. What cannot be read (a subfolder, a loop of links) is passed over with a warning, as are
/// pipes, sockets and devices; other files are counted by their endings.
fn list(root: &Path) -> Result<Listing, DatasetError> {
    let mut files = ImageFiles::new(root);
    let (mut unread, mut special, mut passed_over) = (Tally::default(), Tally::default(), PassedOver::default());
    for found in WalkDir::new(root).follow_links(true).into_iter().filter_entry(is_shown) {
        match found {
            Ok(found) if found.file_type().is_dir() => {}
            Ok(found) if !found.file_type().is_file() => special.add(|| format!("`{}`", found.path().display())),
            Ok(found) if is_image(found.path()) => {
                push(&mut files, root, found.path(), found.metadata().map_or(0, |metadata| metadata.len()));
            }
            Ok(found) => passed_over.add(found.path()),
            Err(error) if error.depth() == 0 => return Err(std::io::Error::from(error).into()),
            Err(error) => match broken_image(&error) {
                // An image that is skipped later, as one that a manifest names and that is gone.
                Some(path) => push(&mut files, root, path, 0),
                None if error.path().and_then(Path::file_name).is_some_and(is_hidden) => {}
                None => unread.add(|| error.to_string()),
            },
        }
    }
    files.tell_apart();
    let damage = unread.warning("entries of the folder could not be read and were skipped").into_iter().collect();
    let special = special.warning("pipes, sockets or devices were passed over");
    let warnings = special.into_iter().chain(passed_over.warnings("images")).collect();
    Ok(Listing { warnings, damage, ..sorted(files) })
}

/// Lists a folder of a store by the same rules. Stores have no links, no rights of single files and nothing special.
fn list_remote(root: &Path) -> Result<Listing, DatasetError> {
    let (mut files, mut passed_over) = (ImageFiles::new(root), PassedOver::default());
    for entry in headspan_store::walk(root)? {
        let relative = entry.path.strip_prefix(root).unwrap_or(&entry.path);
        if relative.iter().any(|part| is_hidden(part) || is_litter(part)) {
            continue;
        }
        if is_image(relative) {
            push(&mut files, root, &entry.path, entry.metadata.length);
        } else {
            passed_over.add(relative);
        }
    }
    Ok(Listing { warnings: passed_over.warnings("images"), ..sorted(files) })
}

/// The files in the order of their ids, with their classes.
fn sorted(mut files: ImageFiles) -> Listing {
    files.sort();
    let mut classes = ImageClasses::default();
    for index in 0..files.ids().len() {
        classes.push(RawClass::named(files.ids().get(index).split_once('/').map(|(class, _rest)| class)));
    }
    Listing::new(Box::new(files), classes)
}

/// An image anywhere below a folder, in the order of names. Of a folder of this machine, what cannot be looked at is passed over.
pub(super) fn first_image(root: &Path) -> std::io::Result<Option<PathBuf>> {
    if is_address(root) { first_remote_image(root) } else { Ok(first_local_image(root)) }
}

/// Goes down one folder after the other: a list of all would be long, and most images are near.
fn first_remote_image(root: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut found = children(root)?;
    found.retain(|child| !child.path.file_name().is_some_and(is_litter));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    if let Some(image) = found.iter().find(|child| !child.is_folder && is_image(&child.path)) {
        return Ok(Some(image.path.clone()));
    }
    for folder in found.iter().filter(|child| child.is_folder) {
        if let Some(image) = first_remote_image(&folder.path)? {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

fn first_local_image(root: &Path) -> Option<PathBuf> {
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    let mut files = walk.filter_entry(is_shown).filter_map(Result::ok);
    files.find(|found| found.file_type().is_file() && is_image(found.path())).map(DirEntry::into_path)
}

/// Whether a file or folder is neither hidden nor left by an operating system.
fn is_shown(entry: &DirEntry) -> bool {
    entry.depth() == 0 || (!is_hidden(entry.file_name()) && !is_litter(entry.file_name()))
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
