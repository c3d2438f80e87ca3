//! Manifests: tables with a row for each image.

use std::path::Path;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    csv_lines::{line_of, wrong_field_count},
    dataset::{DatasetError, DatasetSettings, ImageClasses, RawClass},
    sources::{Listing, Location, SourceFormat, files::ImageFiles, names::has_ending, parquet::has_image_bytes},
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "manifest",
    schemes: &[],
    recognises: |location| match location {
        Location::File { ending: "csv" | "tsv", .. } => Ok(true),
        // With image bytes it is a Parquet shard.
        Location::File { ending: "parquet", path } => Ok(!has_image_bytes(path)?),
        _ => Ok(false),
    },
    list,
    // The columns choose which paths and classes are listed, and these are in the fingerprint themselves.
    identity: |_settings| None,
};

/// Lists a CSV, TSV or Parquet manifest with a column of paths and, if it is there, one of classes.
fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let path = &settings.path;
    let root = settings.root.clone().or_else(|| path.parent().map(Path::to_owned)).unwrap_or_default();
    let mut rows = Rows { files: ImageFiles::new(&root), classes: ImageClasses::default(), root: &root };
    if has_ending(path, "parquet") {
        from_parquet(settings, &mut rows)?;
    } else {
        from_csv(settings, &mut rows)?;
    }
    Ok(Listing { images: Box::new(rows.files), classes: rows.classes, class_names: None, warnings: Vec::new() })
}

/// The rows so far.
struct Rows<'a> {
    files: ImageFiles,
    classes: ImageClasses,
    root: &'a Path,
}

impl Rows<'_> {
    fn push(&mut self, id: &str, class: Option<&str>) {
        // A file that is not there is a skipped image later, not the end of the run.
        let bytes = fs_err::metadata(self.root.join(id)).map_or(0, |metadata| metadata.len());
        self.files.push(id, bytes, None);
        self.classes.push(RawClass::named(class));
    }
}

/// Places of the columns.
struct Columns {
    path: usize,
    class: Option<usize>,
}

impl Columns {
    /// Finds the columns by their names without outer blanks. The column of classes may be absent only if nobody asked for
    /// it, by its name or by a class file.
    fn find<'a>(settings: &DatasetSettings, names: impl Iterator<Item = &'a str>) -> Result<Self, DatasetError> {
        let names: Vec<&str> = names.map(str::trim).collect();
        let place = |column: &str| names.iter().position(|name| *name == column.trim());
        let absent = |column: &str| DatasetError::NoColumn {
            path: settings.path.clone(),
            column: column.to_owned(),
            found: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let path = place(&settings.path_column).ok_or_else(|| absent(&settings.path_column))?;
        let asked = settings.class_column != DatasetSettings::default().class_column || settings.classes.is_some();
        let class = match settings.class_column.as_str() {
            "" => None,
            column => match place(column) {
                None if asked => return Err(absent(column)),
                place => place,
            },
        };
        Ok(Self { path, class })
    }
}

fn from_csv(settings: &DatasetSettings, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
    let path = &settings.path;
    let failed = |source: csv::Error| match wrong_field_count(&source) {
        Some((start, message)) => wrong_record(path, start, message),
        None => DatasetError::Csv { path: path.clone(), source },
    };
    let delimiter = if has_ending(path, "tsv") { b'\t' } else { b',' };
    let file = fs_err::File::open(path)?;
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let columns = Columns::find(settings, reader.headers().map_err(failed)?.iter())?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let image = record.get(columns.path).unwrap_or_default();
        if image.is_empty() {
            let start = record.position().map_or(0, csv::Position::byte);
            return Err(wrong_record(path, start, "an empty path".to_owned()));
        }
        rows.push(image, columns.class.and_then(|at| record.get(at)).map(str::trim));
    }
    Ok(())
}

/// What is wrong with the record at byte `start`. The manifest is read again to count lines, so that it need not be kept.
fn wrong_record(path: &Path, start: u64, message: String) -> DatasetError {
    match fs_err::read(path) {
        Ok(text) => DatasetError::Row { path: path.to_owned(), row: line_of(&text, start) as u64, message },
        Err(error) => error.into(),
    }
}

fn from_parquet(settings: &DatasetSettings, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
    let path = &settings.path;
    let failed = |source| DatasetError::Parquet { path: path.clone(), source };
    let file = fs_err::File::open(path)?.into_parts().0;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let columns = Columns::find(settings, reader.schema().fields().iter().map(|field| field.name().as_str()))?;
    let mut before = 0;
    for batch in reader.build().map_err(failed)? {
        let batch = batch.map_err(|source| failed(source.into()))?;
        let paths = strings(path, &batch, columns.path)?;
        let classes = columns.class.map(|at| strings(path, &batch, at)).transpose()?;
        for (row, image) in paths.iter().enumerate() {
            let Some(image) = image.filter(|image| !image.is_empty()) else {
                let row = before + row as u64 + 1;
                return Err(DatasetError::Row { path: path.clone(), row, message: "an empty path".to_owned() });
            };
            let class = classes.as_ref().filter(|classes| classes.is_valid(row)).map(|classes| classes.value(row));
            rows.push(image, class);
        }
        before += batch.num_rows() as u64;
    }
    Ok(())
}

/// A column as strings. What is no string is an error, where a lenient cast would make it a null.
fn strings(path: &Path, batch: &RecordBatch, at: usize) -> Result<StringArray, DatasetError> {
    let column = batch.column(at);
    let strict = arrow_cast::CastOptions { safe: false, ..Default::default() };
    let text = arrow_cast::cast_with_options(column, &DataType::Utf8, &strict);
    let text = text.map_err(|_no_cast| DatasetError::ColumnType {
        path: path.to_owned(),
        column: batch.schema().field(at).name().clone(),
        found: column.data_type().to_string(),
        expected: "strings or numbers",
    })?;
    Ok(text.as_string::<i32>().clone())
}
