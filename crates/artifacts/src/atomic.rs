use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use fs_err as fs;
use tempfile::NamedTempFile;

use crate::{files::is_remote, upload::Upload};

/// A file that appears under its name complete or not at all. On a disk it is written beside its target under a temporary name,
/// flushed to the disk and renamed; in a store it is put at once, on the condition that nobody else wrote it since it was created.
/// Dropped without [`AtomicFile::commit`], it leaves nothing.
///
/// This is the one place of the project that makes artifacts visible.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Disk(BufWriter<NamedTempFile>),
    Store(Upload),
}

impl AtomicFile {
    /// Opens a temporary file: beside `target`, creating the folder, or on this machine if `target` lies in a store.
    pub fn create(target: &Path) -> io::Result<Self> {
        let place = if is_remote(target) {
            Place::Store(Upload::create(target)?)
        } else {
            let folder = folder_of(target);
            fs::create_dir_all(folder)?;
            let mut builder = tempfile::Builder::new();
            builder.prefix(".headspan-").suffix(".tmp");
            // Artifacts are shared between people of a group box; a temporary file's own mode would hide them.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            Place::Disk(BufWriter::with_capacity(1 << 20, builder.tempfile_in(folder)?))
        };
        Ok(Self { target: target.to_owned(), place })
    }

    /// Says what the results in the file are of. In a store, a file of the same fingerprint that another process wrote meanwhile
    /// stays instead of this one: both are results of the same work.
    #[must_use]
    pub fn of_fingerprint(mut self, fingerprint: &str) -> Self {
        if let Place::Store(upload) = &mut self.place {
            upload.fingerprint = Some(fingerprint.to_owned());
        }
        self
    }

    /// Where the file will appear.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Makes the file visible. On a disk: flushes, syncs and renames; then syncs the folder, so that the name survives a power cut.
    pub fn commit(self) -> io::Result<()> {
        let Self { target, place } = self;
        let name = |error: io::Error| io::Error::new(error.kind(), format!("writing `{}`: {error}", target.display()));
        let writer = match place {
            Place::Disk(writer) => writer,
            Place::Store(upload) => return upload.commit(&target),
        };
        let file = writer.into_inner().map_err(|error| name(error.into_error()))?;
        file.as_file().sync_all().map_err(name)?;
        file.persist(&target).map_err(|error| name(error.error))?;
        sync_folder(&target)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Disk(writer) => writer.write(buffer),
            Place::Store(upload) => upload.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Disk(writer) => writer.flush(),
            Place::Store(upload) => upload.flush(),
        }
    }
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

// Opening a folder for syncing is a Unix idea; elsewhere the change of names itself is all that is offered.
#[cfg(unix)]
pub(crate) fn sync_folder(of: &Path) -> io::Result<()> {
    fs::File::open(folder_of(of))?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_of: &Path) -> io::Result<()> {
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
