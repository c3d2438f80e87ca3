//! Parquet shards with the bytes of images, as Hugging Face stores data sets.

mod labels;

use std::{
    borrow::Cow,
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Schema};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::{
    dataset::{DatasetError, DatasetSettings, ImageClasses, ReadError},
    sources::{ImageSource, Listing, Location, SourceFormat, pattern, within_limit},
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "parquet",
    schemes: &[],
    recognises: |location| match location {
        // Without image bytes it is a manifest.
        Location::File { ending: "parquet", path } => has_image_bytes(path),
        other => Ok(other.holds_shards("parquet")),
    },
    list,
    identity: |settings| {
        let column = &settings.image_column;
        (*column != DatasetSettings::default().image_column).then(|| format!("images in {column}"))
    },
};

/// Row groups held in memory at once; readers go through a data set in order, a few threads at a time.
const CACHED_GROUPS: usize = 4;

/// Parquet files with image bytes, read one row group at a time.
struct ParquetShards {
    files: Vec<Shard>,
    /// Rows of all files.
    rows: usize,
    /// Rows, counted through all files, that are the data set; all without it.
    chosen: Option<Vec<usize>>,
    column: String,
    /// Shard, row group, and image column of the row groups that were read last.
    cache: Mutex<Vec<(usize, usize, Arc<ArrayRef>)>>,
}

struct Shard {
    path: PathBuf,
    name: String,
    /// Size of the file.
    bytes: u64,
    /// Rows of the files before.
    before: usize,
    /// First row of each row group.
    starts: Vec<usize>,
}

impl ImageSource for ParquetShards {
    fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.rows, Vec::len)
    }

    fn id(&self, index: usize) -> Cow<'_, str> {
        let (shard, row) = self.place(index);
        Cow::Owned(format!("{}/{row}", self.files[shard].name))
    }

    fn size(&self, index: usize) -> u64 {
        self.files[self.place(index).0].bytes
    }

    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let (shard, row) = self.place(index);
        let starts = &self.files[shard].starts;
        let group = starts.partition_point(|start| *start <= row).saturating_sub(1);
        let column = self.group(shard, group)?;
        let bytes = bytes_of(&column, row - starts[group]).ok_or(ReadError::NoBytes)?;
        within_limit(bytes.len() as u64, limit)?;
        Ok(bytes)
    }

    /// Each row has an id of its own.
    fn duplicate_id(&self) -> Option<&str> {
        None
    }

    fn keep(&mut self, places: &[usize]) {
        let row = |place: usize| self.chosen.as_ref().map_or(place, |chosen| chosen[place]);
        self.chosen = Some(places.iter().map(|place| row(*place)).collect());
    }
}

impl ParquetShards {
    /// File and row of an image.
    fn place(&self, index: usize) -> (usize, usize) {
        let row = self.chosen.as_ref().map_or(index, |chosen| chosen[index]);
        let shard = self.files.partition_point(|file| file.before <= row).saturating_sub(1);
        (shard, row - self.files[shard].before)
    }

    /// The image column of one row group, from the cache or the file. The lock is held while reading, so that threads that
    /// want the same group read it once.
    fn group(&self, shard: usize, group: usize) -> Result<Arc<ArrayRef>, ReadError> {
        let failed = |source: Box<dyn Error + Send + Sync>| ReadError::Parquet { source };
        let mut cache =
            self.cache.lock().map_err(|_poisoned| failed("another thread failed while reading it".into()))?;
        if let Some((_, _, column)) = cache.iter().find(|(s, g, _)| *s == shard && *g == group) {
            return Ok(Arc::clone(column));
        }
        let path = &self.files[shard].path;
        let file = fs_err::File::open(path)?.into_parts().0;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(error.into()))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [self.column.as_str()]);
        let rows = builder.metadata().row_group(group).num_rows().unsigned_abs() as usize;
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![group])
            .with_batch_size(rows.max(1))
            .build()
            .map_err(|error| failed(error.into()))?;
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(|error| failed(error.into()))?;
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        let column = arrow_select::concat::concat(&columns).map_err(|error| failed(error.into()))?;
        let column = Arc::new(column);
        if cache.len() >= CACHED_GROUPS {
            cache.remove(0);
        }
        cache.push((shard, group, Arc::clone(&column)));
        Ok(column)
    }
}

