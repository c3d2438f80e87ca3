use std::{
    collections::HashMap,
    error::Error,
    path::{Path, PathBuf},
};

use arrow_array::{Array, cast::AsArray};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use headspan_images::csv_lines::{line_of, wrong_field_count};

/// Why a pool of descriptions cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line without a description.
    #[error("`{path}`, line {line}: an empty description")]
    EmptyLine {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// A description that stands twice.
    #[error("`{path}`, line {line}: {text:?} already stands in line {first}")]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Line of the second.
        line: usize,
        /// Line of the first.
        first: usize,
        /// The description.
        text: String,
    },
    /// Bytes that are not UTF-8.
    #[error("`{path}`, line {line}: not UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// No description at all.
    #[error("`{path}` holds no description")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A table without the column of texts.
    #[error("`{path}` has no column `text`; a tagged pool has the columns text and category")]
    NoTextColumn {
        /// The file.
        path: PathBuf,
    },
    /// A row with more or fewer fields than the header.
    #[error("`{path}`, line {line}: {message}")]
    Fields {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// How many fields there are.
        message: String,
    },
    /// A CSV file that cannot be parsed.
    #[error("`{path}` is not a readable CSV pool")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the CSV library said, with the line.
        source: csv::Error,
    },
    /// A Parquet file that cannot be read.
    #[error("`{path}` is not a readable Parquet pool")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// One description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolEntry {
    /// The text.
    pub text: String,
    /// Its property category, if the pool is tagged.
    pub category: Option<String>,
}

/// Descriptions in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The descriptions.
    pub entries: Vec<PoolEntry>,
}

impl Pool {
    /// Reads a pool: `.csv`, `.tsv` and `.parquet` with columns `text` and, if tagged, `category`; anything else is one
    /// description a line. Empty lines and duplicates are errors, because both shift what `text_index` means.
    pub fn read(path: &Path) -> Result<Self, PoolError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        if ending == "parquet" {
            return Self::collect(path, parquet_entries(path)?, |place| place + 1);
        }
        let bytes = fs_err::read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| PoolError::Encoding {
            path: path.to_owned(),
            line: bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count(),
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match ending.as_str() {
            "csv" => Self::parse_table(path, text, b','),
            "tsv" => Self::parse_table(path, text, b'\t'),
            _ => {
                // Spaces are kept: the published pool has two lines that differ in one at the end.
                let entries = text.lines().map(|line| PoolEntry { text: line.to_owned(), category: None });
                Self::collect(path, entries.collect(), |place| place + 1)
            }
        }
    }

    /// Parses the text of a CSV pool; `path` names it in errors.
    pub fn parse_csv(path: &Path, text: &str) -> Result<Self, PoolError> {
        Self::parse_table(path, text, b',')
    }

    fn parse_table(path: &Path, text: &str, delimiter: u8) -> Result<Self, PoolError> {
        let failed = |source: csv::Error| match wrong_field_count(&source) {
            Some((start, message)) => {
                PoolError::Fields { path: path.to_owned(), line: line_of(text.as_bytes(), start), message }
            }
            None => PoolError::Csv { path: path.to_owned(), source },
        };
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
        let headers = reader.headers().map_err(failed)?.clone();
        let position = |name: &str| headers.iter().position(|header| header.trim() == name);
        let text_at = position("text").ok_or_else(|| PoolError::NoTextColumn { path: path.to_owned() })?;
        let category_at = position("category");
        let (mut entries, mut starts) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(failed)?;
            starts.push(record.position().map_or(0, csv::Position::byte));
            let field = |at: usize| record.get(at).unwrap_or_default().trim().to_owned();
            let category = category_at.map(field).filter(|category| !category.is_empty());
            entries.push(PoolEntry { text: field(text_at), category });
        }
        Self::collect(path, entries, |place| line_of(text.as_bytes(), starts[place]))
    }

    /// Refuses what would shift or blur `text_index`; `line` is that of an entry, asked for messages alone.
    fn collect(path: &Path, entries: Vec<PoolEntry>, line: impl Fn(usize) -> usize) -> Result<Self, PoolError> {
        if entries.is_empty() {
            return Err(PoolError::Empty { path: path.to_owned() });
        }
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            if entry.text.trim().is_empty() {
                return Err(PoolError::EmptyLine { path: path.to_owned(), line: line(position) });
            }
            if let Some(first) = seen.insert(&entry.text, position) {
                let (line, first) = (line(position), line(first));
                return Err(PoolError::Duplicate { path: path.to_owned(), line, first, text: entry.text.clone() });
            }
        }
        Ok(Self { entries })
    }

    /// Hash of texts and categories in order.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for entry in &self.entries {
            for part in [entry.text.as_str(), entry.category.as_deref().unwrap_or("\0")] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

