//! Shards of a data set: one file, those of a folder, or those of a pattern.

use std::path::{Path, PathBuf};

use headspan_store::is_address;

use crate::{
    dataset::DatasetError,
    sources::{
        names::{is_litter, shard_ending},
        passed_over::PassedOver,
        place::{children, is_folder},
    },
};

/// More shards than any data set has; a range above it is a slip, and would fill the memory.
const MOST_FILES: u64 = 1_000_000;
/// Digits of the largest number, in which any range can be written.
const MOST_DIGITS: usize = 20;

/// Whether a path is a pattern of shards: braces with a range of numbers, or `*` and `?`, in the file's name. What exists on a disk is
/// itself, whatever its name.
pub fn is_pattern(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    name.iter().any(|byte| b"{*?".contains(byte)) && (is_address(path) || !path.exists())
}

/// The shards of a data set.
#[derive(Debug, Default)]
pub(super) struct Shards {
    /// In order.
    pub(super) paths: Vec<PathBuf>,
    /// What else the folder holds.
    pub(super) passed_over: PassedOver,
}

/// The shards that a path stands for: one file, those of a folder, or those of a pattern such as `train-{000..009}.tar` or
/// `train-*.tar`.
pub(super) fn shards(path: &Path, ending: &str) -> Result<Shards, DatasetError> {
    let mut shards = Shards::default();
    if is_pattern(path) {
        shards.paths = expand(path)?;
        return Ok(shards);
    }
    if !is_folder(path)? {
        shards.paths = vec![path.to_owned()];
        return Ok(shards);
    }
    for child in children(path)? {
        if child.is_folder || child.path.file_name().is_some_and(is_litter) {
            continue;
        }
        if shard_ending(&child.path) == ending {
            shards.paths.push(child.path);
        } else {
            shards.passed_over.add(&child.path);
        }
    }
    shards.paths.sort();
    Ok(shards)
}

/// The files of a pattern. What varies is in the file's name, because ids begin with that.
fn expand(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let wrong = |message| DatasetError::Pattern { path: path.to_owned(), message };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| wrong("its name is not UTF-8"))?;
    match (name.contains('{'), name.contains(['*', '?'])) {
        (true, true) => Err(wrong("it has braces and `*` or `?`")),
        (true, false) => numbered(path, name),
        (false, _) => matching(path, name),
    }
}

/// The files of a folder whose names match, in the order of their names.
fn matching(path: &Path, pattern: &str) -> Result<Vec<PathBuf>, DatasetError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned).unwrap_or_default();
    let found = children(folder)?.into_iter().filter(|child| !child.is_folder && matches(pattern, &name(&child.path)));
    // A pattern without a folder gives names without one.
    let mut paths: Vec<PathBuf> = found.map(|child| path.with_file_name(name(&child.path))).collect();
    paths.sort();
    if paths.is_empty() { Err(DatasetError::NoMatch { path: path.to_owned() }) } else { Ok(paths) }
}

/// Whether a name is of a pattern: `*` stands for any letters, `?` for one. Only the last `*` ever takes more letters, so that the time is
/// that of reading the name once for each letter of the pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // What follows the last `*`, and the name from where it was tried.
    let mut again: Option<(&str, &str)> = None;
    loop {
        let (mut letters, mut own) = (pattern.chars(), name.chars());
        match (letters.next(), own.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                pattern = letters.as_str();
                again = Some((pattern, name));
            }
            (Some(letter), Some(first)) if letter == '?' || letter == first => {
                (pattern, name) = (letters.as_str(), own.as_str());
            }
            _ => {
                let Some((rest, tried)) = again else { return false };
                let mut tried = tried.chars();
                if tried.next().is_none() {
                    return false;
                }
                (pattern, name) = (rest, tried.as_str());
                again = Some((rest, name));
            }
        }
    }
}

/// The files of a range of numbers, with leading zeros kept.
fn numbered(path: &Path, name: &str) -> Result<Vec<PathBuf>, DatasetError> {
    let wrong = |message| DatasetError::Pattern { path: path.to_owned(), message };
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
    fn names_match_patterns_of_letters() {
        for (pattern, name) in [
            ("a-*.tar", "a-1.tar"),
            ("a-?.tar", "a-ä.tar"),
            ("*", "x"),
            ("*", ""),
            ("*a*b", "xaabab"),
            ("a**?", "ab"),
            ("a", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a-?.tar", "a-10.tar"),
            ("a-?.tar", "a-.tar"),
            ("*.tar", "a.tar.gz"),
            ("", "a"),
            ("?", ""),
            ("*a*b", "ba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        // Tried letter by letter for each star, this would not end.
        assert!(!matches(&("*a".repeat(100) + "b"), &"a".repeat(250)));
    }

    #[test]
    fn files_match_in_order_and_none_is_an_error() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for name in ["t-2.tar", "t-10.tar", "t-1.tar", ".t-3.tar", "v-1.tar"] {
            fs_err::write(path(name), b"")?;
        }
        fs_err::create_dir(path("t-4.tar"))?;
        assert_eq!(expand(&path("t-*.tar"))?, ["t-1.tar", "t-10.tar", "t-2.tar"].map(path));
        assert_eq!(expand(&path("t-?.tar"))?, ["t-1.tar", "t-2.tar"].map(path));
        let said = expand(&path("x-*.tar")).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("no file matches") && said.contains("x-*.tar"), "{said}");
        assert!(expand(&path("t-{1..2}*.tar")).is_err());
        assert!(
            is_pattern(&path("t-?.tar"))
                && !is_pattern(&path("t-1.tar"))
                && is_pattern(Path::new("s3://b/t-{0..1}.tar"))
        );
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
