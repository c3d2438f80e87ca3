//! Data sets: what images there are, in which order, of which class, and their bytes. Nothing is decoded here.

mod classes;
mod error;
mod folder;
mod manifest;
mod parquet_shards;
mod settings;
mod webdataset;

use std::path::{Path, PathBuf};

pub use classes::ClassList;
pub use error::{DatasetError, ReadError};
use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;
pub use settings::{DatasetKind, DatasetSettings, Sample};

/// Endings that count as images; other files of a folder are passed over.
pub(crate) const IMAGE_ENDINGS: [&str; 5] = ["jpg", "jpeg", "jpe", "png", "webp"];

/// One image of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Path below the folder with `/`, or key in a shard.
    pub id: &'a str,
    /// Class identifier, if the data set has classes.
    pub class_id: Option<&'a str>,
    /// Line of the class in the class file.
    pub class_index: Option<u32>,
}

/// Where an image's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    File(PathBuf),
    /// Bytes of a file that holds several: shard number, offset, length.
    Span {
        shard: u32,
        offset: u64,
        length: u64,
    },
    /// Row of a Parquet file: shard number, row.
    Row {
        shard: u32,
        row: u64,
    },
}

/// An image before sampling: what a format's reader finds.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) class_id: Option<String>,
    pub(crate) class_index: Option<u32>,
    /// Size in bytes where it is known without reading, for the fingerprint.
    pub(crate) bytes: u64,
    pub(crate) location: Location,
}

/// What a format's reader returns.
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    pub(crate) source: Source,
    /// Class names that the data set itself carries.
    pub(crate) classes: Option<Vec<String>>,
}

/// How locations are read.
pub(crate) enum Source {
    Files,
    Tar(webdataset::Shards),
    Parquet(parquet_shards::Shards),
}

/// A listed data set.
pub struct Dataset {
    entries: Vec<Entry>,
    source: Source,
    kind: DatasetKind,
    classes: ClassList,
    warnings: Vec<String>,
    max_file_bytes: u64,
}

impl Dataset {
    /// Lists a data set. The order is deterministic: by id for folders, of the file for manifests, by shard and then by
    /// position for shards. `sample` draws first and keeps the order, `limit` cuts after it.
    pub fn open(settings: &DatasetSettings) -> Result<Self, DatasetError> {
        let path = &settings.path;
        if !is_pattern(path) {
            fs_err::metadata(path)?;
        }
        let kind = match settings.kind {
            DatasetKind::Auto => guess(path)?,
            chosen => chosen,
        };
        let listing = match kind {
            DatasetKind::Folder | DatasetKind::Auto => folder::list(path)?,
            DatasetKind::Manifest => manifest::list(settings)?,
            DatasetKind::Webdataset => webdataset::list(path)?,
            DatasetKind::Parquet => parquet_shards::list(settings)?,
        };
        if listing.entries.is_empty() {
            return Err(DatasetError::Empty { path: path.clone(), endings: IMAGE_ENDINGS.join(", ") });
        }
        let classes = ClassList::new(settings.classes.as_deref(), listing.classes)?;
        let mut dataset = Self {
            entries: listing.entries,
            source: listing.source,
            kind,
            classes,
            warnings: Vec::new(),
            max_file_bytes: settings.max_file_bytes,
        };
        dataset.refuse_duplicates(path)?;
        dataset.assign_classes()?;
        dataset.select(settings);
        dataset.look_at_classes();
        Ok(dataset)
    }

    /// Number of images.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether there is none; [`Dataset::open`] never returns such a data set unless `limit` is 0.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is odd about the data set, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The classes of the class file.
    pub fn classes(&self) -> &ClassList {
        &self.classes
    }

