//! Parquet shards with the bytes of images, as Hugging Face stores data sets.

mod columns;
mod guard;
mod labels;
mod rows;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use arrow_schema::Schema;
use headspan_store::{Blob, Metadata, StoreError, check_footer};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

pub(super) use self::guard::{Batches, unreadable};
use self::{
    columns::{File, is_list_of_images},
    guard::{caught, check_rows},
    rows::{Row, RowCursor, Rows},
};
use crate::{
    dataset::{DatasetError, DatasetSettings, ImageClasses, ReadError},
    sources::{
        ImageSource, Listing, Location, SourceFormat,
        forward::Forward,
        manifest::find,
        open::{open, read, reopen},
        passed_over::PassedOver,
        pattern,
        signature::what_is,
        within_limit,
    },
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "parquet",
    schemes: &[],
    recognises: |location, settings| match location {
        // Without image bytes it is a manifest, or a table about images that are elsewhere.
        Location::File { ending: "parquet", path } | Location::FolderWith { ending: "parquet", path } => {
            holds_images(path, settings)
        }
        Location::Pattern { ending } => Ok(*ending == "parquet"),
        _ => Ok(false),
    },
    list,
};

/// Parquet files with image bytes, read row by row.
struct ParquetShards {
    files: Vec<Shard>,
    /// Rows of all files.
    rows: usize,
    /// Rows, counted through all files, that are the data set; all without it.
    chosen: Option<Vec<usize>>,
    column: String,
    /// Folder that paths in rows are relative to; that of the shard without it.
    root: Option<PathBuf>,
    /// The shard that was opened last, with its schema and row groups.
    last: Mutex<Option<Opened>>,
    forward: Forward<RowCursor>,
}

#[derive(Clone)]
struct Opened {
    shard: usize,
    blob: Blob,
    metadata: ArrowReaderMetadata,
}

struct Shard {
    path: PathBuf,
    name: String,
    /// What a remote file was when it was listed.
    known: Option<Metadata>,
    /// Size of the file.
    bytes: u64,
    /// Rows of the files before.
    before: usize,
    /// First row of each row group.
    starts: Vec<usize>,
    /// Number of rows.
    rows: usize,
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

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let (shard, row) = self.place(index);
        let group = self.files[shard].starts.partition_point(|start| *start <= row).saturating_sub(1);
        let stream = (shard, group);
        match self.forward.read(stream, index, || self.cursor(stream, index))? {
            Row::Bytes(bytes) => {
                within_limit(bytes.len() as u64, limit)?;
                Ok(bytes)
            }
            Row::Path(path) => read(&self.beside(shard, &path)?, limit),
            Row::Nothing => Err(ReadError::NoBytes),
        }
    }

    /// Each row has an id of its own.
    fn duplicate_id(&self) -> Option<&str> {
        None
    }

    fn keep(&mut self, places: &[usize]) {
        self.chosen = Some(places.iter().map(|place| self.row(*place)).collect());
        self.forward = Forward::default();
    }
}

impl ParquetShards {
    /// Row of an image, counted through all files.
    fn row(&self, index: usize) -> usize {
        self.chosen.as_ref().map_or(index, |chosen| chosen[index])
    }

    /// File and row of an image.
    fn place(&self, index: usize) -> (usize, usize) {
        let row = self.row(index);
        let shard = self.files.partition_point(|file| file.before <= row).saturating_sub(1);
        (shard, row - self.files[shard].before)
    }

    /// File that a row names.
    fn beside(&self, shard: usize, path: &str) -> Result<PathBuf, ReadError> {
        let folder = self.root.as_deref().or_else(|| self.files[shard].path.parent());
        find(folder.unwrap_or(Path::new("")), path)
    }

    /// A cursor through the images of a row group from one on.
    fn cursor(&self, stream: (usize, usize), first: usize) -> Result<RowCursor, ReadError> {
        let (shard, group) = stream;
        let Shard { before, starts, rows, .. } = &self.files[shard];
        let start = starts[group];
        let end = starts.get(group + 1).copied().unwrap_or(*rows);
        let in_group = |index: usize| self.row(index) - before - start;
        let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
        if self.chosen.is_none() {
            ranges.push(in_group(first)..end - start);
        } else {
            let indices = (first..self.len()).take_while(|index| self.row(*index) < before + end);
            for row in indices.map(in_group) {
                match ranges.last_mut() {
                    Some(last) if last.end == row => last.end += 1,
                    _ => ranges.push(row..row + 1),
                }
            }
        }
        let rows = Rows { stream, first, ranges, column: &self.column };
        let Opened { blob, metadata, .. } = self.opened(shard)?;
        RowCursor::open(&blob, metadata, rows)
    }

    fn opened(&self, shard: usize) -> Result<Opened, ReadError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = last.as_ref().filter(|opened| opened.shard == shard) {
            return Ok(opened.clone());
        }
        let failed = |error: DatasetError| ReadError::Parquet { source: error.into() };
        let Shard { path, known, .. } = &self.files[shard];
        let blob = reopen(path, known.as_ref()).map_err(DatasetError::from).map_err(failed)?;
        let metadata = metadata_of(path, &blob, true).map_err(failed)?;
        Ok(last.insert(Opened { shard, blob, metadata }).clone())
    }
}

