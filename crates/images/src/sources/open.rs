//! Opening of regular files, and of nothing else: a pipe would wait for a writer that never comes, a device may never end.

use std::{
    fs::Metadata,
    io::{Error, ErrorKind, Read, Result},
    path::Path,
};

use crate::{dataset::ReadError, sources::within_limit};

/// Opens a regular file. What a link leads to is looked at before, so that no pipe, socket or device is opened; and again
/// after, in case another file has taken the place meanwhile. Opening never waits.
pub(crate) fn open(path: &Path) -> Result<fs_err::File> {
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
    let file = open(path)?;
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
    let read = open(path)?.take(limit + 1).read_to_string(&mut text)?;
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
