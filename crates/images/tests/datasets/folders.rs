//! Folders with parts that cannot be read.
#![cfg(unix)]

use std::{
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    process::Command,
};

use fs_err as fs;
use headspan_images::{Dataset, DatasetKind, DatasetSettings};

use crate::{Outcome, ids, message, said, settings, write};

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

#[test]
fn other_files_are_counted_by_their_endings() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["a/1.JPG", "a/2.heic", "a/3.txt", "b/4.txt", "README", ".hidden.txt", "a/Thumbs.db", "a/.DS_Store"] {
        write(&folder.path().join(name), b"x")?;
    }
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["a/1.JPG"]);
    let expected = "passed over 1 images of formats that are not supported: 1 .heic; \
                    passed over 3 files that are not images: 2 .txt, 1 without an ending";
    assert_eq!(said(&dataset), expected);
    dataset.refuse_damage(&settings(folder.path()))?;
    Ok(())
}

#[test]
fn pipes_sockets_and_devices_are_never_opened() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write(&path("a/1.jpg"), b"1")?;
    assert!(Command::new("mkfifo").arg(path("a/pipe.jpg")).status()?.success());
    let _listener = UnixListener::bind(path("a/socket.png"))?;
    symlink("/dev/zero", path("a/zero.jpg"))?;
    symlink("pipe.jpg", path("a/link.jpg"))?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["a/1.jpg"]);
    assert!(
        said(&dataset).starts_with("4 pipes, sockets or devices were passed over; the first: `"),
        "{}",
        said(&dataset)
    );

    let csv = path("a/list.csv");
    write(&csv, b"path\n1.jpg\npipe.jpg\nsocket.png\nzero.jpg\nlink.jpg\n.\n")?;
    let dataset = Dataset::open(&settings(&csv))?;
    assert_eq!(dataset.read(0)?, b"1");
    for (index, what) in [(1, "a pipe"), (2, "a socket"), (3, "a device"), (4, "a pipe"), (5, "a folder")] {
        let said = dataset.read(index).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.ends_with(&format!("is {what}, not a file")), "{said}");
    }
    for name in ["s.csv", "s.tar", "s.parquet", "classes.txt"] {
        let pipe = path(name);
        assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
        for kind in [DatasetKind::Auto, DatasetKind::Manifest, DatasetKind::Webdataset, DatasetKind::Parquet] {
            let said = message(&DatasetSettings { kind, ..settings(&pipe) });
            assert!(said.contains("is a pipe, not a"), "{name} {kind:?}: {said}");
        }
    }
    let said = message(&DatasetSettings { classes: Some(path("classes.txt")), ..settings(&path("a")) });
    assert!(said.ends_with("classes.txt` is a pipe, not a file"), "{said}");
    let said = message(&settings("/dev/zero".as_ref()));
    assert!(said.starts_with("`/dev/zero` is a device, not a data set"), "{said}");
    Ok(())
}

#[test]
fn links_that_run_in_circles_end() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write(&path("a/1.jpg"), b"1")?;
    symlink("../a", path("a/again"))?;
    symlink("y.jpg", path("a/x.jpg"))?;
    symlink("x.jpg", path("a/y.jpg"))?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["a/1.jpg", "a/x.jpg", "a/y.jpg"]);
    assert!(dataset.read(1).is_err() && dataset.read(2).is_err());
    let refused = dataset.refuse_damage(&settings(folder.path())).err().map(|error| error.to_string());
    assert!(refused.is_some_and(|said| said.contains("1 entries of the folder could not be read")));
    Ok(())
}

#[test]
fn names_in_latin_1_stay_apart() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    if fs::write(file(b"fo\xe4.jpg"), b"a").is_err() {
        eprintln!("skipped: names on this disk are UTF-8");
        return Ok(());
    }
    assert_eq!(ids(&Dataset::open(&settings(folder.path()))?), ["fo\u{fffd}.jpg"], "as in earlier runs");
    fs::write(file(b"fo\xf6.jpg"), b"o")?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), [r"fo\xE4.jpg", r"fo\xF6.jpg"]);
    assert_eq!((dataset.read(0)?, dataset.read(1)?), (b"a".to_vec(), b"o".to_vec()));

    let csv = folder.path().join("list.csv");
    fs::write(&csv, b"path\nfo\xf6.jpg\n")?;
    let dataset = Dataset::open(&settings(&csv))?;
    assert_eq!(dataset.read(0)?, b"o");
    assert!(said(&dataset).contains("1 paths are not UTF-8"), "{}", said(&dataset));
    Ok(())
}
