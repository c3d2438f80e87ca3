//! Data sets: what images there are, in which order, of which class, and their bytes. Nothing is decoded here.

mod classes;
mod error;
mod folder;
mod labels;
mod listing;
mod manifest;
mod parquet_shards;
mod pattern;
mod settings;
mod source;
mod tally;
mod webdataset;

use std::{borrow::Cow, collections::BTreeSet, path::Path};

pub use classes::ClassList;
pub use error::{DatasetError, ReadError};
use listing::{ClassOf, Classes};
use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;
pub use settings::{DatasetKind, DatasetSettings, Sample};
use source::Source;

/// Endings that count as images; other files of a folder are passed over.
pub(crate) const IMAGE_ENDINGS: [&str; 5] = ["jpg", "jpeg", "jpe", "png", "webp"];

/// One image of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// Path below the folder with `/`, or key in a shard.
    pub id: Cow<'a, str>,
    /// Class identifier, if the data set has classes.
    pub class_id: Option<&'a str>,
    /// Line of the class in the class file.
    pub class_index: Option<u32>,
}

/// What a format's reader finds, before sampling.
pub(crate) struct Listing {
    pub(crate) source: Source,
    pub(crate) classes: Classes,
    /// Class names that the data set itself carries.
    pub(crate) names: Option<Vec<String>>,
    /// What is odd.
    pub(crate) warnings: Vec<String>,
}

/// A listed data set.
pub struct Dataset {
    source: Source,
    /// Class of each image.
    of_images: Classes,
    kind: DatasetKind,
    classes: ClassList,
    warnings: Vec<String>,
    max_file_bytes: u64,
    /// Column that images are read from, where there is a choice.
    image_column: Option<String>,
}

impl Dataset {
    /// Lists a data set. The order is deterministic: by id for folders, of the file for manifests, by shard and then by
    /// position for shards. `sample` draws first and keeps the order, `limit` cuts after it.
    pub fn open(settings: &DatasetSettings) -> Result<Self, DatasetError> {
        let path = &settings.path;
        if !pattern::is_pattern(path) {
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
        if listing.source.len() == 0 {
            let (endings, warnings) = (IMAGE_ENDINGS.join(", "), listing.warnings);
            return Err(DatasetError::Empty { path: path.clone(), endings, warnings });
        }
        let classes = ClassList::new(settings.classes.as_deref(), listing.names)?;
        let mut dataset = Self {
            source: listing.source,
            of_images: listing.classes,
            kind,
            classes,
            warnings: listing.warnings,
            max_file_bytes: settings.max_file_bytes,
            image_column: (kind == DatasetKind::Parquet).then(|| settings.image_column.clone()),
        };
        dataset.refuse_duplicates(path)?;
        dataset.assign_classes()?;
        dataset.refuse_needless_classes(settings)?;
        dataset.select(settings);
        dataset.look_at_classes();
        Ok(dataset)
    }

    /// Number of images.
    pub fn len(&self) -> u64 {
        self.source.len() as u64
    }

    /// Whether there is none; [`Dataset::open`] never returns such a data set unless `limit` is 0.
    pub fn is_empty(&self) -> bool {
        self.source.len() == 0
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
        let class = self.of_images.get(index as usize);
        Item { id: self.source.id(index as usize), class_id: class.id.as_deref(), class_index: class.index }
    }

    /// Bytes of one image. An error concerns this image alone.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn read(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        self.source.read(index as usize, self.max_file_bytes)
    }

