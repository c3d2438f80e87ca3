//! Rows of Parquet files without image bytes.

use std::path::Path;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;

use super::{Columns, Rows};
use crate::{
    dataset::{DatasetError, DatasetSettings},
    sources::parquet::{Batches, open_parquet, unreadable},
};

/// Reads the columns of paths and classes, batch by batch.
pub(super) fn read(settings: &DatasetSettings, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
    let path = &settings.path;
    let failed = |source| unreadable(path, source);
    let (blob, reader) = open_parquet(path)?;
    let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns = Columns::find(settings, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let roots = [Some(columns.path), columns.class];
    let mask = ProjectionMask::roots(reader.parquet_schema(), roots.into_iter().flatten());
    let mut before = 0;
    for batch in Batches::new(reader.with_projection(mask).build().map_err(failed)?, blob) {
        let batch = batch.map_err(failed)?;
        let paths = strings(path, &batch, &names[columns.path])?;
        let classes = columns.class.map(|at| strings(path, &batch, &names[at])).transpose()?;
        for (row, image) in paths.iter().enumerate() {
            if settings.enough(rows.len()) {
                return Ok(());
            }
            let Some(image) = image.filter(|image| !image.is_empty()) else {
                let row = before + row as u64 + 1;
                return Err(DatasetError::Row { path: path.clone(), row, message: "an empty path".to_owned() });
            };
            let class = classes.as_ref().filter(|classes| classes.is_valid(row)).map(|classes| classes.value(row));
            rows.push(image.as_bytes(), class);
        }
        before += batch.num_rows() as u64;
    }
    Ok(())
}

/// A column as strings. What is no string is an error, where a lenient cast would make it a null.
fn strings(path: &Path, batch: &RecordBatch, name: &str) -> Result<StringArray, DatasetError> {
    let wrong = |found: String| DatasetError::ColumnType {
        path: path.to_owned(),
        column: name.to_owned(),
        found,
        expected: "strings or numbers",
    };
    let column = batch.column_by_name(name).ok_or_else(|| wrong("none".to_owned()))?;
    let strict = arrow_cast::CastOptions { safe: false, ..Default::default() };
    let text = arrow_cast::cast_with_options(column, &DataType::Utf8, &strict);
    let text = text.map_err(|_no_cast| wrong(column.data_type().to_string()))?;
    Ok(text.as_string::<i32>().clone())
}
