//! What a file really is, whatever its name: downloads end as web pages, pointers and halves of themselves.

use std::{io::Read, path::Path};

use zip::ZipArchive;

use crate::error::{ClipError, ForeignFile, Result};

/// Bytes at the beginning of a file that tell what it is.
const HEAD: u64 = 512;

/// The longest header that safetensors files may have.
const LONGEST_HEADER: u64 = 100_000_000;

/// Formats of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Safetensors,
    /// `torch.save`, in any of its containers.
    Pytorch,
    /// `torch.jit.save`.
    TorchScript,
}

/// Beginnings of files that people hand in for weights.
const FOREIGN: [(&[u8], ForeignFile); 10] = [
    (b"version https://git-lfs", ForeignFile::LfsPointer),
    (b"\x1f\x8b", ForeignFile::Compressed("gzip")),
    (b"\x28\xb5\x2f\xfd", ForeignFile::Compressed("Zstandard")),
    (b"\xfd7zXZ\0", ForeignFile::Compressed("xz")),
    (b"BZh", ForeignFile::Compressed("bzip2")),
    (b"7z\xbc\xaf\x27\x1c", ForeignFile::Compressed("7-Zip")),
    (b"\x89HDF\r\n\x1a\n", ForeignFile::Format("HDF5, as Keras writes it")),
    (b"GGUF", ForeignFile::Format("GGUF")),
    (b"\x93NUMPY", ForeignFile::Format("a NumPy array")),
    (b"%PDF", ForeignFile::Format("PDF")),
];

/// The format by content; an error for what holds no weights.
pub(super) fn of(path: &Path) -> Result<Kind> {
    let mut head = Vec::new();
    let mut file = fs_err::File::open(path)?;
    (&mut file).take(HEAD).read_to_end(&mut head)?;
    let foreign = |kind: ForeignFile| Err(ClipError::NotWeights { path: path.to_owned(), kind });
    if head.is_empty() {
        return foreign(ForeignFile::Empty);
    }
    if is_safetensors(&head) {
        return Ok(Kind::Safetensors);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return in_zip(path);
    }
    if let Some((_, kind)) = FOREIGN.iter().find(|(begin, _)| head.starts_with(begin)) {
        return foreign(*kind);
    }
    let text = head.trim_ascii_start();
    let lower = text[..text.len().min(64)].to_ascii_lowercase();
    if ["<!doctype", "<html", "<?xml", "<head"].iter().any(|begin| lower.starts_with(begin.as_bytes())) {
        return foreign(ForeignFile::WebPage);
    }
    if text.starts_with(b"{\"") || text.starts_with(b"{\n") || text.starts_with(b"{ ") {
        return foreign(ForeignFile::Json);
    }
    if head.iter().all(|byte| *byte == 0) {
        return foreign(ForeignFile::Zeros);
    }
    let is_named_safetensors = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
    match head[0] {
        _ if head.get(257..262) == Some(b"ustar") => Ok(Kind::Pytorch),
        // Pickles of protocol 2 and above; those of 0 and 1 begin with a letter of text.
        0x80 => Ok(Kind::Pytorch),
        _ if is_named_safetensors => foreign(if is_text(&head) { ForeignFile::Text } else { ForeignFile::BadHeader }),
        b'(' | b'}' | b']' | b'c' if !is_text(&head) || first_line_is_one_word(&head) => Ok(Kind::Pytorch),
        _ => foreign(if is_text(&head) { ForeignFile::Text } else { ForeignFile::Unknown }),
    }
}

/// The length of the header, then the brace that it begins with. A length of 128 looks like the first byte of a pickle.
fn is_safetensors(head: &[u8]) -> bool {
    let length = head.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length <= LONGEST_HEADER) && head.get(8) == Some(&b'{')
}

pub(super) fn is_text(head: &[u8]) -> bool {
    head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// As in a pickle of protocol 0, whose first line is an opcode with a name. A message such as `could not resolve host` has spaces.
fn first_line_is_one_word(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').next().is_some_and(|line| !line.contains(&b' '))
}

/// A zip archive has its directory at its end, so one that was cut off has none.
fn in_zip(path: &Path) -> Result<Kind> {
    let file = std::io::BufReader::new(fs_err::File::open(path)?);
    let cut = || ClipError::CutOff {
        path: path.to_owned(),
        what: "the directory that a zip archive has at its end is missing".to_owned(),
    };
    let Ok(archive) = ZipArchive::new(file) else { return Err(cut()) };
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let root = root(&names);
    let has = |name: &str| names.iter().any(|found| found.starts_with(&format!("{}{name}", root.unwrap_or_default())));
    match root {
        None => Err(ClipError::NotWeights { path: path.to_owned(), kind: ForeignFile::Zip }),
        Some(_) if has("constants.pkl") || has("code/") => Ok(Kind::TorchScript),
        Some(_) => Ok(Kind::Pytorch),
    }
}

/// The folder of an archive that PyTorch wrote, with its slash.
pub(super) fn root(names: &[String]) -> Option<&str> {
    let roots = names.iter().filter_map(|name| name.strip_suffix("data.pkl"));
    roots.filter(|root| root.is_empty() || root.ends_with('/')).min_by_key(|root| root.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).expect("written");
        of(&path).map_or_else(|error| error.to_string(), |kind| format!("{kind:?}"))
    }

    #[test]
    fn files_are_known_by_their_content() {
        for (bytes, expected) in [
            (&b""[..], "an empty file"),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"\n  <HTML><head>", "a web page"),
            (b"{\"error\": \"Repository not found\"}", "JSON"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "Git LFS"),
            (b"Entry not found", "text"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            (&[0; 600], "zeros"),
            (b"PK\x03\x04 and no directory", "is cut off"),
            (b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "zip archive"),
            (b"\x80\x02}.", "Pytorch"),
            (b"\x10\0\0\0\0\0\0\0{\"a\": 1}", "Safetensors"),
            (b"\x80\0\0\0\0\0\0\0{\"a\": 1}", "Safetensors"),
            (b"\x01\x02\x03", "of a format that headspan does not know"),
        ] {
            let message = told("model.pt", bytes);
            assert!(message.contains(expected), "{expected}: {message}");
        }
        assert!(told("model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff{}").contains("header"));
        assert!(told("model.safetensors", b"\x80\x02}.").contains("Pytorch"), "content counts, not the name");
    }
}
