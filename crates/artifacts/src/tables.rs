use std::{collections::BTreeMap, marker::PhantomData, path::Path, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, FieldRef, Schema};
use headspan_store::Blob;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{KeyValue, ParquetMetaData},
        properties::{WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};

use crate::{
    atomic::AtomicFile,
    damaged::{Batches, builder, caught, load},
    error::{ArtifactError, Result},
    files::{is_remote, open_file},
    ranges::Ranges,
    rows::Row,
    run::RunId,
    schema::{Table, keys, table_metadata, table_schema},
};

/// The highest version that the schema of any table has.
const NEWEST: u32 = {
    let (mut newest, mut at) = (0, 0);
    while at < Table::ALL.len() {
        let version = Table::ALL[at].version();
        newest = if version > newest { version } else { newest };
        at += 1;
    }
    newest
};

/// What a table's footer says of its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMetadata {
    /// Schema version.
    pub schema_version: u32,
    /// Fingerprint of the stage that wrote it.
    pub fingerprint: String,
    /// Model id.
    pub model: String,
    /// Data set name.
    pub dataset: String,
    /// Number of rows.
    pub rows: u64,
}

/// Writer properties of every table: origin in the footer, and no dictionary and no statistics on vector columns, which
/// cost 2 to 7 times the writing time and half again the size for nothing.
pub(crate) fn properties(schema: &Schema, metadata: &BTreeMap<String, String>) -> WriterPropertiesBuilder {
    let pairs = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut builder = WriterProperties::builder().set_key_value_metadata(Some(pairs));
    for field in schema.fields() {
        if let DataType::FixedSizeList(item, _) = field.data_type() {
            let path = ColumnPath::new(vec![field.name().clone(), "list".to_owned(), item.name().clone()]);
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path, parquet::file::properties::EnabledStatistics::None);
        }
    }
    builder
}

/// Writes a whole table atomically; `model` and `dataset` are filled in from `run`.
pub fn write_rows<R: Row>(path: &Path, run: &RunId, fingerprint: &str, rows: &[R]) -> Result<()> {
    let mut writer = RowsWriter::create(path, run, fingerprint);
    writer.write(rows)?;
    writer.commit()
}

/// Writes a table some rows at a time, so that it never stands in memory whole; atomically, as [`write_rows`].
pub struct RowsWriter<'a, R> {
    table: BatchWriter<'a>,
    row: PhantomData<R>,
}

impl<'a, R: Row> RowsWriter<'a, R> {
    /// A writer of the table at `path`, which is there once it is committed.
    pub fn create(path: &'a Path, run: &'a RunId, fingerprint: &'a str) -> Self {
        Self { table: BatchWriter { table: R::TABLE, path, run, fingerprint, file: None }, row: PhantomData }
    }

    /// Appends rows; the vectors of all are as long as the first's.
    pub fn write(&mut self, rows: &[R]) -> Result<()> {
        let lengths = rows.first().map(Row::vector_lengths).unwrap_or_default();
        if R::HAS_VECTORS && rows.is_empty() {
            return Err(self.table.no_rows());
        }
        let schema = table_schema::<R>(&lengths);
        let own = serde_arrow::to_record_batch(&own_fields(&schema), &rows);
        self.table.write(schema, own, rows.len())
    }

    /// Puts the table in its place.
    pub fn commit(self) -> Result<()> {
        self.table.commit()
    }
}

/// The fields of a table without those of `model` and `dataset`, which come first.
fn own_fields(schema: &Schema) -> Vec<FieldRef> {
    schema.fields().iter().skip(2).cloned().collect()
}

/// What of a [`RowsWriter`] does not depend on the type of its rows, so that it is compiled once and not for each type of row in each
/// crate.
struct BatchWriter<'a> {
    table: Table,
    path: &'a Path,
    run: &'a RunId,
    fingerprint: &'a str,
    /// There from the first rows on: they tell the lengths of vectors.
    file: Option<ArrowWriter<AtomicFile>>,
}

