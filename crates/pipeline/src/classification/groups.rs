//! Groups of images, from columns of a table.

use std::{collections::BTreeMap, path::PathBuf};

use headspan_artifacts::hash_file;
use headspan_images::{Dataset, DatasetError, DatasetSettings};

use crate::{
    error::{PipelineError, Result},
    session::Session,
};

/// Where the groups of images stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChoice {
    /// A table with a row per image, whose column of paths is called as the manifest's is, or `image_id`; none for the manifest of the run.
    pub file: Option<PathBuf>,
    /// Columns. Of several, groups are the combinations of their values.
    pub columns: Vec<String>,
}

/// Groups by image id, and the hash of the table that they stand in.
pub(super) struct Groups {
    pub(super) of: BTreeMap<String, String>,
    pub(super) hash: String,
}

/// Column of ids, in tables of our own.
const IMAGE_ID: &str = "image_id";

impl GroupChoice {
    /// Reads the columns with the reader of manifests, each in the place of the classes. An image without a value in one of the columns has no
    /// group.
    pub(super) fn read(&self, session: &Session) -> Result<Groups> {
        let settings = self.settings(session)?;
        let mut of: BTreeMap<String, String> = BTreeMap::new();
        for (place, column) in self.columns.iter().enumerate() {
            let values = values(&settings, column)?;
            if self.columns.len() == 1 {
                of = values;
            } else if place == 0 {
                of = values.into_iter().map(|(id, value)| (id, format!("{column}={value}"))).collect();
            } else {
                of = of
                    .into_iter()
                    .filter_map(|(id, group)| {
                        let value = values.get(&id)?;
                        let group = format!("{group} {column}={value}");
                        Some((id, group))
                    })
                    .collect();
            }
        }
        let hash = if settings.path.is_file() { hash_file(&settings.path)? } else { hash_of(&of) };
        Ok(Groups { of, hash })
    }

    /// The values of one column by image id, whatever the columns of the groups.
    pub(super) fn column(&self, session: &Session, column: &str) -> Result<BTreeMap<String, String>> {
        values(&self.settings(session)?, column)
    }

    /// Where the table is.
    fn settings(&self, session: &Session) -> Result<DatasetSettings> {
        let recorded = session.data_settings()?;
        Ok(match &self.file {
            Some(file) => DatasetSettings {
                path: file.clone(),
                path_column: recorded.path_column,
                image_column: recorded.image_column,
                ..DatasetSettings::default()
            },
            None => DatasetSettings { classes: None, sample: None, limit: None, ..recorded },
        })
    }
}

/// Of a table that is no file of this machine, the hash of what was read.
fn hash_of(groups: &BTreeMap<String, String>) -> String {
    let all: Vec<u8> = groups.iter().flat_map(|(id, group)| format!("{id}\0{group}\n").into_bytes()).collect();
    headspan_artifacts::Fingerprint::builder("groups", 1)
        .input("groups", &String::from_utf8_lossy(&all))
        .finish()
        .to_string()
}

/// Values of a column by image id.
fn values(settings: &DatasetSettings, column: &str) -> Result<BTreeMap<String, String>> {
    let with_paths = |path_column: &str| {
        Dataset::open(&DatasetSettings {
            path_column: path_column.to_owned(),
            class_column: column.to_owned(),
            label_column: column.to_owned(),
            ..settings.clone()
        })
    };
    let is_of_paths = |error: &DatasetError| matches!(error, DatasetError::NoColumn { column, .. } if *column == settings.path_column);
    let opened = match with_paths(&settings.path_column) {
        Err(error) if is_of_paths(&error) => with_paths(IMAGE_ID),
        opened => opened,
    };
    let failed = |source: DatasetError| PipelineError::Groups {
        path: settings.path.clone(),
        column: column.to_owned(),
        source: Box::new(source),
    };
    let table = opened.map_err(failed)?;
    let value = |place: u64| {
        let item = table.item(place);
        Some((item.id.into_owned(), item.class_id?.to_owned()))
    };
    Ok((0..table.len()).filter_map(value).collect())
}
