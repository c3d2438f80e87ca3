//! Folders with parts that cannot be read.
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, symlink};

use fs_err as fs;
use headspan_images::Dataset;

use crate::{Outcome, ids, message, settings, write};

#[test]
fn what_cannot_be_read_ends_no_run() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write(&path("a/1.jpg"), b"1")?;
    write(&path("a/2.jpg"), b"2")?;
    symlink("nowhere.jpg", path("a/gone.jpg"))?;
    symlink("nowhere.jpg", path("a/.gone.jpg"))?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["a/1.jpg", "a/2.jpg", "a/gone.jpg"]);
    assert!(dataset.read(2).is_err_and(|error| error.to_string().contains("gone.jpg")));
    assert!(
        !dataset.warnings().iter().any(|warning| warning.contains("could not be read")),
        "{:?}",
        dataset.warnings()
    );

    symlink(folder.path(), path("a/again"))?;
    symlink("unmounted", path("b"))?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(dataset.len(), 3);
    let said = dataset.warnings().join("; ");
    assert!(said.contains("2 entries of the folder could not be read and were skipped; the first: "), "{said}");
    assert!(said.contains("again") || said.contains("/b"), "{said}");
    Ok(())
}

#[test]
fn unreadable_folders_are_passed_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    let closed = folder.path().join("closed");
    write(&closed.join("1.jpg"), b"1")?;
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o000))?;
    if fs::read_dir(&closed).is_ok() {
        eprintln!("skipped: this user may read every folder");
        return Ok(());
    }
    let said = message(&settings(folder.path()));
    assert!(said.contains("holds no image") && said.contains("1 entries of the folder could not be read"), "{said}");
    write(&folder.path().join("open/2.jpg"), b"2")?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["open/2.jpg"]);
    assert!(dataset.warnings().iter().any(|warning| warning.contains("closed")), "{:?}", dataset.warnings());
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o755))?;
    Ok(())
}

#[test]
fn a_folder_of_nothing_but_broken_links_says_so() -> Outcome {
    let folder = tempfile::tempdir()?;
    symlink("unmounted", folder.path().join("images"))?;
    let said = message(&settings(folder.path()));
    assert!(said.contains("holds no image"), "{said}");
    assert!(said.contains("1 entries of the folder could not be read") && said.contains("images"), "{said}");
    Ok(())
}
