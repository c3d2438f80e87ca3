//! Paths as people and programs write them into tables.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::dataset::ReadError;

const FILE: &str = "file://";

/// The file that a manifest names. `file://` URLs are paths. Where there is no file of the name as it is written, outer blanks
/// are left out and `\` is read as `/`.
pub(in crate::sources) fn find(root: &Path, text: &str) -> Result<PathBuf, ReadError> {
    if is_address(text) {
        return Err(ReadError::Address { address: text.to_owned() });
    }
    if let Some(path) = path_of_url(text) {
        return Ok(path);
    }
    if headspan_store::is_address(root) {
        return Ok(below_address(root, text));
    }
    let path = root.join(text);
    let trimmed = text.trim();
    let slashes = trimmed.replace('\\', "/");
    if (trimmed == text && slashes == text) || path.exists() {
        return Ok(path);
    }
    let others = [root.join(trimmed), root.join(slashes)];
    Ok(others.into_iter().find(|other| other.exists()).unwrap_or(path))
}

/// A file below an address. Stores have no `.` and no `..`, and to ask for other spellings would cost a request for each.
fn below_address(root: &Path, text: &str) -> PathBuf {
    let mut path = root.to_owned();
    for part in text.trim().replace('\\', "/").split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}

/// Whether a text is a URL that leads elsewhere than to a local file.
pub(super) fn is_address(text: &str) -> bool {
    let Some((scheme, _rest)) = text.trim_start().split_once("://") else { return false };
    let letters = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    letters && scheme.len() > 1 && !scheme.eq_ignore_ascii_case("file")
}

/// Path of `file:///a%20b.jpg` or `file://localhost/a.jpg`.
fn path_of_url(text: &str) -> Option<PathBuf> {
    let text = text.trim();
    let rest = text.get(FILE.len()..).filter(|_rest| text[..FILE.len()].eq_ignore_ascii_case(FILE))?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let bytes: Vec<u8> = percent_decode_str(rest).collect();
    Some(path_of_bytes(&bytes))
}

/// A path of bytes, which on some systems need not be UTF-8.
pub(super) fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_however_they_are_written() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        let file = root.join("a/b c.jpg");
        fs_err::create_dir(root.join("a"))?;
        fs_err::write(&file, b"x")?;
        let url = format!("file://{}", file.display()).replace(' ', "%20");
        let local = url.replace("file://", "FILE://localhost");
        for text in ["a/b c.jpg", " a/b c.jpg ", r"a\b c.jpg", &file.display().to_string(), &url, &local] {
            assert!(find(root, text)?.exists(), "{text}");
        }
        assert_eq!(find(root, "gone.jpg")?, root.join("gone.jpg"));
        for text in ["https://x.org/a.jpg", "s3://b/a.jpg"] {
            assert!(matches!(find(root, text), Err(ReadError::Address { address }) if address == text));
        }
        let remote = |text| find(Path::new("s3://b/x"), text).ok();
        assert_eq!(remote(r" ./a\../b c.jpg "), Some("s3://b/x/b c.jpg".into()));
        assert_eq!(remote("../y/a.jpg"), Some("s3://b/y/a.jpg".into()));
        assert!(!is_address("a/b://c") && !is_address(r"C:\a.jpg") && !is_address("file:///a"));
        Ok(())
    }
}
