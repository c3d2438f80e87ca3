//! Manifests: tables with a row for each image.

mod csv_rows;
mod dialect;
mod parquet_rows;
mod paths;
mod quotes;

use std::path::{Path, PathBuf};

use headspan_store::{Kind, is_of_the_store};

pub(in crate::sources) use self::paths::find;
use self::paths::{is_address, path_of_bytes};
use crate::{
    dataset::{DatasetError, DatasetSettings, IdList, ImageClasses, RawClass},
    sources::{
        Listing, Location, SourceFormat, files::ImageFiles, names::has_ending, parquet::holds_images,
        suggestion::similar, tally::Tally,
    },
};

/// Remote files that are asked about at once.
const ASKED: usize = 4096;

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "manifest",
    schemes: &[],
    recognises: |location, settings| match location {
        Location::File { ending: "csv" | "tsv", .. } => Ok(true),
        // With image bytes it is a Parquet shard.
        Location::File { ending: "parquet", path } => Ok(!holds_images(path, settings)?),
        _ => Ok(false),
    },
    list,
};

/// Lists a CSV, TSV or Parquet manifest with a column of paths and, if it is there, one of classes.
fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let path = &settings.path;
    let root = settings.root.clone().or_else(|| path.parent().map(Path::to_owned)).unwrap_or_default();
    let mut rows = Rows::new(&root);
    let mut warnings = if has_ending(path, "parquet") {
        parquet_rows::read(settings, &mut rows)?;
        Vec::new()
    } else {
        csv_rows::read(settings, &mut rows)?
    };
    if rows.len() == 0 && settings.limit != Some(0) {
        return Err(DatasetError::NoRows { path: path.clone() });
    }
    if rows.addresses == rows.len()
        && let Some(address) = rows.first_address.take()
    {
        return Err(DatasetError::Addresses { path: path.clone(), address });
    }
    rows.ask_for_sizes()?;
    warnings.extend(rows.not_utf8.warning("paths are not UTF-8 and have a readable spelling as ids"));
    let all_read = !settings.enough(rows.len());
    Ok(Listing { warnings, all_read, ..Listing::new(Box::new(rows.files), rows.classes) })
}

/// The rows so far.
struct Rows<'a> {
    files: ImageFiles,
    classes: ImageClasses,
    root: &'a Path,
    /// Rows that name no file but a URL.
    addresses: usize,
    first_address: Option<String>,
    not_utf8: Tally,
}

impl<'a> Rows<'a> {
    fn new(root: &'a Path) -> Self {
        let (files, classes) = (ImageFiles::found_by(root, find), ImageClasses::default());
        Self { files, classes, root, addresses: 0, first_address: None, not_utf8: Tally::default() }
    }

    fn len(&self) -> usize {
        self.files.ids().len()
    }

    fn clear(&mut self) {
        *self = Self::new(self.root);
    }

    /// Whether a path begins with a quote, which is most likely none of its letters.
    fn has_quoted_path(&self) -> bool {
        let ids: &IdList = self.files.ids();
        (0..ids.len()).any(|place| ids.get(place).starts_with('"'))
    }

    fn push(&mut self, image: &[u8], class: Option<&str>) {
        let id = String::from_utf8_lossy(image);
        self.classes.push(RawClass::named(class));
        if is_address(&id) {
            self.addresses += 1;
            self.first_address.get_or_insert_with(|| id.clone().into_owned());
            self.files.push(&id, 0, None);
            return;
        }
        if headspan_store::is_address(self.root) {
            // All are asked about at once, later.
            self.files.push(&id, 0, None);
            return;
        }
        let own = std::str::from_utf8(image).is_err().then(|| self.root.join(path_of_bytes(image)));
        if own.is_some() {
            self.not_utf8.add(|| format!("`{id}`"));
        }
        // A file that is not there is a skipped image later, not the end of the run.
        let path = own.clone().or_else(|| find(self.root, &id).ok());
        let metadata = path.and_then(|path| std::fs::metadata(path).ok()).filter(|metadata| metadata.is_file());
        self.files.push(&id, metadata.map_or(0, |metadata| metadata.len()), own.as_deref());
    }
}

impl Rows<'_> {
    /// Sizes of remote files, for the fingerprint. A file that is not there has none, and is a skipped image later.
    fn ask_for_sizes(&mut self) -> Result<(), DatasetError> {
        if !headspan_store::is_address(self.root) {
            return Ok(());
        }
        let mut sizes = Vec::with_capacity(self.len());
        for first in (0..self.len()).step_by(ASKED) {
            let paths: Vec<Option<PathBuf>> =
                (first..self.len().min(first + ASKED)).map(|place| self.files.path(place).ok()).collect();
            let known: Vec<PathBuf> = paths.iter().flatten().cloned().collect();
            let mut found = headspan_store::metadata_of(&known)?.into_iter();
            for path in paths {
                let found = path.and_then(|_path| found.next());
                sizes.push(match found {
                    Some(Ok(found)) if found.kind == Kind::File => found.length,
                    Some(Err(error)) if is_of_the_store(&error) => return Err(error.into()),
                    _ => 0,
                });
            }
        }
        self.files.set_sizes(sizes);
        Ok(())
    }
}

/// Places of the columns.
struct Columns {
    path: usize,
    class: Option<usize>,
}

impl Columns {
    /// Finds the columns by their names without outer blanks. The column of classes may be absent only if nobody asked for
    /// it, by its name or by a class file.
    fn find(settings: &DatasetSettings, names: &[&str]) -> Result<Self, DatasetError> {
        let place = |column: &str| names.iter().position(|name| name.trim() == column.trim());
        let absent = |column: &str| Self::absent(settings, column, names);
        let path = place(&settings.path_column).ok_or_else(|| absent(&settings.path_column))?;
        let class = match settings.class_column.as_str() {
            "" => None,
            column => match place(column) {
                None if Self::class_is_asked_for(settings) => return Err(absent(column)),
                place => place,
            },
        };
        Ok(Self { path, class })
    }

    fn class_is_asked_for(settings: &DatasetSettings) -> bool {
        let default = DatasetSettings::default().class_column;
        !settings.class_column.is_empty() && (settings.class_column != default || settings.classes.is_some())
    }

    fn absent(settings: &DatasetSettings, column: &str, names: &[&str]) -> DatasetError {
        let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        DatasetError::NoColumn {
            path: settings.path.clone(),
            column: column.to_owned(),
            similar: similar(column, &names),
            found: names.into_iter().map(str::to_owned).collect(),
        }
    }
}