/// Bytes of one row: of a binary column, or of the field `bytes` of a struct.
fn bytes_of(column: &ArrayRef, row: usize) -> Option<Vec<u8>> {
    if let Some(fields) = column.as_struct_opt() {
        return bytes_of(fields.column_by_name("bytes")?, row);
    }
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Some(column.as_binary_view().value(row).to_vec()),
        _ => None,
    }
}

fn holds_bytes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Struct(fields) => {
            fields.iter().any(|field| field.name() == "bytes" && holds_bytes(field.data_type()))
        }
        _ => false,
    }
}

/// Whether a Parquet file has any column of image bytes; a manifest has none.
pub(super) fn has_image_bytes(path: &Path) -> Result<bool, DatasetError> {
    Ok(open(path)?.schema().fields().iter().any(|field| holds_bytes(field.data_type())))
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<std::fs::File>, DatasetError> {
    let file = fs_err::File::open(path)?.into_parts().0;
    ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|source| DatasetError::Parquet { path: path.to_owned(), source })
}

/// Lists Parquet shards: column `image` of bytes or of `{bytes, path}`, column `label` of class numbers or class names if it
/// is there. Ids are `shard.parquet/row`.
fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let (mut files, mut rows, mut classes, mut names) = (Vec::new(), 0, ImageClasses::default(), None);
    for path in pattern::shards(&settings.path, "parquet")? {
        let builder = open(&path)?;
        check_image_column(&path, builder.schema(), &settings.image_column)?;
        agree(&mut names, &path, builder.schema(), &settings.label_column)?;
        let mut starts = vec![0];
        for group in builder.metadata().row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows().unsigned_abs() as usize);
        }
        let own = starts.pop().unwrap_or(0);
        // A shard that was written anew has another length; its rows' own lengths would cost reading it.
        let bytes = fs_err::metadata(&path)?.len();
        labels::read(&path, builder, own, &settings.label_column, &mut classes)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(Shard { path, name, bytes, before: rows, starts });
        rows += own;
    }
    let (column, cache) = (settings.image_column.clone(), Mutex::new(Vec::new()));
    let images = Box::new(ParquetShards { files, rows, chosen: None, column, cache });
    Ok(Listing { images, classes, class_names: names.map(|(_, names)| names), warnings: Vec::new() })
}

/// Takes a shard's class names for those of all, unless a shard before has others.
fn agree(
    names: &mut Option<(PathBuf, Vec<String>)>,
    path: &Path,
    schema: &Schema,
    column: &str,
) -> Result<(), DatasetError> {
    let Some(own) = labels::class_names(schema, column) else { return Ok(()) };
    let (first, known) = names.get_or_insert_with(|| (path.to_owned(), own.clone()));
    if *known == own {
        return Ok(());
    }
    Err(DatasetError::ClassNames { first: first.clone(), other: path.to_owned(), column: column.to_owned() })
}

fn check_image_column(path: &Path, schema: &Schema, column: &str) -> Result<(), DatasetError> {
    let field = schema.field_with_name(column).map_err(|_absent| DatasetError::NoColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        found: schema.fields().iter().map(|field| field.name().clone()).collect(),
    })?;
    if holds_bytes(field.data_type()) {
        return Ok(());
    }
    Err(DatasetError::ColumnType {
        path: path.to_owned(),
        column: column.to_owned(),
        found: field.data_type().to_string(),
        expected: "binary, or a struct with the field `bytes`",
    })
}
