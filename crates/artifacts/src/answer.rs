use std::{collections::BTreeMap, path::Path, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use parquet::{
    arrow::ArrowWriter,
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};

use crate::{error::Result, files::open_file, schema::keys::MADE_FROM, tables::footer};

/// Named columns of equal length as the bytes of a Parquet file: for answers, which belong to no run's schema.
pub fn parquet_bytes(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<u8>, ParquetError> {
    written(columns, None)
}

/// As [`parquet_bytes`], of an answer that stays beside a run: the footer says what it was made from, fingerprints of the run's
/// records by their names. [`made_from`] reads them.
pub fn answer_bytes(
    columns: Vec<(&str, ArrayRef)>,
    made_from: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ParquetError> {
    let told = serde_json::to_string(made_from).map_err(|source| ParquetError::External(Box::new(source)))?;
    let pairs = vec![KeyValue::new(MADE_FROM.to_owned(), told)];
    written(columns, Some(WriterProperties::builder().set_key_value_metadata(Some(pairs)).build()))
}

fn written(columns: Vec<(&str, ArrayRef)>, properties: Option<WriterProperties>) -> Result<Vec<u8>, ParquetError> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), column.is_nullable());
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), properties)?;
    writer.write(&RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())?)?;
    writer.into_inner()
}

/// What the answer at `path` was made from, as [`answer_bytes`] wrote it; nothing of a table that does not say it.
pub fn made_from(path: &Path) -> Result<BTreeMap<String, String>> {
    let footer = footer(path, &open_file(path)?)?;
    let pairs = footer.metadata().file_metadata().key_value_metadata();
    let told = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == MADE_FROM)?.value.as_deref());
    // A footer that was tampered with says nothing.
    Ok(told.and_then(|told| serde_json::from_str(told).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use arrow_array::UInt32Array;

    use super::*;
    use crate::atomic::write_atomic;

    #[test]
    fn an_answer_says_what_it_was_made_from() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let column = || -> Vec<(&str, ArrayRef)> { vec![("n", Arc::new(UInt32Array::from(vec![1, 2])))] };
        let inputs = BTreeMap::from([("images".to_owned(), "abc".to_owned()), ("texts".to_owned(), "d\"e".to_owned())]);
        let (with, without) = (folder.path().join("with.parquet"), folder.path().join("without.parquet"));
        write_atomic(&with, &answer_bytes(column(), &inputs)?)?;
        write_atomic(&without, &parquet_bytes(column())?)?;
        assert_eq!(made_from(&with)?, inputs);
        assert!(made_from(&without)?.is_empty());
        Ok(())
    }
}
