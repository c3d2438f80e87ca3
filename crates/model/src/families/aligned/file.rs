//! `alignment.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ClipError, Result};

/// The key by which the file is recognised: the version of its schema.
const VERSION_KEY: &str = "headspan_alignment";

/// What is in an `alignment.json`: the models that an aligned one is made of, and how the map was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alignment {
    /// Version of the schema.
    #[serde(rename = "headspan_alignment")]
    pub version: u32,
    /// Version of the headspan that wrote it.
    pub headspan: String,
    /// Hash of both models and the map: the identity of the aligned model.
    pub fingerprint: String,
    /// The image tower.
    pub from: AlignedPart,
    /// The CLIP whose texts it gets.
    pub to: AlignedPart,
    /// The map between them.
    pub map: MapFile,
    /// How the map was fitted: images, figures. For the reader; no result depends on it.
    pub fit: Value,
}

/// A model that an aligned one is made of. A relative path starts at the folder of `alignment.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignedPart {
    /// Its configuration.
    pub config: PathBuf,
    /// Its weights; of weights in several files the index, or one of them.
    pub weights: PathBuf,
    /// Its tokenizer; none for the tower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Hash of configuration and weights when the map was fitted.
    pub hash: String,
}

/// The file of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapFile {
    /// The file, safetensors. A relative path starts at the folder of `alignment.json`.
    pub file: PathBuf,
    /// Hash of the file.
    pub hash: String,
}

pub(super) fn recognises(value: &Value) -> bool {
    value.get(VERSION_KEY).is_some()
}

impl Alignment {
    /// Name of the file.
    pub const FILE: &str = "alignment.json";
    /// Version of the schema that is written and read.
    pub const VERSION: u32 = 1;

    /// The aligned model in a folder; none if the folder has no `alignment.json`.
    pub(crate) fn in_folder(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Self::FILE);
        if path.is_file() { Self::read(&path).map(Some) } else { Ok(None) }
    }

    /// The aligned model that a configuration file describes; none for other configurations.
    pub fn of_config(config: &Path) -> Result<Option<Self>> {
        if config.file_name().is_some_and(|name| name == Self::FILE) { Self::read(config).map(Some) } else { Ok(None) }
    }

    /// Reads an `alignment.json`. An error names the file that it refers to and that is not there.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let value = serde_json::from_str(&text).map_err(|source| wrong(path, source))?;
        Self::from_json(path, value)
    }

    pub(super) fn from_json(path: &Path, value: Value) -> Result<Self> {
        let version = value.get(VERSION_KEY).cloned().unwrap_or_default();
        if version != Self::VERSION {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("{VERSION_KEY} = {version}"),
                why: "this version of headspan reads 1",
            });
        }
        let mut read: Self = serde_json::from_value(value).map_err(|source| wrong(path, source))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for (what, file) in read.files_mut() {
            *file = folder.join(&*file);
            if !file.is_file() {
                return Err(ClipError::AlignmentPart { path: path.to_owned(), what, missing: file.clone() });
            }
        }
        Ok(read)
    }

    /// Every file that it refers to, with what it is.
    fn files_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut PathBuf)> {
        let Self { from, to, map, .. } = self;
        let files = [
            ("configuration of the tower", &mut from.config),
            ("weights of the tower", &mut from.weights),
            ("configuration of the CLIP", &mut to.config),
            ("weights of the CLIP", &mut to.weights),
            ("map", &mut map.file),
        ];
        files.into_iter().chain(to.tokenizer.as_mut().map(|file| ("tokenizer of the CLIP", file)))
    }
}

fn wrong(path: &Path, source: serde_json::Error) -> ClipError {
    ClipError::Alignment { path: path.to_owned(), source }
}