impl BatchWriter<'_> {
    /// Appends `rows` rows, whose own columns are `own`.
    fn write(&mut self, schema: Schema, own: serde_arrow::Result<RecordBatch>, rows: usize) -> Result<()> {
        let own = own.map_err(|source| ArtifactError::Rows {
            path: self.path.to_owned(),
            table: self.table.name(),
            source: Box::new(source),
        })?;
        let schema = Arc::new(schema);
        let batch = self.batch(&schema, &own, rows)?;
        let parquet = |source| ArtifactError::Parquet { path: self.path.to_owned(), source };
        if self.file.is_none() {
            let properties = properties(&schema, &table_metadata(self.run, self.fingerprint, self.table.version()))
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .build();
            let file = AtomicFile::create(self.path)?.of_fingerprint(self.fingerprint);
            self.file = Some(ArrowWriter::try_new(file, schema, Some(properties)).map_err(parquet)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write(&batch)).map_err(parquet)
    }

    /// Columns of `model` and `dataset`, then the rows' own.
    fn batch(&self, schema: &Arc<Schema>, own: &RecordBatch, rows: usize) -> Result<RecordBatch> {
        let constant = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
        let mut columns = vec![constant(self.run.model()), constant(self.run.dataset())];
        columns.extend(own.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(schema), columns)
            .map_err(|source| ArtifactError::Arrow { path: self.path.to_owned(), source })
    }

    fn commit(self) -> Result<()> {
        let Some(file) = self.file else { return Err(self.no_rows()) };
        let parquet = |source| ArtifactError::Parquet { path: self.path.to_owned(), source };
        Ok(file.into_inner().map_err(parquet)?.commit()?)
    }

    fn no_rows(&self) -> ArtifactError {
        ArtifactError::NoRows { path: self.path.to_owned() }
    }
}

/// Reads a whole table, after checking its schema version and columns.
pub fn read_rows<R: Row>(path: &Path) -> Result<Vec<R>> {
    rows_in(path, open_file(path)?)
}

/// Rows of an open table.
pub(crate) fn rows_in<R: Row>(path: &Path, file: Blob) -> Result<Vec<R>> {
    // Not room for as many as the footer says: it may be damaged.
    let mut rows = Vec::new();
    for some in RowsReader::of(path, file)? {
        rows.append(&mut some?);
    }
    Ok(rows)
}

/// Reads a table some rows at a time, about a megabyte of them.
pub struct RowsReader<'a, R> {
    table: BatchReader<'a>,
    row: PhantomData<R>,
}

impl<'a, R: Row> RowsReader<'a, R> {
    /// Opens the table at `path`, after checking its schema version and columns.
    pub fn open(path: &'a Path) -> Result<Self> {
        Self::of(path, open_file(path)?)
    }

    fn of(path: &'a Path, file: Blob) -> Result<Self> {
        // Vector lengths are the file's own.
        let today = Today { table: R::TABLE, schema: table_schema::<R>(&[1, 1]), renamed: R::renamed, later: R::later };
        Ok(Self { table: BatchReader::open(path, file, &today)?, row: PhantomData })
    }

    /// Rows of the whole table.
    pub fn rows(&self) -> usize {
        self.table.rows
    }
}

impl<R: Row> Iterator for RowsReader<'_, R> {
    type Item = Result<Vec<R>>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.table.batch()?;
        Some(
            batch
                .and_then(|batch| serde_arrow::from_record_batch(&batch).map_err(|source| self.table.not_rows(source))),
        )
    }
}

/// A table as this program writes it, and how older versions of its schema differ ([`Row`]).
struct Today {
    table: Table,
    schema: Schema,
    renamed: fn(u32) -> &'static [(&'static str, &'static str)],
    later: fn(u32) -> &'static [&'static str],
}

/// What of a [`RowsReader`] does not depend on the type of its rows, so that it is compiled once and not for each type of row in each
/// crate.
struct BatchReader<'a> {
    table: Table,
    path: &'a Path,
    file: Blob,
    rows: usize,
    batches: Batches,
    /// Columns of an older version of the schema: then, now.
    renamed: &'static [(&'static str, &'static str)],
}

impl<'a> BatchReader<'a> {
    fn open(path: &'a Path, file: Blob, today: &Today) -> Result<Self> {
        let builder = open(path, &file)?;
        let found = origin(path, builder.metadata(), today.table.version())?;
        let renamed = (today.renamed)(found.schema_version);
        // Types are checked by name against the schema that this program writes.
        for field in today.schema.fields() {
            let name =
                renamed.iter().find(|(_, now)| now == field.name()).map_or(field.name().as_str(), |(then, _)| then);
            let Ok(column) = builder.schema().field_with_name(name) else {
                if (today.later)(found.schema_version).contains(&field.name().as_str()) {
                    continue;
                }
                return Err(ArtifactError::NoColumn { path: path.to_owned(), column: name.to_owned() });
            };
            if !same_kind(column.data_type(), field.data_type()) {
                return Err(ArtifactError::ColumnType {
                    path: path.to_owned(),
                    column: name.to_owned(),
                    found: column.data_type().to_string(),
                    expected: field.data_type().to_string(),
                });
            }
        }
        let batch = rows_of_a_batch(builder.metadata());
        let batches = caught(|| builder.with_batch_size(batch).build())
            .map_err(|source| ArtifactError::Parquet { path: path.to_owned(), source }.or_of_store(&file))?;
        Ok(Self { table: today.table, path, file, rows: found.rows as usize, batches: Batches::new(batches), renamed })
    }

