use std::path::{Path, PathBuf};

use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::dataset::{DatasetSettings, Entry, Listing, Location, Source, error::DatasetError};

/// Lists a CSV, TSV or Parquet manifest with a column of paths and, if it is there, one of classes.
pub(super) fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let path = &settings.path;
    let rows = if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
        from_parquet(settings)?
    } else {
        from_csv(settings)?
    };
    let root = settings.root.clone().or_else(|| path.parent().map(Path::to_owned)).unwrap_or_default();
    let entries = rows
        .into_iter()
        .enumerate()
        .map(|(position, (id, class))| entry(path, &root, position as u64, id, class))
        .collect::<Result<_, _>>()?;
    Ok(Listing { entries, source: Source::Files, classes: None })
}

fn entry(
    manifest: &Path,
    root: &Path,
    position: u64,
    id: String,
    class: Option<String>,
) -> Result<Entry, DatasetError> {
    // Row 1 is the header.
    let wrong =
        |message: &str| DatasetError::Row { path: manifest.to_owned(), row: position + 2, message: message.into() };
    if id.is_empty() {
        return Err(wrong("an empty path"));
    }
    let location: PathBuf = root.join(&id);
    // A file that is not there is a skipped image later, not the end of the run.
    let bytes = fs_err::metadata(&location).map_or(0, |metadata| metadata.len());
    Ok(Entry {
        id,
        class_id: class.filter(|class| !class.is_empty()),
        class_index: None,
        bytes,
        location: Location::File(location),
    })
}

type Rows = Vec<(String, Option<String>)>;

fn from_csv(settings: &DatasetSettings) -> Result<Rows, DatasetError> {
    let path = &settings.path;
    let failed = |source| DatasetError::Csv { path: path.clone(), source };
    let tabs = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tsv"));
    let file = fs_err::File::open(path)?;
    let mut reader = csv::ReaderBuilder::new().delimiter(if tabs { b'\t' } else { b',' }).from_reader(file);
    let headers = reader.headers().map_err(failed)?.clone();
    let position = |column: &str| headers.iter().position(|header| header == column);
    let path_at = position(&settings.path_column).ok_or_else(|| DatasetError::NoColumn {
        path: path.clone(),
        column: settings.path_column.clone(),
        found: headers.iter().map(str::to_owned).collect(),
    })?;
    let class_at = position(&settings.class_column);
    reader
        .records()
        .map(|record| {
            let record = record.map_err(failed)?;
            let field = |at: usize| record.get(at).unwrap_or_default().to_owned();
            Ok((field(path_at), class_at.map(field)))
        })
        .collect()
}

fn from_parquet(settings: &DatasetSettings) -> Result<Rows, DatasetError> {
    let path = &settings.path;
    let failed = |source| DatasetError::Parquet { path: path.clone(), source };
    let file = fs_err::File::open(path)?.into_parts().0;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).map_err(failed)?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|source| failed(source.into()))?;
        let strings = |name: &str| -> Result<Option<Vec<Option<String>>>, DatasetError> {
            let Some(column) = batch.column_by_name(name) else { return Ok(None) };
            let text = arrow::compute::cast(column, &DataType::Utf8).map_err(|_no_cast| DatasetError::ColumnType {
                path: path.clone(),
                column: name.to_owned(),
                found: column.data_type().to_string(),
                expected: "strings or numbers",
            })?;
            let text = text.as_string::<i32>();
            Ok(Some((0..text.len()).map(|row| text.is_valid(row).then(|| text.value(row).to_owned())).collect()))
        };
        let paths = strings(&settings.path_column)?.ok_or_else(|| DatasetError::NoColumn {
            path: path.clone(),
            column: settings.path_column.clone(),
            found: batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
        })?;
        let classes = strings(&settings.class_column)?;
        for (row, image) in paths.into_iter().enumerate() {
            let class = classes.as_ref().and_then(|classes| classes[row].clone());
            rows.push((image.unwrap_or_default(), class));
        }
    }
    Ok(rows)
}
