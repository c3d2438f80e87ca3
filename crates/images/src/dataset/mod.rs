//! Data sets: what images there are, in which order, of which class, and their bytes. Nothing is decoded here.

mod classes;
mod error;
mod listing;
mod sampling;
mod settings;

use std::{borrow::Cow, collections::BTreeSet, path::Path};

pub use classes::ClassList;
pub use error::{DatasetError, ReadError};
pub(crate) use listing::{IdList, ImageClasses, RawClass};
pub use settings::{DatasetSettings, Sample};

use headspan_store::is_of_the_store;

use crate::{
    decoding::formats::{IMAGE_ENDINGS, is_image_ending},
    sources::{ImageSource, SourceFormat, format_of},
};

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

/// A listed data set: its images in order, with their classes. Reading is left to its source.
pub struct Dataset {
    images: Box<dyn ImageSource>,
    /// Class of each image.
    image_classes: ImageClasses,
    /// The classes that there may be.
    classes: ClassList,
    warnings: Vec<String>,
    damage: Vec<String>,
    max_file_bytes: u64,
    format: &'static SourceFormat,
    /// What the format adds to the fingerprint.
    format_identity: Option<String>,
    /// Whether all images were listed.
    all_read: bool,
    holds_jpegs: bool,
}

impl Dataset {
    /// Lists a data set. The order is deterministic: by id for folders, of the file for manifests, by shard and then by
    /// position for shards. `sample` draws first and keeps the order, `limit` cuts after it.
    pub fn open(settings: &DatasetSettings) -> Result<Self, DatasetError> {
        let settings = &settings.clone().with_queries_aside();
        let path = &settings.path;
        let format = format_of(settings)?;
        let listing = (format.list)(settings)?;
        let warnings = [listing.damage.clone(), listing.warnings].concat();
        if listing.images.len() == 0 {
            let endings = IMAGE_ENDINGS.join(", ");
            return Err(DatasetError::Empty { path: path.clone(), endings, warnings });
        }
        let classes = ClassList::new(settings.classes.as_deref(), listing.class_names)?;
        let mut dataset = Self {
            images: listing.images,
            image_classes: listing.classes,
            classes,
            warnings,
            damage: listing.damage,
            max_file_bytes: settings.max_file_bytes,
            format,
            format_identity: listing.identity,
            all_read: listing.all_read,
            holds_jpegs: false,
        };
        dataset.refuse_duplicates(path)?;
        dataset.assign_classes()?;
        dataset.refuse_needless_classes(settings)?;
        dataset.select(settings);
        dataset.warn_of_classes();
        dataset.holds_jpegs = dataset.look_for_jpegs()?;
        Ok(dataset)
    }

    /// Number of images.
    pub fn len(&self) -> u64 {
        self.images.len() as u64
    }

    /// Whether there is none; [`Dataset::open`] never returns such a data set unless `limit` is 0.
    pub fn is_empty(&self) -> bool {
        self.images.len() == 0
    }

    /// Bytes that the images lie in, where they are known without reading: their own, or those of the whole Parquet files.
    pub fn bytes(&self) -> Option<u64> {
        Some(self.images.bytes()).filter(|bytes| *bytes > 0)
    }

    /// What is unusual about the data set and what was done about it, for the log. What is damaged comes first.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// An error if parts of the data set cannot be read, so that images are missing that no row can name.
    pub fn refuse_damage(&self, settings: &DatasetSettings) -> Result<(), DatasetError> {
        if self.damage.is_empty() {
            return Ok(());
        }
        Err(DatasetError::Damaged { path: settings.path.clone(), damage: self.damage.clone() })
    }

    /// The classes of the class file.
    pub fn classes(&self) -> &ClassList {
        &self.classes
    }

