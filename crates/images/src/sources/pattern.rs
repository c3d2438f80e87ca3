//! Shards of a data set: one file, those of a folder, or those of a pattern of numbers.

use std::path::{Path, PathBuf};

use crate::{
    dataset::DatasetError,
    sources::{
        names::{is_hidden, is_litter, shard_ending},
        passed_over::PassedOver,
    },
};

/// More shards than any data set has; a range above it is a slip, and would fill the memory.
const MOST_FILES: u64 = 1_000_000;
/// Digits of the largest number, in which any range can be written.
const MOST_DIGITS: usize = 20;

/// Whether a path is a pattern of shards. What exists is itself, whatever its name.
pub(super) fn is_pattern(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().contains(&b'{')) && !path.exists()
}

/// The shards of a data set.
#[derive(Debug, Default)]
pub(super) struct Shards {
    /// In order.
    pub(super) paths: Vec<PathBuf>,
    /// What else the folder holds.
    pub(super) passed_over: PassedOver,
}

/// The shards that a path stands for: one file, those of a folder, or those of a pattern such as `train-{000..009}.tar`.
pub(super) fn shards(path: &Path, ending: &str) -> Result<Shards, DatasetError> {
    let mut shards = Shards::default();
    if is_pattern(path) {
        shards.paths = expand(path)?;
        return Ok(shards);
    }
    if !path.is_dir() {
        shards.paths = vec![path.to_owned()];
        return Ok(shards);
    }
    for entry in fs_err::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        if is_hidden(&entry.file_name()) || is_litter(&entry.file_name()) || path.is_dir() {
            continue;
        }
        if shard_ending(&path) == ending {
            shards.paths.push(path);
        } else {
            shards.passed_over.add(&path);
        }
    }
    shards.paths.sort();
    Ok(shards)
}

/// The files of a pattern, with leading zeros kept. The range is in the file's name, because ids begin with that.
fn expand(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let wrong = |message| DatasetError::Pattern { path: path.to_owned(), message };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| wrong("its name is not UTF-8"))?;
    let (before, range, after) = split(name).ok_or_else(|| wrong("the braces hold no range of numbers"))?;
    let (from, to) = range.split_once("..").ok_or_else(|| wrong("the braces hold no range of numbers"))?;
    let width = from.len();
    if width > MOST_DIGITS {
        return Err(wrong("the ends of the range have too many digits"));
    }
    let (Ok(from), Ok(to)) = (from.parse::<u64>(), to.parse::<u64>()) else {
        return Err(wrong("the ends of the range are not numbers"));
    };
    if from > to {
        return Err(wrong("the range counts down"));
    }
    if to - from >= MOST_FILES {
        return Err(wrong("the range has more than a million numbers"));
    }
    Ok((from..=to).map(|number| path.with_file_name(format!("{before}{number:0width$}{after}"))).collect())
}

/// What is before, in and after the only braces.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = name.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    (!after.contains('{')).then_some((before, range, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_keep_leading_zeros() -> Result<(), DatasetError> {
        let files = expand(Path::new("x{y}/shard-{008..010}.tar"))?;
        assert_eq!(files, ["008", "009", "010"].map(|number| PathBuf::from(format!("x{{y}}/shard-{number}.tar"))));
        Ok(())
    }

    #[test]
    fn other_braces_are_refused() {
        // Numbers are not padded to more than 65,535 digits.
        let long = format!("{{{}..1}}.tar", "0".repeat(70_000));
        let names = ["{a,b}.tar", "{1..b}.tar", "{3..1}.tar", "{0..99999999}.tar", "{0..1}-{0..1}.tar", "{0..1.tar"];
        for name in names.into_iter().chain([long.as_str()]) {
            let message = expand(Path::new(name)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(name) && message.contains("`train-{000..009}.tar`"), "{name}: {message}");
        }
    }
}
