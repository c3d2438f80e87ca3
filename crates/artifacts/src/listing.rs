//! What lies in a run in a store, listed at once: one request for a thousand files, where looking at each would be one for each.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use headspan_store::{Blob, Metadata, at_once};

use crate::{
    activations::PartReader,
    error::Result,
    files::{self, if_there, names_in},
    rows::Row,
    run::RunDirectory,
    schema::Table,
    tables::{TableMetadata, metadata_of, read_rows, rows_in},
};

/// Files of a store that are looked at at once.
const AT_ONCE: usize = 16;

/// Files of a run by their paths below it.
#[derive(Debug)]
pub(crate) struct Listing(BTreeMap<PathBuf, Metadata>);

impl RunDirectory {
    /// The same run with what lies in it at this moment, for questions about many of its files. Of a run on a disk, it is the run
    /// itself, and files are looked at one by one.
    pub fn look(&self) -> Result<Self> {
        if !self.is_remote() || self.listing.is_some() {
            return Ok(self.clone());
        }
        // By the number of names: the store may spell the address otherwise than who typed it.
        let above = self.path().components().count();
        let found = headspan_store::walk(self.path())?;
        let below = |path: &Path| path.components().skip(above).collect();
        let listing = found.into_iter().map(|entry| (below(&entry.path), entry.metadata)).collect();
        let mut run = self.clone();
        run.listing = Some(Listing(listing).into());
        Ok(run)
    }

    /// Whether a file of the run is there.
    pub fn has(&self, path: &Path) -> Result<bool> {
        match &self.listing {
            Some(listing) => Ok(listing.0.contains_key(self.below(path))),
            None => Ok(files::is_file(path)?),
        }
    }

    /// Rows of a table; none where the run does not have it.
    pub fn rows_if_there<R: Row>(&self) -> Result<Vec<R>> {
        let path = self.table(R::TABLE);
        if self.has(&path)? { read_rows(&path) } else { Ok(Vec::new()) }
    }

    /// Bytes that a file of the run has.
    pub fn length_of(&self, path: &Path) -> Result<u64> {
        match self.listed(path) {
            Some(found) => Ok(found?.length),
            None => Ok(files::length(path)?),
        }
    }

    /// What the footer of a table says.
    pub fn table_metadata(&self, table: Table) -> Result<TableMetadata> {
        let path = self.table(table);
        metadata_of(&path, &self.open(&path)?)
    }

    /// Names of what lies in a folder of the run.
    pub fn names_in(&self, folder: &Path) -> Result<Vec<String>> {
        let Some(listing) = &self.listing else { return Ok(names_in(folder)?) };
        let folder = self.below(folder);
        let names = listing.0.keys().filter(|path| path.parent() == Some(folder));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// Fingerprints of tables or activations of the run, in their order: none of those that are not there or cannot be read. In a
    /// store, many are looked at at once. A store that does not answer is an error.
    pub fn fingerprints(&self, paths: &[PathBuf]) -> Result<Vec<Option<String>>> {
        let look = |path: &PathBuf| metadata_of(path, &self.open(path)?);
        let one = |path: &PathBuf| match look(path) {
            Ok(found) => Ok(Some(found.fingerprint)),
            Err(error) if error.is_of_the_store() => Err(error),
            Err(_not_there) => Ok(None),
        };
        self.each(paths, one)
    }

    /// Rows of several tables of the run, in their order. In a store, many are read at once.
    pub fn rows_of<R: Row + Send>(&self, paths: &[PathBuf]) -> Result<Vec<Vec<R>>> {
        let one = |path: &PathBuf| rows_in(path, self.open(path)?);
        self.each(paths, one)
    }

    /// Does something with each of some activation parts of the run, in a store with many at once. The answers are in their order.
    pub fn each_part<R: Send>(
        &self,
        parts: &[PathBuf],
        one: impl Fn(&PartReader) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        self.each(parts, |path| one(&self.open_part(path)?))
    }

    /// Does something with each of some files of the run: in a store with many at once, on a disk with one after another.
    pub(crate) fn each<R: Send>(
        &self,
        paths: &[PathBuf],
        one: impl Fn(&PathBuf) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        if self.is_remote() { at_once(paths, AT_ONCE, one) } else { paths.iter().map(one).collect() }
    }

    /// Opens a file of the run. What is read of it in a store is kept on disk.
    pub(crate) fn open(&self, path: &Path) -> io::Result<Blob> {
        match self.listed(path) {
            Some(found) => Blob::known_cached(path, found?),
            None => files::open_file(path),
        }
    }

    /// The bytes of a file of the run; none if it is not there.
    pub fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        if !self.is_remote() {
            return if path.exists() { fs_err::read(path).map(Some) } else { Ok(None) };
        }
        if self.listing.is_none() {
            return if_there(files::read(path));
        }
        let Some(blob) = if_there(self.open(path))? else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(blob.length()?).map_err(io::Error::other)?];
        blob.read_exact_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// Opens a part of the run.
    pub(crate) fn open_part(&self, path: &Path) -> Result<PartReader> {
        if self.is_remote() { PartReader::of_store(path, self.open(path)?) } else { PartReader::open(path) }
    }

    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(self.path()).unwrap_or(path)
    }

    /// What the listing says of a file; none without a listing.
    fn listed(&self, path: &Path) -> Option<io::Result<&Metadata>> {
        let listing = self.listing.as_ref()?;
        let missing = || io::Error::new(ErrorKind::NotFound, format!("`{}` does not exist", path.display()));
        Some(listing.0.get(self.below(path)).ok_or_else(missing))
    }
}