    /// Id and class of one image.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn item(&self, index: u64) -> Item<'_> {
        let class = self.image_classes.get(index as usize);
        Item { id: self.images.id(index as usize), class_id: class.id.as_deref(), class_index: class.index }
    }

    /// Bytes of one image. An error concerns this image alone.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn read(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        self.images.read(index as usize, self.max_file_bytes)
    }

    /// Hash of what the data set is: its format, the ids, sizes and classes of its images in order, and the settings that
    /// decide which bytes are an image's. Neither the folder's own path nor times are in it, so a copy elsewhere is the same
    /// data set. Replacing an image with another of the same size is not detected.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(self.format.name);
        for index in 0..self.images.len() {
            let class = self.image_classes.get(index);
            text(&self.images.id(index));
            text(class.id.as_deref().unwrap_or("\0"));
            text(&class.index.map_or_else(String::new, |index| index.to_string()));
            text(&self.images.size(index).to_string());
        }
        // Named only if they are not the defaults, so that runs from before they counted keep their fingerprint.
        if self.max_file_bytes != DatasetSettings::default().max_file_bytes {
            text(&format!("at most {} bytes", self.max_file_bytes));
        }
        if let Some(identity) = &self.format_identity {
            text(identity);
        }
        // Another decoder read them before, with other pixels: what it made of JPEGs must not be continued.
        if self.holds_jpegs {
            text("JPEGs by libjpeg-turbo");
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether there are JPEGs: by their endings, or by the bytes of the first image where ids have none.
    fn look_for_jpegs(&self) -> Result<bool, DatasetError> {
        let mut named = false;
        for index in 0..self.images.len() {
            let id = self.images.id(index);
            let Some((_, ending)) = id.rsplit_once('.').filter(|(_, ending)| is_image_ending(ending)) else { continue };
            if ["jpg", "jpeg", "jpe", "jfif", "mpo"].iter().any(|jpeg| ending.eq_ignore_ascii_case(jpeg)) {
                return Ok(true);
            }
            named = true;
        }
        if named || self.is_empty() {
            return Ok(false);
        }
        match self.read(0) {
            Ok(bytes) => Ok(bytes.starts_with(&[0xff, 0xd8])),
            // The fingerprint must not depend on whether a store answered.
            Err(ReadError::Io(error)) if is_of_the_store(&error) => Err(error.into()),
            Err(ReadError::Parquet { source }) if is_of_the_store(&*source) => {
                Err(std::io::Error::other(source).into())
            }
            Err(_unreadable) => Ok(false),
        }
    }

    fn refuse_duplicates(&self, path: &Path) -> Result<(), DatasetError> {
        match self.images.duplicate_id() {
            Some(id) => Err(DatasetError::Duplicate { path: path.to_owned(), id: id.to_owned() }),
            None => Ok(()),
        }
    }

    /// Gives each class its identifier and its line in the list of classes.
    fn assign_classes(&mut self) -> Result<(), DatasetError> {
        for class in self.image_classes.known() {
            let image = self.images.id(class.first);
            (class.id, class.index) = match &class.raw {
                RawClass::None => (None, None),
                RawClass::Name(name) => (Some(name.clone()), self.classes.index_of(name, &image)?),
                RawClass::Number(number) => (Some(self.classes.name_of(*number, &image)?), Some(*number)),
                RawClass::Spelled(text, number) => {
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
        // Images that were not listed may have classes.
        if !self.all_read || self.image_classes.known().iter().any(|class| class.id.is_some()) {
            return Ok(());
        }
        Err(DatasetError::NoClasses { path: settings.path.clone(), classes, format: self.format.name })
    }

    /// Keeps the images of the sample and the limit alone.
    fn select(&mut self, settings: &DatasetSettings) {
        if let Some(places) = sampling::chosen_places(self.images.len(), settings.sample, settings.limit) {
            self.images.keep(&places);
            self.image_classes.keep(&places);
        }
    }

    /// Warns if all images have one class, or some have none.
    fn warn_of_classes(&mut self) {
        let all = self.images.len();
        let classes = (0..all).filter_map(|index| self.image_classes.get(index).id.as_deref());
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
