use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{Field, Schema},
};
use headspan_artifacts::AtomicFile;
use parquet::arrow::ArrowWriter;

/// Writes named columns of equal length as a Parquet file.
pub(crate) fn write_columns(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Result<()> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), column.is_nullable());
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let failed = || format!("writing `{}`", path.display());
    let mut writer = ArrowWriter::try_new(AtomicFile::create(path)?, Arc::clone(&schema), None).with_context(failed)?;
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())?;
    writer.write(&batch).with_context(failed)?;
    Ok(writer.into_inner().with_context(failed)?.commit()?)
}
