use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use parquet::{arrow::ArrowWriter, errors::ParquetError};

/// Named columns of equal length as the bytes of a Parquet file: for answers, which belong to no run's schema.
pub fn parquet_bytes(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>, ParquetError> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), column.is_nullable());
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), None)?;
    writer.write(&RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())?)?;
    writer.into_inner()
}
