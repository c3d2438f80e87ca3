use std::path::Path;

use arrow::{
    array::{Array, AsArray, StringArray},
    datatypes::DataType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::dataset::{
    DatasetSettings, Listing,
    error::DatasetError,
    listing::{ClassOf, Classes},
    source::{Files, Source},
};

/// Lists a CSV, TSV or Parquet manifest with a column of paths and, if it is there, one of classes.
pub(super) fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let path = &settings.path;
    let root = settings.root.clone().or_else(|| path.parent().map(Path::to_owned)).unwrap_or_default();
    let mut rows = Rows { files: Files::new(&root), classes: Classes::default(), root: &root, manifest: path };
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
        from_parquet(settings, &mut rows)?;
    } else {
        from_csv(settings, &mut rows)?;
    }
    Ok(Listing { source: Source::Files(rows.files), classes: rows.classes, names: None })
}

/// The rows so far.
struct Rows<'a> {
    files: Files,
    classes: Classes,
    root: &'a Path,
    manifest: &'a Path,
}

impl Rows<'_> {
    fn push(&mut self, id: &str, class: Option<&str>) -> Result<(), DatasetError> {
        if id.is_empty() {
            // Row 1 is the header.
            let (path, row) = (self.manifest.to_owned(), self.files.ids().len() as u64 + 2);
            return Err(DatasetError::Row { path, row, message: "an empty path".into() });
        }
        // A file that is not there is a skipped image later, not the end of the run.
        let bytes = fs_err::metadata(self.root.join(id)).map_or(0, |metadata| metadata.len());
        self.files.push(id, bytes, None);
        self.classes.push(ClassOf::named(class));
        Ok(())
    }
}

fn from_csv(settings: &DatasetSettings, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
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
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        rows.push(record.get(path_at).unwrap_or_default(), class_at.and_then(|at| record.get(at)))?;
    }
    Ok(())
}

fn from_parquet(settings: &DatasetSettings, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
    let path = &settings.path;
    let failed = |source| DatasetError::Parquet { path: path.clone(), source };
    let file = fs_err::File::open(path)?.into_parts().0;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).map_err(failed)?;
    for batch in reader {
        let batch = batch.map_err(|source| failed(source.into()))?;
        let strings = |name: &str| -> Result<Option<StringArray>, DatasetError> {
            let Some(column) = batch.column_by_name(name) else { return Ok(None) };
            let text = arrow::compute::cast(column, &DataType::Utf8).map_err(|_no_cast| DatasetError::ColumnType {
                path: path.clone(),
                column: name.to_owned(),
                found: column.data_type().to_string(),
                expected: "strings or numbers",
            })?;
            Ok(Some(text.as_string::<i32>().clone()))
        };
        let paths = strings(&settings.path_column)?.ok_or_else(|| DatasetError::NoColumn {
            path: path.clone(),
            column: settings.path_column.clone(),
            found: batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
        })?;
        let classes = strings(&settings.class_column)?;
        for (row, image) in paths.iter().enumerate() {
            let class = classes.as_ref().filter(|classes| classes.is_valid(row)).map(|classes| classes.value(row));
            rows.push(image.unwrap_or_default(), class)?;
        }
    }
    Ok(())
}
