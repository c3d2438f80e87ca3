//! Which files of a folder are the checkpoint's.

use std::path::{Path, PathBuf};

use super::shards;
use crate::{
    error::{ClipError, Result},
    families::aligned::Alignment,
};

const CONFIG_NAMES: &[&str] = &["open_clip_config.json", "config.json"];
const WEIGHT_NAMES: &[&str] = &[
    "open_clip_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "open_clip_model.pt",
    "model.pt",
];
const TOKENIZER_NAMES: &[&str] = &["tokenizer.json"];

/// Endings of weights under any name, the best first.
const WEIGHT_ENDINGS: [&str; 5] = ["safetensors", "bin", "pt", "pth", "ckpt"];

/// Files that training leaves beside weights: `optimizer.pt`, `training_args.bin`, `rng_state_0.pth`.
const BESIDE: [&str; 6] = ["optimizer", "scheduler", "training_args", "rng_state", "scaler", "random_states"];

/// The files of a checkpoint, as far as they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFiles {
    /// `open_clip_config.json`, the `config.json` of timm or Hugging Face transformers, or `alignment.json`.
    pub config: Option<PathBuf>,
    /// Weights; of weights in several files the index, or the first.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: Option<PathBuf>,
}

/// The three files of a checkpoint folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFiles {
    /// `open_clip_config.json`, or the `config.json` of Hugging Face transformers.
    pub config: PathBuf,
    /// Weights.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
}

impl FoundFiles {
    /// Looks into a folder; of a file of weights, into the folder that it is in. Weights are found by their usual names first, then
    /// by their ending. Of an aligned model, the configuration is its `alignment.json`, the weights are the tower's, and the tokenizer is
    /// the CLIP's.
    pub fn find(place: &Path) -> Result<Self> {
        let folder = folder(place);
        if let Some(Alignment { from, to, .. }) = Alignment::in_folder(folder)? {
            let config = Some(folder.join(Alignment::FILE));
            return Ok(Self { config, weights: from.weights, tokenizer: to.tokenizer });
        }
        Ok(Self {
            config: first(folder, CONFIG_NAMES),
            weights: weights(place)?,
            tokenizer: first(folder, TOKENIZER_NAMES),
        })
    }
}

impl CheckpointFiles {
    /// As [`FoundFiles::find`]; an error if one is missing.
    pub fn find(place: &Path) -> Result<Self> {
        // The configuration is missed first: without it a folder is hardly a checkpoint.
        if !folder(place).join(Alignment::FILE).is_file() {
            first(folder(place), CONFIG_NAMES).ok_or_else(|| Self::no_config(place))?;
        }
        let FoundFiles { config, weights, tokenizer } = FoundFiles::find(place)?;
        let config = config.ok_or_else(|| Self::no_config(place))?;
        let tokenizer = tokenizer.ok_or_else(|| Self::no_tokenizer(place))?;
        Ok(Self { config, weights, tokenizer })
    }

    /// The error for a folder without a configuration.
    pub fn no_config(place: &Path) -> ClipError {
        missing(folder(place), "configuration", CONFIG_NAMES)
    }

    /// The error for a folder without a tokenizer.
    pub fn no_tokenizer(place: &Path) -> ClipError {
        missing(folder(place), "tokenizer", TOKENIZER_NAMES)
    }
}

fn folder(place: &Path) -> &Path {
    if !place.is_file() {
        return place;
    }
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn first(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn missing(folder: &Path, what: &'static str, expected: &'static [&'static str]) -> ClipError {
    ClipError::MissingFile { folder: folder.to_owned(), what, expected }
}

fn weights(place: &Path) -> Result<PathBuf> {
    if place.is_file() {
        return Ok(place.to_owned());
    }
    if let Some(usual) = first(place, WEIGHT_NAMES) {
        return Ok(usual);
    }
    if let Some(shard) = shards::in_folder(place) {
        return Ok(shard);
    }
    let mut found = by_ending(place);
    if found.len() > 1 {
        return Err(ClipError::SeveralWeights { folder: place.to_owned(), found });
    }
    found.pop().ok_or_else(|| missing(place, "weights", WEIGHT_NAMES))
}

/// Files with the best ending that any has, by name.
fn by_ending(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && !is_beside(path))
        .collect();
    let with = |ending: &str| -> Vec<PathBuf> {
        let has = |path: &&PathBuf| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ending));
        let mut found: Vec<PathBuf> = paths.iter().filter(has).cloned().collect();
        found.sort();
        found
    };
    WEIGHT_ENDINGS.into_iter().map(with).find(|found| !found.is_empty()).unwrap_or_default()
}

fn is_beside(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') || BESIDE.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn folder_with(names: &[&str]) -> std::io::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        for name in names {
            fs_err::write(folder.path().join(name), "")?;
        }
        Ok(folder)
    }

    fn weights_of(names: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
        let folder = folder_with(names)?;
        let found = FoundFiles::find(folder.path())?.weights;
        Ok(found.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned())
    }

    #[test]
    fn weights_are_found_by_usual_names_then_by_their_ending() -> Outcome {
        assert_eq!(weights_of(&["open_clip_pytorch_model.bin", "other.safetensors"])?, "open_clip_pytorch_model.bin");
        assert_eq!(weights_of(&["model.safetensors", "pytorch_model.bin"])?, "model.safetensors");
        assert_eq!(weights_of(&["epoch_5.ckpt", "optimizer.pt", "notes.txt"])?, "epoch_5.ckpt");
        assert_eq!(weights_of(&["ViT-B-32.PT"])?, "ViT-B-32.PT");
        assert_eq!(weights_of(&["mine.safetensors", "mine.pth"])?, "mine.safetensors");
        Ok(())
    }

    #[test]
    fn several_that_could_be_weights_are_an_error_that_names_them() -> Outcome {
        let folder = folder_with(&["epoch_1.pt", "epoch_2.pt"])?;
        let error = FoundFiles::find(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("`epoch_1.pt`, `epoch_2.pt`"), "{error}");
        let found = FoundFiles::find(&folder.path().join("epoch_2.pt"))?;
        assert_eq!((found.weights, found.config), (folder.path().join("epoch_2.pt"), None));
        Ok(())
    }

    #[test]
    fn files_beside_a_file_of_weights_are_found() -> Outcome {
        let folder = folder_with(&["last.ckpt", "config.json", "tokenizer.json"])?;
        let found = CheckpointFiles::find(&folder.path().join("last.ckpt"))?;
        assert_eq!(found.config, folder.path().join("config.json"));
        assert_eq!(found.tokenizer, folder.path().join("tokenizer.json"));
        Ok(())
    }
}
