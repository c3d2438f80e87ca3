//! How a CSV file is written: its encoding, its delimiter, and whether it has a header. Judged by its first bytes.

use std::{
    io::{BufReader, Read, Result},
    path::Path,
};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;

use crate::{
    dataset::DatasetSettings,
    decoding::formats::{foreign_image_ending, is_image_ending},
    sources::{
        names::{ending, has_ending},
        open::{open, reader},
    },
};

/// Bytes by which a file is judged.
const JUDGED: u64 = 64 << 10;
/// Rows by which a delimiter is judged.
const JUDGED_ROWS: usize = 20;
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How a CSV file is written.
#[derive(Debug, Clone)]
pub(super) struct Dialect {
    /// None for UTF-8 and for what is no text at all.
    encoding: Option<&'static Encoding>,
    pub(super) delimiter: u8,
    /// Whether the first row names the columns.
    pub(super) header: bool,
    /// The first row.
    pub(super) first: Vec<String>,
}

impl Dialect {
    /// Judges a file. The delimiter is that of its ending if the first row has the column of paths with it, else another with
    /// which it has; else the one that divides the first rows most evenly.
    pub(super) fn of(path: &Path, settings: &DatasetSettings) -> Result<Self> {
        let mut start = Vec::new();
        reader(path)?.take(JUDGED).read_to_end(&mut start)?;
        let encoding = utf16(&start);
        let mut text = Vec::new();
        decoded(start.as_slice(), encoding).read_to_end(&mut text)?;
        let usual = if has_ending(path, "tsv") { b'\t' } else { b',' };
        let delimiters = || [usual].into_iter().chain(DELIMITERS.into_iter().filter(move |own| *own != usual));
        let names_paths = |row: &Vec<String>| row.iter().any(|name| name.trim() == settings.path_column.trim());
        let with_column = delimiters().map(|own| (own, first_rows(&text, own, 1))).find_map(|(own, rows)| {
            let first = rows.into_iter().next()?;
            names_paths(&first).then_some((own, first))
        });
        if let Some((delimiter, first)) = with_column {
            return Ok(Self { encoding, delimiter, header: true, first });
        }
        let mut best = (0, usual);
        for own in delimiters() {
            let fields = even_fields(&first_rows(&text, own, JUDGED_ROWS));
            if fields > best.0 {
                best = (fields, own);
            }
        }
        let delimiter = best.1;
        let first = first_rows(&text, delimiter, 1).into_iter().next().unwrap_or_default();
        // Whoever names a column says that there is a header.
        let asked = settings.path_column != DatasetSettings::default().path_column;
        let header = asked || !first.iter().any(|field| is_image_path(field));
        Ok(Self { encoding, delimiter, header, first })
    }

    /// The file's text as UTF-8.
    pub(super) fn reader(&self, path: &Path) -> Result<Box<dyn Read>> {
        Ok(decoded(BufReader::new(open(path)?.reader()), self.encoding))
    }

    /// The column of paths in a file without a header: the first that holds one in the first row.
    pub(super) fn path_column(&self) -> Option<usize> {
        self.first.iter().position(|field| is_image_path(field))
    }
}

/// The encoding of a file of UTF-16, by its mark or by the zero in most of its characters.
fn utf16(start: &[u8]) -> Option<&'static Encoding> {
    match start {
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let zeros = |first: usize| start.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), start.len() / 2);
    match half {
        0 => None,
        _ if even == 0 && 10 * odd > 8 * half => Some(UTF_16LE),
        _ if odd == 0 && 10 * even > 8 * half => Some(UTF_16BE),
        _ => None,
    }
}

fn decoded<'a>(bytes: impl Read + 'a, encoding: Option<&'static Encoding>) -> Box<dyn Read + 'a> {
    match encoding {
        None => Box::new(bytes),
        Some(encoding) => Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(bytes)),
    }
}

fn first_rows(text: &[u8], delimiter: u8, count: usize) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text);
    let rows = reader.byte_records().take(count).map_while(std::result::Result::ok);
    rows.map(|row| row.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()).collect()
}

/// Number of fields of all rows, if it is the same; 0 if it is not, or 1.
fn even_fields(rows: &[Vec<String>]) -> usize {
    let fields = rows.first().map_or(0, Vec::len);
    if fields > 1 && rows.iter().all(|row| row.len() == fields) { fields } else { 0 }
}

fn is_image_path(field: &str) -> bool {
    let ending = ending(Path::new(field.trim()));
    is_image_ending(&ending) || foreign_image_ending(&ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(name: &str, text: &[u8]) -> Result<Dialect> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        fs_err::write(&path, text)?;
        Dialect::of(&path, &DatasetSettings::default())
    }

    #[test]
    fn delimiters_are_found_by_the_column_of_paths_or_by_even_rows() -> Result<()> {
        for (name, text, delimiter, header) in [
            ("a.csv", "path,class\na.jpg,x\n", b',', true),
            ("a.csv", "path;class\na.jpg;x\n", b';', true),
            ("a.csv", "class|path\nx|a.jpg\n", b'|', true),
            ("a.tsv", "path,class\na.jpg,x\n", b',', true),
            ("a.csv", "path\ttitle\na.jpg\tone, two\n", b'\t', true),
            ("a.csv", "file;class\na.jpg;x\n", b';', true),
            ("a.csv", "a.jpg;cat\nb.jpg;dog\n", b';', false),
            ("a.csv", "a.jpg\nb.jpg\n", b',', false),
            ("a.tsv", "", b'\t', true),
        ] {
            let found = dialect(name, text.as_bytes())?;
            assert_eq!((found.delimiter, found.header), (delimiter, header), "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn text_of_utf16_is_known_with_and_without_its_mark() -> Result<()> {
        let little: Vec<u8> = "path,class\nä.jpg,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "path,class\nä.jpg,x\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for text in [[b"\xff\xfe".as_slice(), &little].concat(), [b"\xfe\xff".as_slice(), &big].concat(), little, big] {
            assert_eq!(dialect("a.csv", &text)?.first, ["path", "class"]);
        }
        assert_eq!(utf16(b"\0\0\0\0\0\0"), None);
        assert_eq!(utf16(b"path"), None);
        Ok(())
    }
}