    /// The next rows, under today's names of their columns.
    fn batch(&mut self) -> Option<Result<RecordBatch>> {
        let batch = self.batches.next()?;
        let batch =
            batch.map_err(|source| ArtifactError::Arrow { path: self.path.to_owned(), source }.or_of_store(&self.file));
        Some(batch.and_then(|batch| with_names_of_today(&batch, self.renamed, self.path)))
    }

    fn not_rows(&self, source: serde_arrow::Error) -> ArtifactError {
        ArtifactError::Rows { path: self.path.to_owned(), table: self.table.name(), source: Box::new(source) }
    }
}

/// The same columns under the names that the newest version of the schema gives them.
fn with_names_of_today(batch: &RecordBatch, renamed: &[(&str, &str)], path: &Path) -> Result<RecordBatch> {
    if renamed.is_empty() {
        return Ok(batch.clone());
    }
    let name = |then: &str| renamed.iter().find(|(old, _)| *old == then).map_or(then, |(_, now)| *now).to_owned();
    let fields: Vec<_> =
        batch.schema().fields().iter().map(|field| field.as_ref().clone().with_name(name(field.name()))).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), batch.columns().to_vec())
        .map_err(|source| ArtifactError::Arrow { path: path.to_owned(), source })
}

/// A row of readouts has 200 KB: beside the rows that were read stands a batch of about this many bytes, not the table once more.
fn rows_of_a_batch(metadata: &ParquetMetaData) -> usize {
    const BYTES: i64 = 1 << 20;
    const MOST: i64 = 1024;
    // A damaged footer says any numbers.
    let sizes = metadata.row_groups().iter().map(|group| group.total_byte_size());
    let bytes = sizes.fold(0, i64::saturating_add);
    let rows = metadata.file_metadata().num_rows();
    usize::try_from((rows.saturating_mul(BYTES) / bytes.max(1)).clamp(1, MOST)).unwrap_or(1)
}

/// Reads only a table's footer.
pub fn read_metadata(path: &Path) -> Result<TableMetadata> {
    metadata_of(path, &open_file(path)?)
}

/// What the footer of an open table says.
pub(crate) fn metadata_of(path: &Path, file: &Blob) -> Result<TableMetadata> {
    origin(path, footer(path, file)?.metadata(), NEWEST)
}

/// The footer of an open table or of an open part.
pub(crate) fn footer(path: &Path, file: &Blob) -> Result<ArrowReaderMetadata> {
    let loaded = if is_remote(path) { load(&Ranges::of_footer(file)?) } else { load(file) };
    loaded.map_err(|source| ArtifactError::Parquet { path: path.to_owned(), source }.or_of_store(file))
}

pub(crate) fn open(path: &Path, file: &Blob) -> Result<ParquetRecordBatchReaderBuilder<Blob>> {
    builder(file.clone()).map_err(|source| ArtifactError::Parquet { path: path.to_owned(), source }.or_of_store(file))
}

/// What the footer says, of a table whose schema is of version `newest` at most.
pub(crate) fn origin(path: &Path, metadata: &ParquetMetaData, newest: u32) -> Result<TableMetadata> {
    let file = metadata.file_metadata();
    let value = |key: &str| {
        file.key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == key))
            .and_then(|pair| pair.value.clone())
    };
    let version = value(keys::SCHEMA_VERSION);
    let schema_version = version.as_deref().and_then(|version| version.parse::<u32>().ok());
    let Some(schema_version) = schema_version.filter(|version| (1..=newest).contains(version)) else {
        return Err(ArtifactError::SchemaVersion {
            path: path.to_owned(),
            found: version.unwrap_or_else(|| "none".to_owned()),
            newest,
        });
    };
    Ok(TableMetadata {
        schema_version,
        fingerprint: value(keys::FINGERPRINT).unwrap_or_default(),
        model: value(keys::MODEL).unwrap_or_default(),
        dataset: value(keys::DATASET).unwrap_or_default(),
        rows: file.num_rows().unsigned_abs(),
    })
}

/// Equal types, where fixed-size lists of any length are alike.
pub(crate) fn same_kind(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::FixedSizeList(one, _), DataType::FixedSizeList(other, _))
        | (DataType::List(one), DataType::List(other)) => one.data_type() == other.data_type(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::metadata::FileMetaData,
        schema::types::{SchemaDescriptor, Type},
    };

    use super::*;

    #[test]
    fn a_batch_has_some_rows_whatever_a_damaged_footer_says() -> Result<(), parquet::errors::ParquetError> {
        let root = Arc::new(Type::group_type_builder("schema").build()?);
        let schema = Arc::new(SchemaDescriptor::new(root));
        for rows in [0, 7, -1, i64::MAX, i64::MIN] {
            let file = FileMetaData::new(1, rows, None, None, Arc::clone(&schema), None);
            assert!((1..=1024).contains(&rows_of_a_batch(&ParquetMetaData::new(file, Vec::new()))), "{rows}");
        }
        Ok(())
    }
}
