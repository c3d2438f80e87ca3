//! Where images come from: a file for each source, and the table of them.
//!
//! A new source is a file here and its line in the table below. The file has two things:
//!
//! - `static FORMAT`, a [`SourceFormat`]: how its paths are recognised, and how its images are listed;
//! - a type that implements [`ImageSource`]: it keeps what was listed and reads the bytes of one image. Sources whose images
//!   are files of their own share [`files::ImageFiles`].

mod files;
mod forward;
mod guess;
mod names;
mod open;
mod passed_over;
mod pattern;
mod place;
mod signature;
mod suggestion;
mod tally;

use std::{borrow::Cow, path::Path};

use serde::{Deserialize, Serialize};

use crate::dataset::{DatasetError, DatasetSettings, ImageClasses, ReadError};

pub(crate) use guess::format_of;
pub use guess::is_local;
pub use memory::{HandedImages, hand_over, take_back};
pub(crate) use open::read_text;
pub use pattern::is_pattern;

/// Declares the modules, the setting `kind` and the table. Each module has its source as `FORMAT`.
macro_rules! sources {
    ($($(#[doc = $what:literal])+ $module:ident => $kind:ident),+ $(,)?) => {
        $(mod $module;)+

        /// Format of a data set.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum DatasetKind {
            /// By looking at the path.
            #[default]
            Auto,
            $($(#[doc = $what])+ $kind,)+
        }

        impl DatasetKind {
            #[cfg(test)]
            const ALL: &[Self] = &[Self::Auto, $(Self::$kind),+];

            /// The format that the setting names; none for `auto`.
            const fn format(self) -> Option<&'static SourceFormat> {
                match self {
                    Self::Auto => None,
                    $(Self::$kind => Some(&$module::FORMAT),)+
                }
            }
        }

        /// All sources. Their order says nothing: no two recognise the same path.
        pub(crate) static SOURCES: &[&SourceFormat] = &[$(&$module::FORMAT),+];
    };
}

sources! {
    /// A folder: class per subfolder, or flat.
    folder => Folder,
    /// A CSV or Parquet table of paths and classes.
    manifest => Manifest,
    /// WebDataset tar shards.
    webdataset => Webdataset,
    /// Parquet shards with image bytes, as Hugging Face stores them.
    parquet => Parquet,
    /// Images that the calling program hands over.
    memory => Memory,
}

/// A source of images before anything is listed.
pub(crate) struct SourceFormat {
    /// Name in fingerprints and as the setting `kind`. Another name makes all its runs stale.
    pub(crate) name: &'static str,
    /// URL schemes that are its own. Files of disks and of stores have none: their format is that of what lies there.
    pub(crate) schemes: &'static [&'static str],
    /// Whether what lies at a path is of this format, for `kind = "auto"`.
    pub(crate) recognises: fn(&Location<'_>, &DatasetSettings) -> Result<bool, DatasetError>,
    /// Lists the images in the format's own order: all, or at least as many as are [`enough`](DatasetSettings::enough).
    pub(crate) list: fn(&DatasetSettings) -> Result<Listing, DatasetError>,
}

/// What a source finds, before sampling.
pub(crate) struct Listing {
    /// The images.
    pub(crate) images: Box<dyn ImageSource>,
    /// Their classes, in the same order.
    pub(crate) classes: ImageClasses,
    /// Names of the classes by number, where the data set itself carries them.
    pub(crate) class_names: Option<Vec<String>>,
    /// What is unusual, and what was done about it.
    pub(crate) warnings: Vec<String>,
    /// What of the data set cannot be read, so that images are lost. A strict run does not accept it.
    pub(crate) damage: Vec<String>,
    /// What else decides which bytes are an image's, for the fingerprint. None where it is the default, so that a new setting
    /// leaves the fingerprints of earlier runs as they are.
    pub(crate) identity: Option<String>,
    /// Whether all images were listed, and not only as many as are enough.
    pub(crate) all_read: bool,
}

impl Listing {
    /// A listing of all images without anything unusual.
    pub(crate) fn new(images: Box<dyn ImageSource>, classes: ImageClasses) -> Self {
        let (warnings, damage) = (Vec::new(), Vec::new());
        Self { images, classes, class_names: None, warnings, damage, identity: None, all_read: true }
    }
}

/// The images of a listed data set. There may be millions, so an implementation keeps a few bytes of each and no allocation.
///
/// Images are counted from 0 in the order of the listing; methods may panic for an index that is not below `len`.
pub(crate) trait ImageSource: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Id of an image: its path below the folder with `/`, or its key in a shard.
    fn id(&self, index: usize) -> Cow<'_, str>;

    /// Size in bytes where it is known without reading, for the fingerprint: of the file, of the member of a shard, or of the
    /// whole Parquet file that the image is a row of. 0 if it is not known.
    fn size(&self, index: usize) -> u64;

    /// Bytes that all images lie in: their own, or those of the whole Parquet files. 0 if they are not known.
    fn bytes(&self) -> u64 {
        (0..self.len()).map(|index| self.size(index)).sum()
    }

    /// Bytes of one image, unless there are more than `limit`. Many threads call it at once.
    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError>;

    /// An id that two images have. None where ids count rows and cannot repeat.
    fn duplicate_id(&self) -> Option<&str>;

    /// Keeps the images at `places` alone, in this order.
    fn keep(&mut self, places: &[usize]);
}

/// What lies at a path, as far as a format has to know it to recognise its own. Endings are in lower case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Location<'a> {
    /// A pattern that stands for several files.
    Pattern {
        /// Ending of all of them.
        ending: &'a str,
    },
    /// One file.
    File {
        /// Its path, for formats that look into it.
        path: &'a Path,
        /// Its ending.
        ending: &'a str,
    },
    /// A folder, asked for each of its files that is not hidden.
    FolderWith {
        /// Path of the file, for formats that look into it.
        path: &'a Path,
        /// Its ending.
        ending: &'a str,
    },
    /// A folder none of whose files was recognised.
    Folder,
}

