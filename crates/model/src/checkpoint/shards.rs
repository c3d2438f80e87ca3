//! Weights that transformers splits into several files are not read; they are known, so that the message says what to do.

use std::path::{Path, PathBuf};

use crate::error::{ClipError, Result};

/// Whether it is a part of split weights (`model-00001-of-00002.safetensors`) or their index.
fn is_shard(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    name.ends_with(".safetensors.index.json") || name.ends_with(".bin.index.json") || is_numbered(name)
}

fn is_numbered(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(stem) = name.strip_suffix(".safetensors").or_else(|| name.strip_suffix(".bin")) else { return false };
    let Some((first, count)) = stem.rsplit_once("-of-") else { return false };
    is_number(count) && first.rsplit_once('-').is_some_and(|(_, number)| is_number(number))
}

/// The first file of split weights in a folder, if there is one.
pub(super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    let entries = fs_err::read_dir(folder).ok()?;
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_shard(path)).min()
}

pub(super) fn refuse(path: &Path) -> Result<()> {
    if is_shard(path) { Err(unsupported(path.to_owned())) } else { Ok(()) }
}

pub(super) fn unsupported(path: PathBuf) -> ClipError {
    ClipError::Sharded { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_known_by_name() {
        for (name, expected) in [
            ("model-00001-of-00002.safetensors", true),
            ("pytorch_model-00002-of-00003.bin", true),
            ("model.safetensors.index.json", true),
            ("pytorch_model.bin.index.json", true),
            ("model.safetensors", false),
            ("best-of-3.safetensors", false),
            ("model-00001-of-00002.txt", false),
            ("config.json", false),
        ] {
            assert_eq!(is_shard(&Path::new("folder").join(name)), expected, "{name}");
        }
    }
}
