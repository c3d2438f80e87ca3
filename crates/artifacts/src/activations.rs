use std::{
    fs::Metadata,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray, UInt64Array,
    types::{Float32Type, UInt64Type},
};
use arrow_schema::{DataType, Field, Schema};
use headspan_headspace::{HeadId, HeadVector, MomentTerms, Scalars, vector_length};
use headspan_store::Blob;
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
    },
    basic::Compression,
    file::{properties::EnabledStatistics, reader::ChunkReader},
};

use crate::{
    atomic::AtomicFile,
    damaged::{Batches, builder, caught},
    error::{ArtifactError, Result},
    files::{is_file, is_remote, open_file},
    ranges::Ranges,
    run::RunId,
    schema::{PARTS_VERSION, table_metadata, vector},
    tables::{TableMetadata, footer, origin, properties},
};

/// Which heads a part holds and how long its vectors are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationShape {
    /// Heads in column order: by layer, then head.
    pub heads: Vec<HeadId>,
    /// Length of one head's column.
    pub head_dim: usize,
    /// Length of the representation.
    pub d: usize,
}

/// Rows of `activations/part-NNNNN.parquet`, column by column, each row-major.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActivationBatch {
    /// Position of each image in the data set, `[n]`.
    pub image_index: Vec<u64>,
    /// `1/(σ|r|)`, `[n]`.
    pub inv_scale: Vec<f32>,
    /// `m/(σ|r|)`, `[n]`.
    pub mean_scale: Vec<f32>,
    /// `1/|r|`, `[n]`.
    pub inv_norm: Vec<f32>,
    /// `r`, not normalised, `[n, d]`; empty if it was not asked for.
    pub representation: Vec<f32>,
    /// `z/(σ|r|)` of each head in the order asked for, each `[n, head_dim]`.
    pub heads: Vec<Vec<f32>>,
}

impl ActivationBatch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.image_index.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.image_index.is_empty()
    }

    /// Columns of the scalars in the order of [`Scalars::to_array`], each `[n]`.
    pub fn scalar_columns(&self) -> [&[f32]; Scalars::COUNT] {
        [&self.inv_scale, &self.mean_scale, &self.inv_norm]
    }

    /// Scalars of one image.
    pub fn scalars(&self, image: usize) -> Scalars {
        self.scalar_columns().map(|column| column[image]).into()
    }

    /// `u` of one image and one head, by their positions in the batch.
    pub fn u(&self, head: usize, image: usize) -> HeadVector {
        let column = &self.heads[head];
        let head_dim = column.len() / self.len();
        HeadVector::new(&column[image * head_dim..][..head_dim], self.scalars(image))
    }

    /// Terms of the moments of `u` over `count` images, the rows that `row` gives. `head` is the head's position in the batch and `head_dim` the length of
    /// its column, which a batch without images does not have.
    pub fn moment_terms(
        &self,
        head: usize,
        head_dim: usize,
        count: usize,
        row: impl Fn(usize) -> usize,
    ) -> MomentTerms {
        let z = self.heads.get(head).map_or(&[][..], Vec::as_slice);
        let scalars = self.scalar_columns();
        MomentTerms::of(vector_length(head_dim), count, |image, column| {
            let image = row(image);
            if column < head_dim { z[image * head_dim + column] } else { scalars[column - head_dim][image] }
        })
    }

    /// Adds the rows of another batch of the same columns.
    pub fn append(&mut self, mut other: Self) {
        self.image_index.append(&mut other.image_index);
        self.inv_scale.append(&mut other.inv_scale);
        self.mean_scale.append(&mut other.mean_scale);
        self.inv_norm.append(&mut other.inv_norm);
        self.representation.append(&mut other.representation);
        if self.heads.is_empty() {
            self.heads = other.heads;
        } else {
            for (mine, mut theirs) in self.heads.iter_mut().zip(other.heads) {
                mine.append(&mut theirs);
            }
        }
    }
}

/// Column name of a head, `L23.H7`.
pub fn head_column(head: HeadId) -> String {
    head.to_string()
}

