//! Damaged tables are errors. The library that reads Parquet has panicked on such files before, and ended the program.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use headspan_store::check_footer;
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    },
    errors::ParquetError,
    file::reader::ChunkReader,
};

/// What `read` gives; an error if the library panics.
pub fn caught<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let panicked = |_panic| Err(ParquetError::General("the Parquet reader panicked".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

/// What the footer of a file says.
pub(crate) fn load(file: &impl ChunkReader) -> Result<ArrowReaderMetadata, ParquetError> {
    check_footer(file)?;
    caught(|| ArrowReaderMetadata::load(file, ArrowReaderOptions::default()))
}

/// A reader of a file, its footer read.
pub(crate) fn builder<R: ChunkReader + 'static>(file: R) -> Result<ParquetRecordBatchReaderBuilder<R>, ParquetError> {
    let metadata = load(&file)?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata))
}

/// Batches of a table, up to the first that cannot be read.
pub struct Batches {
    reader: Option<ParquetRecordBatchReader>,
}

impl Batches {
    /// The batches that a reader gives.
    pub fn new(reader: ParquetRecordBatchReader) -> Self {
        Self { reader: Some(reader) }
    }

    /// The batches of a file, all columns of it.
    pub fn of<R: ChunkReader + 'static>(file: R) -> Result<Self, ParquetError> {
        let builder = builder(file)?;
        caught(|| builder.build()).map(Self::new)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let batch = caught(|| Ok(reader.next())).map_err(ArrowError::from).transpose().map(Result::flatten);
        if batch.as_ref().is_none_or(Result::is_err) {
            self.reader = None;
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        assert!(caught(|| Ok(1)).is_ok());
        let said = caught::<()>(|| panic!("an index")).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("the Parquet reader panicked"), "{said}");
    }
}
