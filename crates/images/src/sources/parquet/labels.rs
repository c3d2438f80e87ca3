//! Classes of the rows of Parquet shards.

use std::path::Path;

use arrow_array::{
    Array, ArrayRef, Float64Array,
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use arrow_schema::{DataType, Schema};
use headspan_store::Blob;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{
    columns::File,
    guard::{Batches, caught, unreadable},
};
use crate::{
    dataset::{DatasetError, DatasetSettings, ImageClasses, RawClass},
    sources::suggestion::similar,
};

/// Adds the classes of a shard's first `rows`. The column may be absent only if nobody named it.
pub(super) fn read(
    File { path, blob, .. }: File<'_>,
    builder: ParquetRecordBatchReaderBuilder<Blob>,
    rows: usize,
    column: &str,
    classes: &mut ImageClasses,
) -> Result<(), DatasetError> {
    let Some(target) = target(path, builder.schema(), column)? else {
        for _row in 0..rows {
            classes.push(RawClass::None);
        }
        return Ok(());
    };
    let failed = |source| unreadable(path, source);
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
    let reader = caught(|| builder.with_projection(mask).with_limit(rows).build()).map_err(failed)?;
    let mut before = 0;
    for batch in Batches::new(reader, blob.clone()) {
        let batch = batch.map_err(failed)?;
        let labels = batch.column(0);
        let floats = floats(labels);
        if let Some(row) = floats.as_ref().and_then(first_fraction) {
            return Err(fraction(path, before + row, column));
        }
        let cast = arrow_cast::cast(labels, &target).map_err(|source| failed(source.into()))?;
        if let Some(names) = cast.as_string_opt::<i32>() {
            for name in names {
                classes.push(RawClass::named(name));
            }
            continue;
        }
        let nulls = labels.logical_nulls();
        for (row, number) in cast.as_primitive::<Int64Type>().iter().enumerate() {
            let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
                || floats.as_ref().is_some_and(|floats| floats.value(row).is_nan());
            let class = numbered(number, null).ok_or_else(|| too_large(path, before + row, column))?;
            classes.push(class);
        }
        before += batch.num_rows();
    }
    Ok(())
}

/// What a shard's labels are read as: strings or whole numbers. None if there are no labels.
fn target(path: &Path, schema: &Schema, column: &str) -> Result<Option<DataType>, DatasetError> {
    let Ok(field) = schema.field_with_name(column) else {
        if column.is_empty() || column == DatasetSettings::default().label_column {
            return Ok(None);
        }
        let found: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let similar = similar(column, &found.iter().map(String::as_str).collect::<Vec<_>>());
        return Err(DatasetError::NoColumn { path: path.to_owned(), column: column.to_owned(), similar, found });
    };
    let target = cast_to(field.data_type()).ok_or_else(|| DatasetError::ColumnType {
        path: path.to_owned(),
        column: column.to_owned(),
        found: field.data_type().to_string(),
        expected: "class names or whole numbers; name another as `label_column`, or none: `label_column = \"\"`",
    })?;
    Ok(Some(target))
}

fn cast_to(labels: &DataType) -> Option<DataType> {
    match labels {
        DataType::Dictionary(_, values) => cast_to(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        // Where all labels are withheld, the column may have no type. Readers that know no missing integers make them floats; each must
        // still be whole.
        DataType::Null | DataType::Boolean => Some(DataType::Int64),
        number if number.is_integer() || number.is_floating() => Some(DataType::Int64),
        _ => None,
    }
}

/// Class of a number; none if it is too large for one, as a number is that the cast has lost.
fn numbered(number: Option<i64>, null: bool) -> Option<RawClass> {
    match number {
        None => null.then_some(RawClass::None),
        // Hugging Face writes −1 where a label is withheld.
        Some(..0) => Some(RawClass::None),
        Some(number) => u32::try_from(number).ok().map(RawClass::Number),
    }
}

/// Labels that are floats; where one is missing, pandas writes NaN.
fn floats(labels: &ArrayRef) -> Option<Float64Array> {
    let cast = labels.data_type().is_floating().then(|| arrow_cast::cast(labels, &DataType::Float64).ok())??;
    Some(cast.as_primitive::<Float64Type>().clone())
}

/// Row of the first number that is not whole.
fn first_fraction(numbers: &Float64Array) -> Option<usize> {
    numbers.iter().position(|number| number.is_some_and(|number| !number.is_nan() && number.fract() != 0.0))
}

fn fraction(path: &Path, row: usize, column: &str) -> DatasetError {
    DatasetError::FractionalClass { path: path.to_owned(), row: row as u64 + 1, column: column.to_owned() }
}

fn too_large(path: &Path, row: usize, column: &str) -> DatasetError {
    DatasetError::ClassTooLarge { path: path.to_owned(), row: row as u64 + 1, column: column.to_owned() }
}

/// Class names that Hugging Face's writer leaves in the schema's metadata.
pub(super) fn class_names(schema: &Schema, column: &str) -> Option<Vec<String>> {
    let metadata: serde_json::Value = serde_json::from_str(schema.metadata().get("huggingface")?).ok()?;
    let names = metadata.get("info")?.get("features")?.get(column)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
