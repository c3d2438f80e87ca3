//! Files of runs, on a disk or in a store: what the crates above ask instead of the file system.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use fs_err as fs;
use headspan_store::{Address, Blob, Kind, is_address};

use crate::atomic::sync_folder;

/// Whether a path lies in a store and not on a disk of this machine.
pub fn is_remote(path: &Path) -> bool {
    is_address(path)
}

/// The whole path: absolute, so that it means the same in another folder. Addresses are whole already.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    if is_remote(path) { Ok(path.to_owned()) } else { std::path::absolute(path) }
}

/// Whether a file is there. A store that does not answer is an error: it must not pass for a store without the file.
pub fn is_file(path: &Path) -> io::Result<bool> {
    if !is_remote(path) {
        return Ok(path.is_file());
    }
    Ok(if_there(Blob::open(path))?.is_some())
}

/// Whether a folder is there. In a store, it is there when something lies in it.
pub fn is_folder(path: &Path) -> io::Result<bool> {
    if !is_remote(path) {
        return Ok(path.is_dir());
    }
    Ok(!headspan_store::read_dir(path)?.is_empty())
}

/// The bytes of a file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    headspan_store::read(path)
}

/// Bytes that a file has.
pub(crate) fn length(path: &Path) -> io::Result<u64> {
    if is_remote(path) { Blob::open(path)?.length() } else { Ok(fs::metadata(path)?.len()) }
}

/// Opens a file for reading. What is read of it in a store is kept on disk, within the bound of that cache.
pub fn open_file(path: &Path) -> io::Result<Blob> {
    Blob::open_cached(path)
}

/// Removes a file if it is there; after a power cut it is still gone.
pub fn remove(path: &Path) -> io::Result<()> {
    if is_remote(path) {
        return headspan_store::remove(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    sync_folder(path)
}

/// Names of the files and folders in a folder; none if there is no such folder.
pub fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let named = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    if is_remote(folder) {
        let found = headspan_store::read_dir(folder)?;
        return Ok(found.iter().filter_map(|entry| named(&entry.path)).collect());
    }
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(named(&entry?.path()));
    }
    Ok(names)
}

/// Names of the folders in a folder, in order.
pub(crate) fn folders(parent: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    if is_remote(parent) {
        let found = headspan_store::read_dir(parent)?.into_iter().filter(|entry| entry.metadata.kind == Kind::Folder);
        names.extend(found.filter_map(|entry| Some(entry.path.file_name()?.to_str()?.to_owned())));
    } else {
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Some(name) = entry.file_name().to_str()
            {
                names.push(name.to_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Checks the address of a folder of runs, before anything is asked of its store: that it is one, and, if `writable`, that files
/// can be written there. Paths of this machine are not looked at.
pub fn check_address(runs: &Path, writable: bool) -> io::Result<()> {
    let Some(address) = Address::of(runs)? else { return Ok(()) };
    if writable { Ok(address.check_writable()?) } else { Ok(()) }
}

/// What was found; none if it is not there.
pub(crate) fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_whole_and_paths_become_so() -> io::Result<()> {
        assert_eq!(absolute(Path::new("s3://bucket/runs"))?, Path::new("s3://bucket/runs"));
        assert_eq!(absolute(Path::new("runs"))?, std::env::current_dir()?.join("runs"));
        Ok(())
    }

    #[test]
    fn runs_cannot_be_written_to_what_is_only_read() {
        for (address, writable) in [("s3://b/runs", true), ("az://c", true), ("https://host/runs", false)] {
            assert!(check_address(Path::new(address), false).is_ok(), "{address}");
            assert_eq!(check_address(Path::new(address), true).is_ok(), writable, "{address}");
        }
        assert!(check_address(Path::new("s3://"), false).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_names() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        assert!(names_in(&root.path().join("none"))?.is_empty());
        fs::write(root.path().join("a"), "")?;
        assert_eq!(names_in(root.path())?, ["a"]);
        assert_eq!(length(&root.path().join("a"))?, 0);
        remove(&root.path().join("a"))?;
        remove(&root.path().join("a"))?;
        assert!(!is_file(&root.path().join("a"))?);
        Ok(())
    }
}