    /// Hash of what the data set is: kind, ids, sizes and classes in order, and what decides which bytes are an image's. Neither the folder's own path nor times are in
    /// it, so a copy elsewhere is the same data set; an image replaced by another of the same size is not noticed.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(self.kind.name());
        for index in 0..self.source.len() {
            let class = self.of_images.get(index);
            text(&self.source.id(index));
            text(class.id.as_deref().unwrap_or("\0"));
            text(&class.index.map_or_else(String::new, |index| index.to_string()));
            text(&self.source.bytes(index).to_string());
        }
        // Named only where they are not the rule: runs from before they counted stay what they are.
        let rule = DatasetSettings::default();
        if self.max_file_bytes != rule.max_file_bytes {
            text(&format!("at most {} bytes", self.max_file_bytes));
        }
        if let Some(column) = self.image_column.as_ref().filter(|column| **column != rule.image_column) {
            text(&format!("images in {column}"));
        }
        hasher.finalize().to_hex().to_string()
    }

    fn refuse_duplicates(&self, path: &Path) -> Result<(), DatasetError> {
        match self.source.twice() {
            Some(id) => Err(DatasetError::Duplicate { path: path.to_owned(), id: id.to_owned() }),
            None => Ok(()),
        }
    }

    /// Gives each class its identifier and its line in the list of classes.
    fn assign_classes(&mut self) -> Result<(), DatasetError> {
        for class in self.of_images.known() {
            let image = self.source.id(class.first);
            (class.id, class.index) = match &class.of {
                ClassOf::None => (None, None),
                ClassOf::Name(name) => (Some(name.clone()), self.classes.index_of(name, &image)?),
                ClassOf::Number(number) => (Some(self.classes.name_of(*number, &image)?), Some(*number)),
                ClassOf::Spelled(text, number) => {
                    let (id, index) = self.classes.of_spelling(text, *number, &image)?;
                    (Some(id), Some(index))
                }
            };
        }
        Ok(())
    }

    /// A class file says that images have classes; if none has, it is read from the wrong place.
    fn refuse_needless_classes(&mut self, settings: &DatasetSettings) -> Result<(), DatasetError> {
        let Some(classes) = settings.classes.clone() else { return Ok(()) };
        if self.of_images.known().iter().any(|class| class.id.is_some()) {
            return Ok(());
        }
        Err(DatasetError::NoClasses { path: settings.path.clone(), classes, kind: self.kind })
    }

    fn select(&mut self, settings: &DatasetSettings) {
        let all = self.source.len();
        let mut chosen: Option<Vec<usize>> = None;
        if let Some(Sample { count, seed }) = settings.sample
            && (count as usize) < all
        {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let drawn = chosen.insert(sample(&mut random, all, count as usize).into_vec());
            drawn.sort_unstable();
        }
        if let Some(limit) = settings.limit
            && (limit as usize) < chosen.as_ref().map_or(all, Vec::len)
        {
            chosen.get_or_insert_with(|| (0..limit as usize).collect()).truncate(limit as usize);
        }
        if let Some(chosen) = chosen {
            self.source.keep(&chosen);
            self.of_images.keep(&chosen);
        }
    }

    fn look_at_classes(&mut self) {
        let all = self.source.len();
        let classes = (0..all).filter_map(|index| self.of_images.get(index).id.as_deref());
        let with_class = classes.clone().count();
        let classes: BTreeSet<&str> = classes.collect();
        let mut warnings = Vec::new();
        if let (Some(class), 1) = (classes.first(), classes.len())
            && all > 1
        {
            warnings.push(format!(
                "all {with_class} images have the same class, `{class}`; is the folder one level too deep?"
            ));
        }
        if with_class > 0 && with_class < all {
            warnings.push(format!("{} of {all} images have no class", all - with_class));
        }
        self.warnings.extend(warnings);
    }
}

/// Looks at a path: a manifest, shards, or a folder of images.
fn guess(path: &Path) -> Result<DatasetKind, DatasetError> {
    let ending = |path: &Path| path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    if pattern::is_pattern(path) {
        return match ending(path).as_str() {
            "tar" => Ok(DatasetKind::Webdataset),
            "parquet" => Ok(DatasetKind::Parquet),
            _ => Err(DatasetError::Pattern { path: path.to_owned(), message: "it ends in neither .tar nor .parquet" }),
        };
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
        let entry = entry?;
        match ending(&entry.path()).as_str() {
            _ if folder::is_hidden(&entry.file_name()) => {}
            "tar" => return Ok(DatasetKind::Webdataset),
            "parquet" => return Ok(DatasetKind::Parquet),
            _ => {}
        }
    }
    Ok(DatasetKind::Folder)
}
