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

/// Number of a shard, and of how many, in `model-00001-of-00002.safetensors`.
fn numbers(name: &str) -> Option<(usize, usize)> {
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending))?;
    let (first, count) = stem.rsplit_once("-of-")?;
    let (_, number) = first.rsplit_once('-')?;
    let parsed = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some((parsed(number)?, parsed(count)?))
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
        (is_index || numbers(name).is_some()).then(|| (!name.contains(".safetensors"), !is_index, name.to_owned()))
    };
    found.into_iter().filter_map(|path| Some((rank(&path)?, path))).min().map(|(_, path)| path)
}

/// The files of split weights by the path of their index, or of one of them; none if `path` is no such thing.
pub(super) fn files(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    if is_index(name(path)) {
        return Ok(Some(map(path)?.into_values().collect::<BTreeSet<_>>().into_iter().collect()));
    }
    let Some((number, count)) = numbers(name(path)) else { return Ok(None) };
    let index = path.with_file_name(index_name(name(path)));
    if index.is_file() {
        return files(&index);
    }
    let own = name(path);
    let files: Vec<PathBuf> = (1..=count).map(|other| path.with_file_name(of_number(own, number, other))).collect();
    files.iter().try_for_each(|file| exists(path, file))?;
    Ok(Some(files))
}

/// The tensors of split weights, each from its file by `read`.
pub(super) fn tensors(
    path: &Path,
    files: &[PathBuf],
    mut read: impl FnMut(&Path) -> Result<BTreeMap<String, Weights>>,
) -> Result<BTreeMap<String, Weights>> {
    let mut all = BTreeMap::new();
    for file in files {
        all.extend(read(file)?);
    }
    if is_index(name(path)) {
        let absent = |(tensor, file)| ClipError::NotInShard { index: path.to_owned(), tensor, file };
        if let Some(missing) = map(path)?.into_iter().find(|(tensor, _)| !all.contains_key(tensor)) {
            return Err(absent(missing));
        }
    }
    Ok(all)
}

/// What an index says: each tensor's file, which exists.
fn map(index: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let text = fs_err::read_to_string(index)?;
    let Index { weight_map } =
        serde_json::from_str(&text).map_err(|source| ClipError::ShardIndex { path: index.to_owned(), source })?;
    let place = |(tensor, file): (String, String)| {
        // Files beside the index alone: it is somebody else's text.
        let file = Path::new(&file).file_name().map(|name| index.with_file_name(name));
        let file = file.unwrap_or_else(|| index.to_owned());
        exists(index, &file)?;
        Ok((tensor, file))
    };
    weight_map.into_iter().map(place).collect()
}

fn exists(path: &Path, file: &Path) -> Result<()> {
    if file.is_file() {
        return Ok(());
    }
    Err(ClipError::NoShard { path: path.to_owned(), missing: file.to_owned() })
}

/// `model-00001-of-00002.safetensors` to `model.safetensors.index.json`.
fn index_name(shard: &str) -> String {
    let (stem, ending) =
        ENDINGS.iter().find_map(|ending| Some((shard.strip_suffix(ending)?, *ending))).unwrap_or_default();
    let first = stem.rsplit_once("-of-").and_then(|(first, _)| first.rsplit_once('-'));
    format!("{}{ending}{INDEX}", first.map_or(stem, |(name, _)| name))
}

/// The name of another shard of the same weights, its number as wide.
fn of_number(shard: &str, number: usize, other: usize) -> String {
    let Some((before, after)) = shard.rsplit_once("-of-") else { return shard.to_owned() };
    let Some((name, digits)) = before.rsplit_once('-') else { return shard.to_owned() };
    debug_assert_eq!(digits.parse(), Ok(number), "the number is the last word");
    format!("{name}-{other:0width$}-of-{after}", width = digits.len())
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
            assert_eq!(numbers(name), expected, "{name}");
        }
        assert!(is_index("model.safetensors.index.json") && is_index("pytorch_model.bin.index.json"));
        assert!(!is_index("config.json") && !is_index("vocabulary.index.json"));
    }

    #[test]
    fn names_of_others_follow_from_one() {
        assert_eq!(of_number("a-b-00001-of-00012.bin", 1, 10), "a-b-00010-of-00012.bin");
        assert_eq!(index_name("a-b-00001-of-00012.bin"), "a-b.bin.index.json");
        assert_eq!(index_name("model-1-of-2.safetensors"), "model.safetensors.index.json");
    }
}
