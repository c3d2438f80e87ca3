//! Weights in several files, as transformers splits them: `model-00001-of-00002.safetensors`, … and an index of which tensor is where.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::weights::Weights;
use crate::error::{ClipError, Result};

const INDEX: &str = ".index.json";

/// Endings of weights that are split.
const ENDINGS: [&str; 2] = [".safetensors", ".bin"];

/// The part of an index that says where tensors are.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The name of one of several files, taken apart: `model-00001-of-00002.safetensors`.
struct Numbered<'a> {
    name: &'a str,
    number: &'a str,
    count: &'a str,
    ending: &'static str,
}

impl<'a> Numbered<'a> {
    fn parse(file: &'a str) -> Option<Self> {
        let (stem, ending) = ENDINGS.iter().find_map(|ending| Some((file.strip_suffix(ending)?, *ending)))?;
        let (first, count) = stem.rsplit_once("-of-")?;
        let (name, number) = first.rsplit_once('-')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<usize>().is_ok();
        (is_number(number) && is_number(count)).then_some(Self { name, number, count, ending })
    }

    /// `model.safetensors.index.json`.
    fn index(&self) -> String {
        format!("{}{}{INDEX}", self.name, self.ending)
    }

    /// The name of another of these files, its number as wide.
    fn other(&self, number: usize) -> String {
        format!("{}-{number:0width$}-of-{}{}", self.name, self.count, self.ending, width = self.number.len())
    }
}

fn is_index(name: &str) -> bool {
    name.strip_suffix(INDEX).is_some_and(|weights| ENDINGS.iter().any(|ending| weights.ends_with(ending)))
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The index of split weights in a folder, or their first file where there is none; safetensors before others.
pub(super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    let entries = fs_err::read_dir(folder).ok()?;
    let found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let rank = |path: &PathBuf| {
        let (name, is_index) = (name(path), is_index(name(path)));
        (is_index || Numbered::parse(name).is_some())
            .then(|| (!name.contains(".safetensors"), !is_index, name.to_owned()))
    };
    found.into_iter().filter_map(|path| Some((rank(&path)?, path))).min().map(|(_, path)| path)
}

/// Weights in several files, all of which exist.
pub(super) struct Split {
    files: Vec<PathBuf>,
    /// The index, if there is one, and the file that it names for each tensor.
    index: Option<(PathBuf, BTreeMap<String, PathBuf>)>,
}

impl Split {
    /// By the path of an index, or of one of the files; none if `path` is no such thing.
    pub(super) fn find(path: &Path) -> Result<Option<Self>> {
        if is_index(name(path)) {
            return Self::by_index(path).map(Some);
        }
        let Some(own) = Numbered::parse(name(path)) else { return Ok(None) };
        let index = path.with_file_name(own.index());
        if index.is_file() {
            return Self::by_index(&index).map(Some);
        }
        // The first that is missing ends it: the count is whatever a name says.
        let count = own.count.parse().unwrap_or(0);
        let files = (1..=count).map(|number| existing(path, path.with_file_name(own.other(number))));
        Ok(Some(Self { files: files.collect::<Result<_>>()?, index: None }))
    }

    fn by_index(index: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(index)?;
        let Index { weight_map } =
            serde_json::from_str(&text).map_err(|source| ClipError::ShardIndex { path: index.to_owned(), source })?;
        // Files beside the index alone: it is somebody else's text.
        let beside = |file: String| Path::new(&file).file_name().map(|name| index.with_file_name(name));
        let place = |(tensor, file)| (tensor, beside(file).unwrap_or_else(|| index.to_owned()));
        let places: BTreeMap<String, PathBuf> = weight_map.into_iter().map(place).collect();
        let files = places.values().collect::<BTreeSet<_>>().into_iter().map(|file| existing(index, file.clone()));
        Ok(Self { files: files.collect::<Result<_>>()?, index: Some((index.to_owned(), places)) })
    }

    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.files
    }

    /// The tensors of all files, each file's by `read`.
    pub(super) fn tensors(
        self,
        mut read: impl FnMut(&Path) -> Result<BTreeMap<String, Weights>>,
    ) -> Result<BTreeMap<String, Weights>> {
        let mut all = BTreeMap::new();
        for file in &self.files {
            all.extend(read(file)?);
        }
        if let Some((index, places)) = self.index
            && let Some((tensor, file)) = places.into_iter().find(|(tensor, _)| !all.contains_key(tensor))
        {
            return Err(ClipError::NotInShard { index, tensor, file });
        }
        Ok(all)
    }
}

fn existing(path: &Path, file: PathBuf) -> Result<PathBuf> {
    if file.is_file() { Ok(file) } else { Err(ClipError::NoShard { path: path.to_owned(), missing: file }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_known_by_name() {
        for (name, expected) in [
            ("model-00001-of-00002.safetensors", Some((1, 2))),
            ("pytorch_model-00002-of-00003.bin", Some((2, 3))),
            ("model.safetensors", None),
            ("best-of-3.safetensors", None),
            ("model-a-of-b.safetensors", None),
            ("model-00001-of-00002.txt", None),
        ] {
            let found = Numbered::parse(name).map(|found| (found.number.parse(), found.count.parse()));
            assert_eq!(found, expected.map(|(number, count): (usize, usize)| (Ok(number), Ok(count))), "{name}");
        }
        assert!(is_index("model.safetensors.index.json") && is_index("pytorch_model.bin.index.json"));
        assert!(!is_index("config.json") && !is_index("vocabulary.index.json"));
    }

    #[test]
    fn names_of_others_follow_from_one() {
        let other = |name: &str, number| Numbered::parse(name).map(|own| own.other(number)).unwrap_or_default();
        let index = |name: &str| Numbered::parse(name).map(|own| own.index()).unwrap_or_default();
        assert_eq!(other("a-b-00001-of-00012.bin", 10), "a-b-00010-of-00012.bin");
        assert_eq!(index("a-b-00001-of-00012.bin"), "a-b.bin.index.json");
        assert_eq!(index("model-1-of-2.safetensors"), "model.safetensors.index.json");
    }
}