/// Whether a Parquet file has a column of images; a manifest has none.
pub(super) fn holds_images(path: &Path, settings: &DatasetSettings) -> Result<bool, DatasetError> {
    let blob = open(path)?;
    let metadata = metadata_of(path, &blob, true)?;
    Ok(File { path, blob: &blob, metadata: &metadata }.image_column(settings)?.is_some())
}

/// Schema and row groups of a file. `plain` leaves out what the writer's Arrow types were, so that images have one type for
/// bytes however they were written.
fn metadata_of(path: &Path, blob: &Blob, plain: bool) -> Result<ArrowReaderMetadata, DatasetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(plain);
    let bytes = blob.length()?;
    let loaded = check_footer(blob).and_then(|()| caught(|| ArrowReaderMetadata::load(blob, options)));
    let metadata = loaded.and_then(|metadata| {
        check_rows(&metadata, bytes)?;
        Ok(metadata)
    });
    metadata.map_err(|source| match what_is(path) {
        _ if StoreError::within(&source).is_some() => unreadable(path, source),
        Some(what) if what != "a Parquet file" => {
            DatasetError::NotAShard { path: path.to_owned(), what, expected: "Parquet" }
        }
        _ => DatasetError::Parquet { path: path.to_owned(), source },
    })
}

/// Opens a Parquet file with the types that its writer had.
pub(super) fn open_parquet(path: &Path) -> Result<(Blob, ParquetRecordBatchReaderBuilder<Blob>), DatasetError> {
    let blob = open(path)?;
    Ok((blob.clone(), with_types(path, blob)?))
}

fn with_types(path: &Path, blob: Blob) -> Result<ParquetRecordBatchReaderBuilder<Blob>, DatasetError> {
    let metadata = metadata_of(path, &blob, false)?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(blob, metadata))
}

/// Lists Parquet shards: a column of images of bytes or of `{bytes, path}`, column `label` of class numbers or class names if it
/// is there. Ids are `shard.parquet/row`.
fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let shards = pattern::shards(&settings.path, "parquet")?;
    let (mut files, mut rows, mut classes, mut names) = (Vec::new(), 0, ImageClasses::default(), None);
    let (mut column, mut lists, mut all_read) = (None, false, true);
    let mut tables = PassedOver::default();
    for path in &shards.paths {
        if settings.enough(rows) {
            all_read = false;
            break;
        }
        let blob = open(path)?;
        let metadata = metadata_of(path, &blob, true)?;
        let file = File { path, blob: &blob, metadata: &metadata };
        let Some(own) = file.image_column(settings)? else {
            if shards.paths.len() == 1 {
                return Err(file.unusable(&settings.image_column));
            }
            tables.add(path);
            continue;
        };
        let column = column.get_or_insert(own.clone());
        if *column != own {
            return Err(file.unusable(column));
        }
        lists |= is_list_of_images(metadata.schema(), &own);
        let builder = with_types(path, blob.clone())?;
        agree(&mut names, path, builder.schema(), &settings.label_column)?;
        let mut starts = vec![0];
        for group in builder.metadata().row_groups() {
            starts.push(starts.last().copied().unwrap_or(0) + group.num_rows().unsigned_abs() as usize);
        }
        let own_rows = starts.pop().unwrap_or(0);
        // A shard that was written anew has another length; its rows' own lengths would cost reading it.
        let bytes = blob.length()?;
        let wanted = settings.wanted().map_or(own_rows, |wanted| own_rows.min(wanted - rows));
        labels::read(File { path, blob: &blob, metadata: &metadata }, builder, wanted, &settings.label_column, &mut classes)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let known = blob.remote_metadata();
        files.push(Shard { path: path.clone(), name, known, bytes, before: rows, starts, rows: own_rows });
        rows += wanted;
        all_read &= wanted == own_rows;
    }
    let Some(column) = column else {
        let Some(first) = shards.paths.first() else { return Ok(empty()) };
        let blob = open(first)?;
        let metadata = metadata_of(first, &blob, true)?;
        return Err(File { path: first, blob: &blob, metadata: &metadata }.unusable(&settings.image_column));
    };
    let mut warnings = tables.warnings("shards of images");
    warnings.extend(shards.passed_over.warnings("shards"));
    if lists {
        warnings.push(format!("column `{column}` holds lists; the first image of each row is taken"));
    }
    let identity = (column != DatasetSettings::default().image_column).then(|| format!("images in {column}"));
    let (root, last, forward) = (settings.root.clone(), Mutex::default(), Forward::default());
    let images = ParquetShards { files, rows, chosen: None, column, root, last, forward };
    let class_names = names.map(|(_first, names)| names);
    Ok(Listing { class_names, warnings, identity, all_read, ..Listing::new(Box::new(images), classes) })
}

/// A folder without shards.
fn empty() -> Listing {
    let images = ParquetShards {
        files: Vec::new(),
        rows: 0,
        chosen: None,
        column: String::new(),
        root: None,
        last: Mutex::default(),
        forward: Forward::default(),
    };
    Listing::new(Box::new(images), ImageClasses::default())
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