/// Schema of an activation part.
pub fn activation_schema(shape: &ActivationShape) -> Schema {
    let mut fields = vec![
        Field::new("model", DataType::Utf8, false),
        Field::new("dataset", DataType::Utf8, false),
        Field::new("image_index", DataType::UInt64, false),
        Field::new("inv_scale", DataType::Float32, false),
        Field::new("mean_scale", DataType::Float32, false),
        Field::new("inv_norm", DataType::Float32, false),
        vector("representation", DataType::Float32, shape.d),
    ];
    fields.extend(shape.heads.iter().map(|&head| vector(&head_column(head), DataType::Float32, shape.head_dim)));
    Schema::new(fields)
}

/// Streams one part to disk; it appears under its name only with [`PartWriter::commit`].
#[derive(Debug)]
pub struct PartWriter {
    run: RunId,
    schema: Arc<Schema>,
    writer: ArrowWriter<AtomicFile>,
}

impl PartWriter {
    /// Opens a part.
    pub fn create(path: &Path, run: &RunId, fingerprint: &str, shape: &ActivationShape) -> Result<Self> {
        let schema = Arc::new(activation_schema(shape));
        // Float32 activations are close to random bits: zstd saved 12 % and doubled the read time, so they are stored
        // plain. One row group a part makes one head one contiguous read.
        let properties = properties(&schema, &table_metadata(run, fingerprint, PARTS_VERSION))
            .set_compression(Compression::UNCOMPRESSED)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(None)
            .build();
        let file = AtomicFile::create(path)?.of_fingerprint(fingerprint);
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
            .map_err(|source| ArtifactError::Parquet { path: path.to_owned(), source })?;
        Ok(Self { run: run.clone(), schema, writer })
    }

    /// Adds rows.
    pub fn write(&mut self, batch: ActivationBatch) -> Result<()> {
        let path = self.writer.inner().target().to_owned();
        let rows = batch.len();
        let constant = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
        let number = |values: Vec<f32>| -> ArrayRef { Arc::new(Float32Array::from(values)) };
        let mut columns = vec![
            constant(self.run.model()),
            constant(self.run.dataset()),
            Arc::new(UInt64Array::from(batch.image_index)) as ArrayRef,
            number(batch.inv_scale),
            number(batch.mean_scale),
            number(batch.inv_norm),
        ];
        for (values, field) in
            std::iter::once(batch.representation).chain(batch.heads).zip(self.schema.fields().iter().skip(6))
        {
            columns.push(list_column(&path, field, values)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|source| ArtifactError::Arrow { path: path.clone(), source })?;
        self.writer.write(&batch).map_err(|source| ArtifactError::Parquet { path, source })
    }

    /// Makes the part visible.
    pub fn commit(self) -> Result<()> {
        let path = self.writer.inner().target().to_owned();
        let file = self.writer.into_inner().map_err(|source| ArtifactError::Parquet { path, source })?;
        Ok(file.commit()?)
    }
}

fn list_column(path: &Path, field: &Field, values: Vec<f32>) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, length) = field.data_type() else {
        return Err(ArtifactError::ColumnType {
            path: path.to_owned(),
            column: field.name().clone(),
            found: field.data_type().to_string(),
            expected: "FixedSizeList<Float32>".to_owned(),
        });
    };
    let list = FixedSizeListArray::try_new(Arc::clone(item), *length, Arc::new(Float32Array::from(values)), None)
        .map_err(|source| ArtifactError::Arrow { path: path.to_owned(), source })?;
    Ok(Arc::new(list))
}

/// Fingerprint of a committed part, none if it is not there. A part that cannot be read is an error.
pub fn part_fingerprint(path: &Path) -> Result<Option<String>> {
    if !is_file(path)? {
        return Ok(None);
    }
    PartReader::open(path).map(|part| Some(part.metadata.fingerprint))
}

/// What tells a file from one that took its place. The length alone does not: activations are stored plain, so that another
/// run over as many images is as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Rows that are read at once: a part has fewer, whatever a damaged footer says.
const ROWS: usize = 4096;

