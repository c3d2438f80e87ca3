//! Images that are files of their own, below one folder.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    dataset::{IdList, ReadError},
    sources::{ImageSource, within_limit},
};

/// Files below a folder. A file's id is its path below the folder.
pub(super) struct ImageFiles {
    root: PathBuf,
    ids: IdList,
    sizes: Vec<u64>,
    /// Paths of the files whose names are not UTF-8, by their places: the id of such a file is only a readable spelling.
    paths_not_utf8: BTreeMap<usize, PathBuf>,
}

impl ImageFiles {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), ids: IdList::default(), sizes: Vec::new(), paths_not_utf8: BTreeMap::new() }
    }

    /// Adds a file of `size` bytes. `path_not_utf8` is its path if its name is not UTF-8, so that the id does not lead to it.
    pub(super) fn push(&mut self, id: &str, size: u64, path_not_utf8: Option<&Path>) {
        if let Some(path) = path_not_utf8 {
            self.paths_not_utf8.insert(self.ids.len(), path.to_owned());
        }
        self.ids.push(id);
        self.sizes.push(size);
    }

    /// Puts the files in the order of their ids.
    pub(super) fn sort(&mut self) {
        self.keep(&self.ids.sorted_places());
    }

    /// Ids in the present order.
    pub(super) fn ids(&self) -> &IdList {
        &self.ids
    }

    fn path(&self, index: usize) -> PathBuf {
        self.paths_not_utf8.get(&index).cloned().unwrap_or_else(|| self.root.join(self.ids.get(index)))
    }
}

impl ImageSource for ImageFiles {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self.ids.get(index))
    }

    fn size(&self, index: usize) -> u64 {
        self.sizes[index]
    }

    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let path = self.path(index);
        within_limit(fs_err::metadata(&path)?.len(), limit)?;
        Ok(fs_err::read(path)?)
    }

    fn duplicate_id(&self) -> Option<&str> {
        self.ids.duplicate()
    }

    fn keep(&mut self, places: &[usize]) {
        self.ids.keep(places);
        self.sizes = places.iter().map(|place| self.sizes[*place]).collect();
        if !self.paths_not_utf8.is_empty() {
            let paths = &mut self.paths_not_utf8;
            let kept = places.iter().enumerate().filter_map(|(now, was)| Some((now, paths.remove(was)?))).collect();
            self.paths_not_utf8 = kept;
        }
    }
}
