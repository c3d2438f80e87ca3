//! Inputs as files, for what is read by path. `run.sh` gives a temporary folder in memory.

use std::{
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// A file with these bytes, in a folder of this process. The next input of the same name takes its place.
///
/// # Panics
/// If it cannot be written, which is a fault of the machine.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("headspan-fuzz-{}", process::id()));
        made(fs_err::create_dir_all(&folder), &folder);
        folder
    });
    let path = folder.join(name);
    made(fs_err::write(&path, bytes), &path);
    path
}

fn made(result: std::io::Result<()>, path: &Path) {
    if let Err(error) = result {
        panic!("`{}` could not be made: {error}", path.display());
    }
}