impl Location<'_> {
    /// Whether it holds shards with this ending: one file, some in a folder, or those of a pattern.
    fn holds_shards(&self, shard_ending: &str) -> bool {
        match self {
            Self::Pattern { ending } | Self::File { ending, .. } | Self::FolderWith { ending, .. } => {
                *ending == shard_ending
            }
            Self::Folder => false,
        }
    }
}

/// Refuses an image of more bytes than the limit.
fn within_limit(bytes: u64, limit: u64) -> Result<(), ReadError> {
    if bytes > limit { Err(ReadError::TooLarge { bytes, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_but_auto_is_in_the_table_once_under_its_name_in_settings() -> Result<(), serde_json::Error> {
        assert_eq!(SOURCES.len() + 1, DatasetKind::ALL.len());
        for kind in DatasetKind::ALL {
            let name = serde_json::to_value(kind)?;
            let found: Vec<&SourceFormat> = SOURCES.iter().copied().filter(|format| name == format.name).collect();
            match (kind.format(), found.as_slice()) {
                (None, []) => assert_eq!(*kind, DatasetKind::Auto),
                (Some(format), [found]) => assert!(std::ptr::eq(format, *found), "{name}"),
                (_, found) => panic!("{name} is in the table {} times", found.len()),
            }
        }
        Ok(())
    }

    #[test]
    fn no_two_sources_recognise_the_same_path() -> Result<(), DatasetError> {
        let count = |location: Location<'_>| {
            let settings = DatasetSettings::default();
            let recognises = |format: &SourceFormat| (format.recognises)(&location, &settings);
            SOURCES.iter().try_fold(0, |count, format| Ok(count + usize::from(recognises(format)?)))
        };
        let expect = |location, expected| -> Result<(), DatasetError> {
            let found: Result<usize, DatasetError> = count(location);
            assert_eq!(found?, expected, "{location:?}");
            Ok(())
        };
        expect(Location::Folder, 1)?;
        for (ending, of_pattern, of_file, in_folder) in
            [("tar", 1, 1, 1), ("csv", 0, 1, 0), ("tsv", 0, 1, 0), ("jpg", 0, 0, 0), ("", 0, 0, 0)]
        {
            expect(Location::Pattern { ending }, of_pattern)?;
            expect(Location::File { path: Path::new("unread"), ending }, of_file)?;
            expect(Location::FolderWith { path: Path::new("unread"), ending }, in_folder)?;
        }
        expect(Location::Pattern { ending: "parquet" }, 1)
    }
}
