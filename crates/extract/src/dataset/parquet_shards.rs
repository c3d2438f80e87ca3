use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Int64Type, Schema},
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::dataset::{
    DatasetSettings, Entry, Listing, Location, Source,
    error::{DatasetError, ReadError},
};

/// Row groups held in memory at once; readers go through a data set in order, a few threads at a time.
const CACHED_GROUPS: usize = 4;

/// Parquet files with image bytes, read one row group at a time.
pub(crate) struct Shards {
    files: Vec<Shard>,
    column: String,
    cache: Mutex<Vec<(u32, usize, Arc<ArrayRef>)>>,
}

struct Shard {
    path: PathBuf,
    /// First row of each row group, and the number of rows at the end.
    starts: Vec<u64>,
}

impl Shards {
    pub(super) fn read(&self, shard: u32, row: u64) -> Result<Vec<u8>, ReadError> {
        let file = self.files.get(shard as usize).ok_or(ReadError::Location)?;
        let group = file.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let column = self.group(shard, group)?;
        let at = (row - file.starts[group]) as usize;
        bytes_of(&column, at).ok_or(ReadError::NoBytes)
    }

    /// The image column of one row group, from the cache or the file. The lock is held while reading, so that threads that
    /// want the same group read it once.
    fn group(&self, shard: u32, group: usize) -> Result<Arc<ArrayRef>, ReadError> {
        let failed = |message: String| ReadError::Parquet { message };
        let mut cache =
            self.cache.lock().map_err(|_poisoned| failed("another thread failed while reading it".to_owned()))?;
        if let Some((_, _, column)) = cache.iter().find(|(s, g, _)| *s == shard && *g == group) {
            return Ok(Arc::clone(column));
        }
        let path = &self.files[shard as usize].path;
        let file = fs_err::File::open(path)?.into_parts().0;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(error.to_string()))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [self.column.as_str()]);
        let rows = builder.metadata().row_group(group).num_rows().unsigned_abs() as usize;
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![group])
            .with_batch_size(rows.max(1))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        let column = arrow::compute::concat(&columns).map_err(|error| failed(error.to_string()))?;
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

/// Lists Parquet shards: column `image` of bytes or of `{bytes, path}`, column `label` of class numbers if it is there.
/// Ids are `shard.parquet/row`.
pub(super) fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let mut paths = if settings.path.is_file() { vec![settings.path.clone()] } else { Vec::new() };
    if paths.is_empty() {
        for entry in fs_err::read_dir(&settings.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
                paths.push(path);
            }
        }
        paths.sort();
    }
    let (mut entries, mut shards, mut classes) = (Vec::new(), Vec::new(), None);
    for (number, path) in paths.into_iter().enumerate() {
        let builder = open(&path)?;
        check_image_column(&path, builder.schema(), &settings.image_column)?;
        classes = classes.or_else(|| class_names(builder.schema(), &settings.label_column));
        let mut starts = vec![0];
        for group in builder.metadata().row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows().unsigned_abs());
        }
        let rows = starts.pop().unwrap_or(0);
        // A shard that was written anew has another length; its rows' own lengths would cost reading it.
        let bytes = fs_err::metadata(&path)?.len();
        let labels = labels(&path, builder, &settings.label_column)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        entries.extend((0..rows).map(|row| Entry {
            id: format!("{name}/{row}"),
            class_id: None,
            class_index: labels.as_ref().and_then(|labels| labels[row as usize]),
            bytes,
            location: Location::Row { shard: number as u32, row },
        }));
        shards.push(Shard { path, starts });
    }
    let shards = Shards { files: shards, column: settings.image_column.clone(), cache: Mutex::new(Vec::new()) };
    Ok(Listing { entries, source: Source::Parquet(shards), classes })
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

fn labels(
    path: &Path,
    builder: ParquetRecordBatchReaderBuilder<std::fs::File>,
    column: &str,
) -> Result<Option<Vec<Option<u32>>>, DatasetError> {
    let Ok(field) = builder.schema().field_with_name(column) else { return Ok(None) };
    let found = field.data_type().to_string();
    let failed = |source| DatasetError::Parquet { path: path.to_owned(), source };
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
    let reader = builder.with_projection(mask).build().map_err(failed)?;
    let mut labels = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|source| failed(source.into()))?;
        let numbers =
            arrow::compute::cast(batch.column(0), &DataType::Int64).map_err(|_no_cast| DatasetError::ColumnType {
                path: path.to_owned(),
                column: column.to_owned(),
                found: found.clone(),
                expected: "class numbers",
            })?;
        let numbers = numbers.as_primitive::<Int64Type>();
        // Hugging Face writes −1 where a label is withheld.
        labels.extend(numbers.iter().map(|number| number.and_then(|number| u32::try_from(number).ok())));
    }
    Ok(Some(labels))
}

/// Class names that Hugging Face's writer leaves in the schema's metadata.
fn class_names(schema: &Schema, column: &str) -> Option<Vec<String>> {
    let metadata: serde_json::Value = serde_json::from_str(schema.metadata().get("huggingface")?).ok()?;
    let names = metadata.pointer(&format!("/info/features/{column}/names"))?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}
