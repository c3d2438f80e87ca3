//! Rows of CSV files.

use std::path::Path;

use csv::{ByteRecord, Position, ReaderBuilder};

use super::{
    Columns, Rows,
    dialect::Dialect,
    quotes::{OpenQuote, Quotes},
};
use crate::{
    csv_lines::{line_in, wrong_field_count},
    dataset::{DatasetError, DatasetSettings},
};

/// Why rows cannot be read.
enum Failure {
    Dataset(DatasetError),
    Quote(OpenQuote),
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        Self::Dataset(error)
    }
}

/// A CSV file, as it is written.
struct Table<'a> {
    settings: &'a DatasetSettings,
    dialect: Dialect,
}

/// Reads a CSV or TSV file. Gives warnings.
pub(super) fn read(settings: &DatasetSettings, rows: &mut Rows<'_>) -> Result<Vec<String>, DatasetError> {
    let path = &settings.path;
    let table = Table { settings, dialect: Dialect::of(path, settings)? };
    if table.dialect.first.is_empty() {
        return Err(DatasetError::NoRows { path: path.clone() });
    }
    let mut warnings = Vec::new();
    match table.rows(rows, true) {
        Ok(()) => {}
        Err(Failure::Dataset(error)) => return Err(error),
        Err(Failure::Quote(quote)) => {
            // Titles begin with inch marks, and tables of tabs are often written without quoting at all.
            rows.clear();
            let line = table.line(quote.at)?;
            let without = table.rows(rows, false);
            if without.is_err() || rows.has_quoted_path() {
                return Err(wrong_quote(path, line, quote));
            }
            warnings.push(format!(
                "row {line} of `{}` has a quote that is not closed, so quotes are read as part of the text",
                path.display()
            ));
        }
    }
    if !table.dialect.header {
        warnings.push(format!("`{}` has no header, so its first row is read as an image", path.display()));
    }
    Ok(warnings)
}

impl Table<'_> {
    fn columns(&self) -> Result<Columns, DatasetError> {
        let Dialect { first, header, .. } = &self.dialect;
        let names: Vec<&str> = first.iter().map(String::as_str).collect();
        if *header {
            return Columns::find(self.settings, &names);
        }
        let path = self.dialect.path_column().unwrap_or(0);
        // Of two columns, the other can only be the class.
        let class = (first.len() == 2 && !self.settings.class_column.is_empty()).then_some(1 - path);
        if class.is_none() && Columns::class_is_asked_for(self.settings) {
            return Err(Columns::absent(self.settings, &self.settings.class_column, &names));
        }
        Ok(Columns { path, class })
    }

    fn rows(&self, rows: &mut Rows<'_>, quoting: bool) -> Result<(), Failure> {
        let path = &self.settings.path;
        let columns = self.columns()?;
        let text = self.dialect.reader(path).map_err(DatasetError::from)?;
        let Dialect { delimiter, header, .. } = self.dialect;
        let quotes = Quotes::new(text, delimiter, quoting);
        let mut reader =
            ReaderBuilder::new().delimiter(delimiter).quoting(quoting).has_headers(header).from_reader(quotes);
        let mut record = ByteRecord::new();
        while !self.settings.enough(rows.len()) {
            let read = reader.read_byte_record(&mut record);
            if let Some(quote) = reader.get_ref().wrong() {
                return Err(Failure::Quote(quote));
            }
            if !read.map_err(|source| self.failed(source))? {
                break;
            }
            self.row(&record, &columns, rows)?;
        }
        Ok(())
    }

    fn row(&self, record: &ByteRecord, columns: &Columns, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
        let image = record.get(columns.path).unwrap_or_default();
        if image.trim_ascii().is_empty() {
            // Spreadsheets write rows of nothing but delimiters behind the last.
            if record.len() > 1 && record.iter().all(|field| field.trim_ascii().is_empty()) {
                return Ok(());
            }
            let start = record.position().map_or(0, Position::byte);
            return Err(self.wrong_record(start, "an empty path".to_owned()));
        }
        let class = columns.class.and_then(|at| record.get(at)).map(String::from_utf8_lossy);
        rows.push(image, class.as_deref().map(str::trim));
        Ok(())
    }

    fn failed(&self, source: csv::Error) -> DatasetError {
        match wrong_field_count(&source) {
            Some((start, message)) => self.wrong_record(start, message),
            None => DatasetError::Csv { path: self.settings.path.clone(), source },
        }
    }

    /// What is wrong with the record at byte `start`. The manifest is read again to count lines, so that it need not be kept.
    fn wrong_record(&self, start: u64, message: String) -> DatasetError {
        match self.line(start) {
            Ok(row) => DatasetError::Row { path: self.settings.path.clone(), row, message },
            Err(error) => error.into(),
        }
    }

    fn line(&self, byte: u64) -> std::io::Result<u64> {
        line_in(self.dialect.reader(&self.settings.path)?, byte)
    }
}

fn wrong_quote(path: &Path, row: u64, quote: OpenQuote) -> DatasetError {
    let message = if quote.closed {
        "a quote is opened that closes rows later, inside another field"
    } else {
        "a quote is opened and never closed"
    };
    DatasetError::Row { path: path.to_owned(), row, message: message.to_owned() }
}