fn parquet_entries(path: &Path) -> Result<Vec<PoolEntry>, PoolError> {
    let failed = |source: Box<dyn Error + Send + Sync>| PoolError::Parquet { path: path.to_owned(), source };
    let file = fs_err::File::open(path)?.into_parts().0;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .map_err(|error| failed(error.into()))?;
    let mut entries = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| failed(error.into()))?;
        let strings = |name: &str| {
            batch
                .column_by_name(name)
                .map(|column| arrow_cast::cast(column, &DataType::Utf8).map_err(|error| failed(error.into())))
                .transpose()
        };
        let text = strings("text")?.ok_or_else(|| PoolError::NoTextColumn { path: path.to_owned() })?;
        let category = strings("category")?;
        let text = text.as_string::<i32>();
        for row in 0..text.len() {
            let category = category.as_ref().map(|column| column.as_string::<i32>());
            entries.push(PoolEntry {
                text: if text.is_valid(row) { text.value(row).trim().to_owned() } else { String::new() },
                category: category.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned()),
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<Pool, PoolError> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        fs_err::write(&path, bytes)?;
        Pool::read(&path)
    }

    #[test]
    fn plain_pools_take_a_line_each_with_or_without_a_final_newline() -> Result<(), PoolError> {
        let one = read("pool.txt", b"\xef\xbb\xbfA red door\r\nTwo cats")?;
        let two = read("pool.txt", b"A red door\nTwo cats\n")?;
        assert_eq!(one, two);
        assert_eq!(one.entries[1].text, "Two cats");
        Ok(())
    }

    #[test]
    fn tagged_pools_have_categories() -> Result<(), PoolError> {
        let pool = read("pool.csv", b"text,category\n\"A red, wide door\",colors\nTwo cats,counting\n")?;
        assert_eq!(pool.entries[0].text, "A red, wide door");
        assert_eq!(pool.entries[1].category.as_deref(), Some("counting"));
        Ok(())
    }

    #[test]
    fn the_published_pool_is_accepted() -> Result<(), PoolError> {
        let Some(shared) = std::env::var_os("HEADSPAN_SHARED") else {
            eprintln!("skipped: HEADSPAN_SHARED is not set, so there is no published pool");
            return Ok(());
        };
        let pool = Pool::read(&Path::new(&shared).join("data/image_descriptions_general.txt"))?;
        assert_eq!(pool.entries.len(), 3498);
        Ok(())
    }

    #[test]
    fn bad_lines_are_named() {
        let cases: [(&str, &[u8], &str); 8] = [
            ("a.txt", b"one\n\nthree\n", "line 2: an empty description"),
            ("b.txt", b"one\ntwo\none\n", "line 3: \"one\" already stands in line 1"),
            ("c.txt", b"one\n\xff\n", "line 2: not UTF-8"),
            ("d.txt", b"", "holds no description"),
            ("e.csv", b"description\none\n", "no column `text`"),
            ("f.csv", b"text\none\n\n\ntwo\n\none\n", "line 7: \"one\" already stands in line 2"),
            ("g.csv", b"text,category\r\n\r\none,a\r\n\r\n,b\r\n", "line 5: an empty description"),
            ("h.csv", b"text,category\n\none,a\n\ntwo, or three,b\n", "line 5: 3 fields where the header has 2"),
        ];
        for (name, bytes, expected) in cases {
            let message = read(name, bytes).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}
