//! Rows of the image column, read forwards one at a time: a row group may have gigabytes, and dictionaries make more of few.

use arrow_array::{Array, ArrayRef, cast::AsArray, types::{Int8Type, UInt8Type}};
use arrow_schema::DataType;
use headspan_store::Blob;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{
        ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy, RowSelector,
    },
};

use super::guard::{Batches, caught};
use crate::{
    dataset::ReadError,
    sources::forward::{Cursor, Held, Stream},
};

/// What a row has of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    Bytes(Vec<u8>),
    /// The path of its file, as Hugging Face leaves it where the bytes are not in the table.
    Path(String),
    Nothing,
}

impl Held for Row {
    fn bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Path(path) => path.len(),
            Self::Nothing => 0,
        }
    }
}

/// A place in a row group.
pub(super) struct RowCursor {
    reader: Batches,
    stream: Stream,
    next: usize,
    end: usize,
    broken: bool,
}

/// What a cursor goes through.
pub(super) struct Rows<'a> {
    /// Shard and row group.
    pub(super) stream: Stream,
    /// Index of the first image.
    pub(super) first: usize,
    /// Rows of the group, from its start, that are images from `first` on.
    pub(super) ranges: Vec<std::ops::Range<usize>>,
    pub(super) column: &'a str,
}

impl RowCursor {
    pub(super) fn open(blob: &Blob, metadata: ArrowReaderMetadata, rows: Rows<'_>) -> Result<Self, ReadError> {
        let blob = blob.watched();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(blob.clone(), metadata);
        let root = builder.schema().index_of(rows.column).map_err(|error| failed(error.into()))?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), [root]);
        let (mut selectors, mut at, mut count) = (Vec::new(), 0, 0);
        for range in rows.ranges {
            if range.start > at {
                selectors.push(RowSelector::skip(range.start - at));
            }
            selectors.push(RowSelector::select(range.len()));
            (at, count) = (range.end, count + range.len());
        }
        // One row at a time: the memory of several rows cannot be known before they are decoded. A mask would decode the rows
        // between those that are chosen.
        let builder = builder
            .with_projection(mask)
            .with_row_groups(vec![rows.stream.1])
            .with_row_selection(RowSelection::from(selectors))
            .with_row_selection_policy(RowSelectionPolicy::Selectors)
            .with_batch_size(1);
        let reader = caught(|| builder.build()).map_err(|error| failed(error.into()))?;
        Ok(Self { reader: Batches::new(reader, blob), stream: rows.stream, next: rows.first, end: rows.first + count, broken: false })
    }
}

impl Cursor for RowCursor {
    type Image = Row;

    fn stream(&self) -> Stream {
        self.stream
    }

    fn next(&self) -> usize {
        self.next
    }

    fn take(&mut self) -> Result<Row, ReadError> {
        self.next += 1;
        self.broken = true;
        let batch = self.reader.next();
        let batch = batch.ok_or_else(|| failed("the file has fewer rows than it says".into()))?;
        let batch = batch.map_err(|error| failed(error.into()))?;
        self.broken = false;
        Ok(if batch.num_rows() == 0 { Row::Nothing } else { row_of(batch.column(0), 0) })
    }

    fn usable(&self) -> bool {
        !self.broken && self.next < self.end
    }
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> ReadError {
    ReadError::Parquet { source }
}

/// Whether lists of this type are the bytes of one image, and not a list of images.
pub(super) fn bytes_of_list(element: &DataType) -> bool {
    matches!(element, DataType::UInt8 | DataType::Int8)
}

/// One row of a binary column, of structs `{bytes, path}`, of bytes in lists, or the first of a list of these.
pub(super) fn row_of(column: &ArrayRef, row: usize) -> Row {
    if column.is_null(row) {
        return Row::Nothing;
    }
    let bytes = |bytes: &[u8]| Row::Bytes(bytes.to_vec());
    match column.data_type() {
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => bytes(column.as_fixed_size_binary().value(row)),
        DataType::Struct(_) => {
            let fields = column.as_struct();
            let of_field = |name: &str| fields.column_by_name(name).map_or(Row::Nothing, |field| row_of(field, row));
            match of_field("bytes") {
                Row::Nothing => of_field("path"),
                other => other,
            }
        }
        DataType::Utf8 => Row::Path(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Row::Path(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Row::Path(column.as_string_view().value(row).to_owned()),
        DataType::List(_) => of_list(&column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => of_list(&column.as_list::<i64>().value(row)),
        _ => Row::Nothing,
    }
}

fn of_list(values: &ArrayRef) -> Row {
    if values.is_empty() {
        return Row::Nothing;
    }
    if !bytes_of_list(values.data_type()) {
        return row_of(values, 0);
    }
    if let Some(values) = values.as_primitive_opt::<UInt8Type>() {
        return Row::Bytes(values.values().to_vec());
    }
    // Java has no unsigned bytes.
    let signed = values.as_primitive_opt::<Int8Type>();
    signed.map_or(Row::Nothing, |values| Row::Bytes(values.values().iter().map(|byte| byte.cast_unsigned()).collect()))
}