    /// One image.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn item(&self, index: u64) -> Item<'_> {
        let entry = &self.entries[index as usize];
        Item { id: &entry.id, class_id: entry.class_id.as_deref(), class_index: entry.class_index }
    }

    /// Bytes of one image. An error concerns this image alone.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn read(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        let entry = &self.entries[index as usize];
        let too_large = |bytes: u64| ReadError::TooLarge { bytes, limit: self.max_file_bytes };
        match (&entry.location, &self.source) {
            (Location::File(path), _) => {
                let bytes = fs_err::metadata(path)?.len();
                if bytes > self.max_file_bytes { Err(too_large(bytes)) } else { Ok(fs_err::read(path)?) }
            }
            (Location::Span { length, .. }, _) if *length > self.max_file_bytes => Err(too_large(*length)),
            (Location::Span { shard, offset, length }, Source::Tar(shards)) => shards.read(*shard, *offset, *length),
            (Location::Row { shard, row }, Source::Parquet(shards)) => {
                let bytes = shards.read(*shard, *row)?;
                if bytes.len() as u64 > self.max_file_bytes { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
            }
            _ => Err(ReadError::Location),
        }
    }

    /// Hash of what the data set is: kind, ids, sizes and classes in order. Neither the folder's own path nor times are in
    /// it, so a copy elsewhere is the same data set; an image replaced by another of the same size is not noticed.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(self.kind.name());
        for entry in &self.entries {
            text(&entry.id);
            text(entry.class_id.as_deref().unwrap_or("\0"));
            text(&entry.class_index.map_or_else(String::new, |index| index.to_string()));
            text(&entry.bytes.to_string());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn refuse_duplicates(&self, path: &Path) -> Result<(), DatasetError> {
        let mut ids: Vec<&str> = self.entries.iter().map(|entry| entry.id.as_str()).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(DatasetError::Duplicate { path: path.to_owned(), id: pair[0].to_owned() }),
            None => Ok(()),
        }
    }

    fn assign_classes(&mut self) -> Result<(), DatasetError> {
        for entry in &mut self.entries {
            if let Some(class) = &entry.class_id {
                entry.class_index = self.classes.index_of(class, &entry.id)?;
            } else if let Some(index) = entry.class_index {
                // A number of the data set itself, as Hugging Face stores labels; the list gives its name.
                entry.class_id = Some(self.classes.name_of(index, &entry.id)?);
            }
        }
        Ok(())
    }

    fn select(&mut self, settings: &DatasetSettings) {
        if let Some(Sample { count, seed }) = settings.sample
            && (count as usize) < self.entries.len()
        {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut chosen = sample(&mut random, self.entries.len(), count as usize).into_vec();
            chosen.sort_unstable();
            self.entries = chosen.into_iter().map(|index| self.entries[index].clone()).collect();
        }
        if let Some(limit) = settings.limit {
            self.entries.truncate(limit as usize);
        }
    }

    fn look_at_classes(&mut self) {
        let mut classes: Vec<&str> = self.entries.iter().filter_map(|entry| entry.class_id.as_deref()).collect();
        let with_class = classes.len();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() == 1 && self.entries.len() > 1 {
            self.warnings.push(format!(
                "all {with_class} images are of the one class `{}`; is the folder one level too deep?",
                classes[0]
            ));
        }
        if with_class > 0 && with_class < self.entries.len() {
            self.warnings.push(format!(
                "{} of {} images have no class",
                self.entries.len() - with_class,
                self.entries.len()
            ));
        }
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains('{')
}

/// Looks at a path: a manifest, shards, or a folder of images.
fn guess(path: &Path) -> Result<DatasetKind, DatasetError> {
    let ending = |path: &Path| path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    if is_pattern(path) {
        return Ok(DatasetKind::Webdataset);
    }
    if path.is_file() {
        return match ending(path).as_str() {
            "tar" => Ok(DatasetKind::Webdataset),
            "parquet" if parquet_shards::has_image_bytes(path)? => Ok(DatasetKind::Parquet),
            "csv" | "tsv" | "parquet" => Ok(DatasetKind::Manifest),
            _ => Err(DatasetError::UnknownKind { path: path.to_owned() }),
        };
    }
    for entry in fs_err::read_dir(path)? {
        match ending(&entry?.path()).as_str() {
            "tar" => return Ok(DatasetKind::Webdataset),
            "parquet" => return Ok(DatasetKind::Parquet),
            _ => {}
        }
    }
    Ok(DatasetKind::Folder)
}
