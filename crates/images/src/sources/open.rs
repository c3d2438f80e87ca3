//! Opening of regular files, and of nothing else: a pipe would wait for a writer that never comes, a device may never end.
//! This is where a path of this machine and an address of a store become one.

use std::{
    fs::Metadata,
    io::{BufReader, Error, ErrorKind, Read, Result},
    path::Path,
};

use headspan_store::{Blob, is_address, read_within};

use crate::{dataset::ReadError, sources::within_limit};

/// Opens a regular file to be read at places.
pub(crate) fn open(path: &Path) -> Result<Blob> {
    if is_address(path) { Blob::open(path) } else { Ok(open_local(path)?.into_parts().0.into()) }
}

/// Opens a file again that was opened before: if it is a remote one, as what it was then, so that no other file is read in its
/// place.
pub(crate) fn reopen(path: &Path, known: Option<&headspan_store::Metadata>) -> Result<Blob> {
    known.map_or_else(|| open(path), |known| Blob::known(path, known))
}

/// Opens a regular file to be read from its start.
pub(crate) fn reader(path: &Path) -> Result<Box<dyn Read>> {
    if is_address(path) {
        return Ok(Box::new(BufReader::new(Blob::open(path)?.reader())));
    }
    Ok(Box::new(open_local(path)?))
}

/// Opens a regular file of this machine. What a link leads to is looked at before, so that no pipe, socket or device is opened; and again
/// after, in case another file has taken the place meanwhile. Opening never waits.
fn open_local(path: &Path) -> Result<fs_err::File> {
    refuse_others(path, &fs_err::metadata(path)?)?;
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    refuse_others(path, &file.metadata()?)?;
    Ok(file)
}

/// The bytes of a regular file, unless there are more than `limit`.
pub(crate) fn read(path: &Path, limit: u64) -> std::result::Result<Vec<u8>, ReadError> {
    if is_address(path) {
        return read_within(path, limit)?.map_err(|bytes| ReadError::TooLarge { bytes, limit });
    }
    let file = open_local(path)?;
    let length = file.metadata()?.len();
    within_limit(length, limit)?;
    let mut bytes = Vec::with_capacity(length as usize);
    // The file may have grown, and files of the kernel say that they are empty.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    within_limit(bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// The text of a regular file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let mut text = String::new();
    let read = reader(path)?.take(limit + 1).read_to_string(&mut text)?;
    if read as u64 > limit {
        let message = format!("`{}` has more than {limit} bytes", path.display());
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// What a path leads to that is neither a regular file nor a folder; none if it is one of these.
pub(crate) fn special(metadata: &Metadata) -> Option<&'static str> {
    if metadata.is_file() || metadata.is_dir() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return Some("a pipe");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
        if kind.is_block_device() || kind.is_char_device() {
            return Some("a device");
        }
    }
    Some("a special file")
}

fn refuse_others(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = special(metadata).unwrap_or("a folder");
    Err(Error::new(ErrorKind::InvalidInput, format!("`{}` is {what}, not a file", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_up_to_the_limit() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("a");
        fs_err::write(&file, b"abc")?;
        assert_eq!(read(&file, 3)?, b"abc");
        assert!(matches!(read(&file, 2), Err(ReadError::TooLarge { bytes: 3, limit: 2 })));
        assert_eq!(read_text(&file, 3)?, "abc");
        assert!(read_text(&file, 2).is_err_and(|error| error.to_string().contains("more than 2 bytes")));
        let said = read(folder.path(), 9).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.ends_with("is a folder, not a file"), "{said}");
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_sockets_are_not_opened() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (socket, link) = (folder.path().join("s"), folder.path().join("zero.jpg"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
        std::os::unix::fs::symlink("/dev/zero", &link)?;
        for (path, expected) in [(&socket, "s` is a socket, not a file"), (&link, "zero.jpg` is a device, not a file")]
        {
            let said = read(path, 9).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.ends_with(expected), "{said}");
        }
        Ok(())
    }
}
