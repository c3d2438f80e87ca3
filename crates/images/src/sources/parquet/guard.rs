//! What a Parquet file says of itself is not believed: the library has panicked on damaged files before, and a footer of a hundred
//! bytes can promise rows that no memory holds.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use arrow_array::RecordBatch;
use headspan_store::{Blob, StoreError};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader},
    errors::{ParquetError, Result},
};

use crate::dataset::DatasetError;

/// Rows for each byte of a file that no table comes near: every row has a path or an image. Each takes memory once it is listed.
const MOST_ROWS_PER_BYTE: u64 = 64;

/// What `read` gives; an error if the library panics.
pub(super) fn caught<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    let panicked = |_panic| Err(ParquetError::General("the Parquet reader panicked".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

/// Refuses a footer that says more rows than a file of `bytes` can hold.
pub(super) fn check_rows(metadata: &ArrowReaderMetadata, bytes: u64) -> Result<()> {
    let groups = metadata.metadata().row_groups().iter();
    let mut rows = groups.map(|group| u64::try_from(group.num_rows()).ok());
    let rows = rows.try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
    match rows {
        Some(rows) if rows <= bytes.saturating_mul(MOST_ROWS_PER_BYTE) => Ok(()),
        rows => {
            let rows = rows.map_or_else(|| "no possible number of".to_owned(), |rows| rows.to_string());
            Err(ParquetError::General(format!("its footer says that it has {rows} rows, in {bytes} bytes")))
        }
    }
}

/// Batches of a file, up to the first that cannot be read.
pub(in crate::sources) struct Batches {
    reader: Option<ParquetRecordBatchReader>,
    /// The file that the reader reads, watched: the library makes a text of what went wrong.
    watched: Blob,
}

impl Batches {
    pub(in crate::sources) fn new(reader: ParquetRecordBatchReader, watched: Blob) -> Self {
        Self { reader: Some(reader), watched }
    }
}

/// Why a Parquet file could not be listed: a store that failed, or the file.
pub(in crate::sources) fn unreadable(path: &Path, source: ParquetError) -> DatasetError {
    match StoreError::within(&source) {
        Some(error) => io::Error::from(error.clone()).into(),
        None => DatasetError::Parquet { path: path.to_owned(), source },
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        let reader = self.reader.as_mut()?;
        let batch = caught(|| reader.next().transpose().map_err(ParquetError::from)).transpose();
        if batch.as_ref().is_none_or(Result::is_err) {
            self.reader = None;
        }
        match (batch, self.watched.failure()) {
            (Some(Err(_text)), Some(error)) => Some(Err(ParquetError::External(io::Error::from(error.clone()).into()))),
            (batch, _) => batch,
        }
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
