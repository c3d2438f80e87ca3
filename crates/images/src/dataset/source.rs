//! Where images and their bytes come from.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::dataset::{ReadError, listing::Texts, parquet_shards, webdataset};

/// The images of a data set: their ids, sizes and bytes.
pub(crate) enum Source {
    Files(Files),
    Tar(webdataset::Shards),
    Parquet(parquet_shards::Shards),
}

impl Source {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.ids.len(),
            Self::Tar(shards) => shards.ids().len(),
            Self::Parquet(shards) => shards.len(),
        }
    }

    pub(crate) fn id(&self, index: usize) -> Cow<'_, str> {
        match self {
            Self::Files(files) => Cow::Borrowed(files.ids.get(index)),
            Self::Tar(shards) => Cow::Borrowed(shards.ids().get(index)),
            Self::Parquet(shards) => Cow::Owned(shards.id(index)),
        }
    }

    /// Size in bytes where it is known without reading, for the fingerprint: of the file, of the member, or of the whole
    /// Parquet file that the image is a row of.
    pub(crate) fn bytes(&self, index: usize) -> u64 {
        match self {
            Self::Files(files) => files.bytes[index],
            Self::Tar(shards) => shards.bytes(index),
            Self::Parquet(shards) => shards.bytes(index),
        }
    }

    /// Bytes of one image, unless there are more than `limit`.
    pub(crate) fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let bounded = |bytes: u64| if bytes > limit { Err(ReadError::TooLarge { bytes, limit }) } else { Ok(()) };
        match self {
            Self::Files(files) => {
                let path = files.path(index);
                bounded(fs_err::metadata(&path)?.len())?;
                Ok(fs_err::read(path)?)
            }
            Self::Tar(shards) => {
                bounded(shards.bytes(index))?;
                shards.read(index)
            }
            Self::Parquet(shards) => {
                let bytes = shards.read(index)?;
                bounded(bytes.len() as u64)?;
                Ok(bytes)
            }
        }
    }

    /// An id that is there twice. Rows of shards have a place each and cannot be.
    pub(crate) fn twice(&self) -> Option<&str> {
        match self {
            Self::Files(files) => files.ids.twice(),
            Self::Tar(shards) => shards.ids().twice(),
            Self::Parquet(_) => None,
        }
    }

    /// The images at `places` alone, in this order.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        match self {
            Self::Files(files) => files.keep(places),
            Self::Tar(shards) => shards.keep(places),
            Self::Parquet(shards) => shards.keep(places),
        }
    }
}

/// Files below a folder, by their ids.
pub(crate) struct Files {
    root: PathBuf,
    ids: Texts,
    bytes: Vec<u64>,
    /// Paths of those whose names are not UTF-8: their ids are a readable spelling only.
    odd: BTreeMap<usize, PathBuf>,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), ids: Texts::default(), bytes: Vec::new(), odd: BTreeMap::new() }
    }

    /// Adds a file, with its path where that is not the root and the id.
    pub(crate) fn push(&mut self, id: &str, bytes: u64, odd: Option<&Path>) {
        if let Some(path) = odd {
            self.odd.insert(self.ids.len(), path.to_owned());
        }
        self.ids.push(id);
        self.bytes.push(bytes);
    }

    /// Puts the files in the order of their ids.
    pub(crate) fn sort(&mut self) {
        self.keep(&self.ids.order());
    }

    pub(crate) fn ids(&self) -> &Texts {
        &self.ids
    }

    fn path(&self, index: usize) -> PathBuf {
        self.odd.get(&index).cloned().unwrap_or_else(|| self.root.join(self.ids.get(index)))
    }

    fn keep(&mut self, places: &[usize]) {
        self.ids.keep(places);
        self.bytes = places.iter().map(|place| self.bytes[*place]).collect();
        if !self.odd.is_empty() {
            let odd = places.iter().enumerate().filter_map(|(now, was)| Some((now, self.odd.remove(was)?)));
            self.odd = odd.collect();
        }
    }
}
