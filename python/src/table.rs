//! Tables that Polars, pandas, DuckDB and pyarrow read where they lie, through the Arrow C stream interface.

use std::{path::Path, sync::Arc};

use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchReader, ffi_stream::FFI_ArrowArrayStream};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef, ffi::FFI_ArrowSchema};
use headspan_artifacts::{Batches, caught, open_file};
use headspan_query::Columns;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pyo3::{prelude::*, types::PyCapsule};

use crate::failure::OrRaise;

/// Rows of one batch of a table that is read from a file.
const BATCH_ROWS: usize = 1 << 16;

/// A table in memory.
#[pyclass(frozen, module = "headspan._native")]
pub(crate) struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// A table of the run, whole.
    pub(crate) fn read(py: Python<'_>, path: &Path) -> PyResult<Self> {
        let file = py.detach(|| open_file(path)).or_raise(py)?;
        let read = || -> Result<Self, ArrowError> {
            let builder = |file| ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build();
            let reader = caught(|| builder(file))?;
            let schema = reader.schema();
            Ok(Self { schema, batches: Batches::new(reader).collect::<Result<_, _>>()? })
        };
        py.detach(read).or_raise(py)
    }

    /// A table of an answer.
    pub(crate) fn of_columns(py: Python<'_>, columns: Columns) -> PyResult<Self> {
        let field = |(name, array): &(&'static str, arrow_array::ArrayRef)| {
            Field::new(*name, array.data_type().clone(), array.is_nullable())
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).or_raise(py)?;
        Ok(Self { schema, batches: vec![batch] })
    }
}

#[pymethods]
impl Table {
    /// The Arrow `PyCapsule` interface. The columns are handed over as they are; a requested schema is not cast to, as the interface
    /// allows.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _not_cast_to = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader: Box<dyn RecordBatchReader + Send> =
            Box::new(RecordBatchIterator::new(batches, Arc::clone(&self.schema)));
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), c"arrow_array_stream")
    }

    /// The schema alone, by the same interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref()).or_raise(py)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// Names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The first rows as text, for people.
    fn cells(&self, py: Python<'_>, rows: usize) -> PyResult<Vec<Vec<String>>> {
        let options = FormatOptions::default();
        let mut cells = Vec::new();
        for batch in &self.batches {
            let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
            let columns = columns.collect::<Result<Vec<_>, _>>().or_raise(py)?;
            for row in 0..batch.num_rows().min(rows - cells.len()) {
                cells.push(columns.iter().map(|column| column.value(row).to_string()).collect());
            }
            if cells.len() == rows {
                break;
            }
        }
        Ok(cells)
    }
}

/// A Parquet file as a table.
#[pyfunction]
pub(crate) fn read_table(py: Python<'_>, path: std::path::PathBuf) -> PyResult<Table> {
    Table::read(py, &path)
}