/// Reads columns of one committed part.
#[derive(Debug, Clone)]
pub struct PartReader {
    path: PathBuf,
    metadata: TableMetadata,
    shape: ActivationShape,
    /// The footer, which is longer to read than a column.
    footer: ArrowReaderMetadata,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// Opened for each reading, so that files of many parts are not open at once.
    Disk(Stamp),
    /// Of this version alone: reading another one is an error of the store.
    Store(Blob),
}

impl PartReader {
    /// Reads the footer and the schema.
    pub fn open(path: &Path) -> Result<Self> {
        if is_remote(path) {
            return Self::of_store(path, open_file(path)?);
        }
        let file = fs_err::File::open(path)?.into_parts().0;
        let stamp = Stamp::of(&file.metadata()?);
        Self::new(path, &file.into(), Place::Disk(stamp))
    }

    /// Reads the footer and the schema of a file in a store.
    pub(crate) fn of_store(path: &Path, file: Blob) -> Result<Self> {
        Self::new(path, &file.clone(), Place::Store(file))
    }

    fn new(path: &Path, file: &Blob, place: Place) -> Result<Self> {
        let footer = footer(path, file)?;
        let metadata = origin(path, footer.metadata(), PARTS_VERSION)?;
        let length = |field: &Field| match field.data_type() {
            DataType::FixedSizeList(_, length) => usize::try_from(*length).ok(),
            _ => None,
        };
        let mut shape = ActivationShape { heads: Vec::new(), head_dim: 0, d: 0 };
        for field in footer.schema().fields() {
            if field.name() == "representation" {
                shape.d = length(field).unwrap_or(0);
            } else if let Ok(head) = field.name().parse() {
                shape.heads.push(head);
                shape.head_dim = length(field).unwrap_or(0);
            }
        }
        Ok(Self { path: path.to_owned(), metadata, shape, footer, place })
    }

    /// Origin and number of rows.
    pub fn metadata(&self) -> &TableMetadata {
        &self.metadata
    }

    /// Heads and lengths.
    pub fn shape(&self) -> &ActivationShape {
        &self.shape
    }

    /// Reads the scalars and the columns of `heads`, and the representation if wanted; nothing else is touched on disk.
    pub fn read(&self, heads: &[HeadId], representation: bool) -> Result<ActivationBatch> {
        let mut wanted =
            vec!["image_index".to_owned(), "inv_scale".to_owned(), "mean_scale".to_owned(), "inv_norm".to_owned()];
        if representation {
            wanted.push("representation".to_owned());
        }
        wanted.extend(heads.iter().map(|&head| head_column(head)));
        let mut all = ActivationBatch::default();
        for batch in self.columns(&wanted, ROWS)? {
            let batch = batch.map_err(|source| ArtifactError::Arrow { path: self.path.clone(), source })?;
            let mut part = ActivationBatch {
                image_index: self.primitive::<UInt64Type>(&batch, "image_index")?,
                inv_scale: self.primitive::<Float32Type>(&batch, "inv_scale")?,
                mean_scale: self.primitive::<Float32Type>(&batch, "mean_scale")?,
                inv_norm: self.primitive::<Float32Type>(&batch, "inv_norm")?,
                ..ActivationBatch::default()
            };
            if representation {
                part.representation = self.list(&batch, "representation")?.to_vec();
            }
            for &head in heads {
                part.heads.push(self.list(&batch, &head_column(head))?.to_vec());
            }
            all.append(part);
        }
        Ok(all)
    }

    /// Reads one head's column alone, `[rows, head_dim]`, into `values`; false if the file has fewer rows or more, as one that was
    /// replaced may have. Some rows at a time: beside the column stands no copy of it.
    pub fn read_head(&self, head: HeadId, mut values: &mut [f32]) -> Result<bool> {
        let name = head_column(head);
        for batch in self.columns(std::slice::from_ref(&name), ROWS)? {
            let batch = batch.map_err(|source| ArtifactError::Arrow { path: self.path.clone(), source })?;
            let found = self.list(&batch, &name)?;
            let Some((here, rest)) = values.split_at_mut_checked(found.len()) else { return Ok(false) };
            here.copy_from_slice(found);
            values = rest;
        }
        Ok(values.is_empty())
    }

