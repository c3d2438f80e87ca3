//! What lies at a path of this machine or at an address.

use std::{
    io::{ErrorKind, Result},
    path::{Path, PathBuf},
};

use headspan_store::{Kind, is_address};

use super::{names::is_hidden, open::special};

/// What a data set's path leads to.
pub(super) enum Place {
    Folder,
    File,
    /// A pipe, a device and the like.
    Special(&'static str),
}

/// What a path leads to; an error if nothing is there.
pub(super) fn place(path: &Path) -> Result<Place> {
    if is_address(path) {
        let folder = headspan_store::metadata(path)?.kind == Kind::Folder;
        return Ok(if folder { Place::Folder } else { Place::File });
    }
    let metadata = fs_err::metadata(path)?;
    Ok(match special(&metadata) {
        Some(what) => Place::Special(what),
        None if metadata.is_dir() => Place::Folder,
        None => Place::File,
    })
}

/// Whether a path is a folder. Of this machine, what cannot be looked at is none.
pub(super) fn is_folder(path: &Path) -> Result<bool> {
    if !is_address(path) {
        return Ok(path.is_dir());
    }
    match headspan_store::metadata(path) {
        Ok(found) => Ok(found.kind == Kind::Folder),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Something in a folder that is not hidden.
pub(super) struct Child {
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
}

/// What lies directly in a folder and is not hidden, in any order.
pub(super) fn children(folder: &Path) -> Result<Vec<Child>> {
    let mut found = Vec::new();
    if is_address(folder) {
        for entry in headspan_store::read_dir(folder)? {
            if !entry.path.file_name().is_some_and(is_hidden) {
                found.push(Child { is_folder: entry.metadata.kind == Kind::Folder, path: entry.path });
            }
        }
        return Ok(found);
    }
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if !is_hidden(&entry.file_name()) {
            let path = entry.path();
            found.push(Child { is_folder: path.is_dir(), path });
        }
    }
    Ok(found)
}
