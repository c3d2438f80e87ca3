//! Images that are files of their own, below one folder.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use crate::{
    dataset::{IdList, ReadError},
    sources::{ImageSource, names::spelled, open::read},
};

/// Where the file of an id is that is written in some other way than as a path below the folder.
pub(super) type Find = fn(&Path, &str) -> Result<PathBuf, ReadError>;

/// Files below a folder. A file's id is its path below the folder.
pub(super) struct ImageFiles {
    root: PathBuf,
    ids: IdList,
    sizes: Vec<u64>,
    /// Paths of the files whose names are not UTF-8, by their places: the id of such a file is only a readable spelling.
    paths_not_utf8: BTreeMap<usize, PathBuf>,
    find: Find,
}

impl ImageFiles {
    pub(super) fn new(root: &Path) -> Self {
        Self::found_by(root, |root, id| Ok(root.join(id)))
    }

    /// Files whose ids are written by hand.
    pub(super) fn found_by(root: &Path, find: Find) -> Self {
        let (ids, sizes, paths_not_utf8) = (IdList::default(), Vec::new(), BTreeMap::new());
        Self { root: root.to_owned(), ids, sizes, paths_not_utf8, find }
    }

    /// Adds a file of `size` bytes. `path_not_utf8` is its path if its name is not UTF-8, so that the id does not lead to it.
    pub(super) fn push(&mut self, id: &str, size: u64, path_not_utf8: Option<&Path>) {
        if let Some(path) = path_not_utf8 {
            self.paths_not_utf8.insert(self.ids.len(), path.to_owned());
        }
        self.ids.push(id);
        self.sizes.push(size);
    }

    /// Puts in sizes that were not known before, in the present order.
    pub(super) fn set_sizes(&mut self, sizes: Vec<u64>) {
        debug_assert_eq!(sizes.len(), self.sizes.len(), "a size for each file");
        self.sizes = sizes;
    }

    /// Spells names that are not UTF-8 out where another name has the same readable spelling, such as those of two files that
    /// differ in one Latin-1 letter.
    pub(super) fn tell_apart(&mut self) {
        let mut of_id: HashMap<&str, usize> =
            self.paths_not_utf8.keys().map(|place| (self.ids.get(*place), 0)).collect();
        if of_id.is_empty() {
            return;
        }
        for place in 0..self.ids.len() {
            if let Some(count) = of_id.get_mut(self.ids.get(place)) {
                *count += 1;
            }
        }
        let mut ids = IdList::default();
        for place in 0..self.ids.len() {
            let id = self.ids.get(place);
            let path = self.paths_not_utf8.get(&place).filter(|_path| of_id.get(id).is_some_and(|count| *count > 1));
            match path {
                Some(path) => {
                    let below = path.strip_prefix(&self.root).unwrap_or(path);
                    ids.push(&spelled(below.as_os_str().as_encoded_bytes()));
                }
                None => ids.push(id),
            }
        }
        self.ids = ids;
    }

    /// Puts the files in the order of their ids.
    pub(super) fn sort(&mut self) {
        self.keep(&self.ids.sorted_places());
    }

    /// Ids in the present order.
    pub(super) fn ids(&self) -> &IdList {
        &self.ids
    }

    /// Path of a file.
    pub(super) fn path(&self, index: usize) -> Result<PathBuf, ReadError> {
        match self.paths_not_utf8.get(&index) {
            Some(path) => Ok(path.clone()),
            None => (self.find)(&self.root, self.ids.get(index)),
        }
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
        read(&self.path(index)?, limit)
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
