use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use fs_err as fs;
use tempfile::NamedTempFile;

/// A file that appears under its name complete or not at all: written beside its target under a temporary name, flushed
/// to the disk and renamed. Dropped without [`AtomicFile::commit`], it leaves nothing.
///
/// This is the one place of the project that makes artifacts visible.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// Opens a temporary file beside `target`, creating the folder.
    pub fn create(target: &Path) -> io::Result<Self> {
        let folder = folder_of(target);
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".headspan-").suffix(".tmp");
        // Artifacts are shared between people of a group box; a temporary file's own mode would hide them.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        Ok(Self { target: target.to_owned(), writer: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Where the file will appear.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Flushes, syncs and renames; then syncs the folder, so that the name survives a power cut.
    pub fn commit(self) -> io::Result<()> {
        let Self { target, writer } = self;
        let name = |error: io::Error| io::Error::new(error.kind(), format!("writing `{}`: {error}", target.display()));
        let file = writer.into_inner().map_err(|error| name(error.into_error()))?;
        file.as_file().sync_all().map_err(name)?;
        file.persist(&target).map_err(|error| name(error.error))?;
        sync_folder(&target)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Removes a file if it is there; after a power cut it is still gone.
pub(crate) fn remove_durably(target: &Path) -> io::Result<()> {
    match fs::remove_file(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    sync_folder(target)
}

// Opening a folder for syncing is a Unix idea; elsewhere the change of names itself is all that is offered.
#[cfg(unix)]
fn sync_folder(of: &Path) -> io::Result<()> {
    fs::File::open(folder_of(of))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_of: &Path) -> io::Result<()> {
    Ok(())
}

/// Writes `bytes` to `target` atomically.
pub fn write_atomic(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_without_commit() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("deep/table.parquet");
        let mut file = AtomicFile::create(&target)?;
        file.write_all(b"half")?;
        drop(file);
        assert_eq!(fs::read_dir(folder.path().join("deep"))?.count(), 0);
        Ok(())
    }

    #[test]
    fn commit_replaces_the_whole_file() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("record.json");
        write_atomic(&target, b"a longer first version")?;
        write_atomic(&target, b"second")?;
        assert_eq!(fs::read(&target)?, b"second");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