    /// Batches of some columns, of so many rows.
    fn columns(&self, wanted: &[String], rows: usize) -> Result<Batches> {
        let failed = |source| ArtifactError::Parquet { path: self.path.clone(), source };
        let stamp = match &self.place {
            Place::Store(file) => return self.remote_columns(file, wanted, rows),
            Place::Disk(stamp) => stamp,
        };
        let file = fs_err::File::open(&self.path)?;
        let builder = if Stamp::of(&file.metadata()?) == *stamp {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file.into_parts().0, self.footer.clone())
        } else {
            let builder = builder(file.into_parts().0).map_err(failed)?;
            // What was read of the run before does not go with activations of another.
            if origin(&self.path, builder.metadata(), PARTS_VERSION)?.fingerprint != self.metadata.fingerprint {
                return Err(ArtifactError::Replaced { path: self.path.clone() });
            }
            builder
        };
        let roots = Self::roots(builder.schema(), wanted);
        self.batches(builder, roots, rows)
    }

    /// The same of a part in a store. Single columns are read again and again, and kept on disk; whole parts are read once.
    fn remote_columns(&self, file: &Blob, wanted: &[String], rows: usize) -> Result<Batches> {
        const FEW: usize = 6;
        let roots = Self::roots(self.footer.schema(), wanted);
        let ranges = Ranges::of_columns(file, self.footer.metadata(), &roots, wanted.len() <= FEW);
        let ranges = ranges.map_err(|error| match error.kind() {
            ErrorKind::StaleNetworkFileHandle | ErrorKind::NotFound => {
                ArtifactError::Replaced { path: self.path.clone() }
            }
            _ => error.into(),
        })?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(ranges, self.footer.clone());
        self.batches(builder, roots, rows)
    }

    /// Positions of columns. Not by name: head names have a dot, which a mask by name would take for nesting.
    fn roots(schema: &Schema, wanted: &[String]) -> Vec<usize> {
        wanted.iter().filter_map(|name| schema.fields().iter().position(|field| field.name() == name)).collect()
    }

    fn batches<F: ChunkReader + 'static>(
        &self,
        builder: ParquetRecordBatchReaderBuilder<F>,
        roots: Vec<usize>,
        rows: usize,
    ) -> Result<Batches> {
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        caught(|| builder.with_projection(mask).with_batch_size(rows).build())
            .map(Batches::new)
            .map_err(|source| ArtifactError::Parquet { path: self.path.clone(), source })
    }

    fn column<'batch>(&self, batch: &'batch RecordBatch, name: &str) -> Result<&'batch ArrayRef> {
        batch
            .column_by_name(name)
            .ok_or_else(|| ArtifactError::NoColumn { path: self.path.clone(), column: name.to_owned() })
    }

    fn primitive<T: arrow_array::ArrowPrimitiveType>(&self, batch: &RecordBatch, name: &str) -> Result<Vec<T::Native>> {
        let column = self.column(batch, name)?;
        let values = column
            .as_any()
            .downcast_ref::<arrow_array::PrimitiveArray<T>>()
            .ok_or_else(|| self.wrong_type(name, column, &T::DATA_TYPE.to_string()))?;
        Ok(values.values().to_vec())
    }

    fn list<'batch>(&self, batch: &'batch RecordBatch, name: &str) -> Result<&'batch [f32]> {
        let column = self.column(batch, name)?;
        let wrong = || self.wrong_type(name, column, "FixedSizeList<Float32>");
        let list = column.as_any().downcast_ref::<FixedSizeListArray>().ok_or_else(wrong)?;
        let values = list.values().as_any().downcast_ref::<Float32Array>().ok_or_else(wrong)?;
        let length = list.value_length() as usize;
        Ok(&values.values()[list.offset() * length..(list.offset() + list.len()) * length])
    }

    fn wrong_type(&self, name: &str, column: &ArrayRef, expected: &str) -> ArtifactError {
        ArtifactError::ColumnType {
            path: self.path.clone(),
            column: name.to_owned(),
            found: column.data_type().to_string(),
            expected: expected.to_owned(),
        }
    }
}
