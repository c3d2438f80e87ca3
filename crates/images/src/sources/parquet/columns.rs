//! Which column of a Parquet file holds its images.

use std::path::Path;

use arrow_schema::{DataType, Schema};
use headspan_store::Blob;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
};

use super::{
    guard::{Batches, caught, unreadable},
    rows::{Row, bytes_of_list, row_of},
};
use crate::{
    dataset::{DatasetError, DatasetSettings},
    decoding::probe_dimensions,
    sources::suggestion::similar,
};

/// Rows of a column that are looked at: an image may be missing in the first.
const LOOKED_AT: usize = 8;

/// What is known of a file's columns.
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) blob: &'a Blob,
    pub(super) metadata: &'a ArrowReaderMetadata,
}

impl File<'_> {
    fn schema(&self) -> &Schema {
        self.metadata.schema()
    }

    fn names(&self) -> Vec<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn can_hold_images(&self, column: &str) -> bool {
        self.schema().field_with_name(column).is_ok_and(|field| holds_bytes(field.data_type()))
    }

    /// The column of images: the one that the settings name, if it is there; else, unless somebody named it, the only one that
    /// can hold images; of several, the only one that does. None if the file is a table of something else.
    pub(super) fn image_column(&self, settings: &DatasetSettings) -> Result<Option<String>, DatasetError> {
        let asked = &settings.image_column;
        if self.can_hold_images(asked) {
            return Ok(Some(asked.clone()));
        }
        if *asked != DatasetSettings::default().image_column {
            return Ok(None);
        }
        let mut able: Vec<String> = self.names().into_iter().filter(|name| self.can_hold_images(name)).collect();
        let names_files = self.schema().field_with_name(&settings.path_column).is_ok();
        let is_sure = |column: &String| !names_files || self.is_struct(column);
        if let [only] = able.as_slice()
            && is_sure(only)
        {
            return Ok(able.pop());
        }
        let mut images = Vec::new();
        for column in &able {
            if self.begins_with_images(column)? {
                images.push(column.clone());
            }
        }
        if images.is_empty() {
            // Images that are named by path alone.
            images = able.iter().filter(|column| self.is_struct(column)).cloned().collect();
        }
        match images.len() {
            0 | 1 if names_files || able.is_empty() || images.len() == 1 => Ok(images.pop()),
            0 => Err(self.several(able)),
            _ => Err(self.several(images)),
        }
    }

    /// Why the column that is asked for cannot be used.
    pub(super) fn unusable(&self, column: &str) -> DatasetError {
        let Ok(field) = self.schema().field_with_name(column) else {
            let found = self.names();
            let similar = similar(column, &found.iter().map(String::as_str).collect::<Vec<_>>());
            return DatasetError::NoColumn { path: self.path.to_owned(), column: column.to_owned(), similar, found };
        };
        DatasetError::ColumnType {
            path: self.path.to_owned(),
            column: column.to_owned(),
            found: field.data_type().to_string(),
            expected: "binary, a struct with the field `bytes`, or lists of these",
        }
    }

    fn several(&self, found: Vec<String>) -> DatasetError {
        DatasetError::SeveralColumns { path: self.path.to_owned(), found }
    }

    /// Whether a column is of structs, as Hugging Face stores images, and nobody stores anything else.
    fn is_struct(&self, column: &str) -> bool {
        let holds_structs = |data_type: &DataType| match data_type {
            DataType::Struct(_) => true,
            DataType::List(field) => matches!(field.data_type(), DataType::Struct(_)),
            _ => false,
        };
        self.schema().field_with_name(column).is_ok_and(|field| holds_structs(field.data_type()))
    }

    /// Whether the first value of a column is an image.
    fn begins_with_images(&self, column: &str) -> Result<bool, DatasetError> {
        let failed = |source| unreadable(self.path, source);
        let blob = self.blob.watched();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(blob.clone(), self.metadata.clone());
        let Some(root) = self.schema().index_of(column).ok() else { return Ok(false) };
        let mask = ProjectionMask::roots(builder.parquet_schema(), [root]);
        let builder = builder.with_projection(mask).with_batch_size(1).with_limit(LOOKED_AT);
        for batch in Batches::new(caught(|| builder.build()).map_err(failed)?, blob) {
            let batch = batch.map_err(failed)?;
            if let Row::Bytes(bytes) = row_of(batch.column(0), 0) {
                return Ok(probe_dimensions(&bytes).is_some());
            }
        }
        Ok(false)
    }
}

/// Whether values of a type can hold the bytes of an image.
fn holds_bytes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => true,
        DataType::Struct(fields) => {
            fields.iter().any(|field| field.name() == "bytes" && holds_bytes(field.data_type()))
        }
        DataType::List(field) | DataType::LargeList(field) => {
            bytes_of_list(field.data_type()) || (!is_list(field.data_type()) && holds_bytes(field.data_type()))
        }
        _ => false,
    }
}

/// Lists of lists are pixels, or pages of documents.
fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_))
}

/// Whether each value is a list, of which the first image is taken.
pub(super) fn is_list_of_images(schema: &Schema, column: &str) -> bool {
    schema.field_with_name(column).is_ok_and(|field| match field.data_type() {
        DataType::List(field) | DataType::LargeList(field) => !bytes_of_list(field.data_type()),
        _ => false,
    })
}
