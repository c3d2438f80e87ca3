//! Files that are passed over, counted by their endings: one warning, however many there are.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    decoding::formats::foreign_image_ending,
    sources::names::{ending, is_compressed_tar},
};

/// Endings that are told apart; a data set may have files that are numbered by their endings.
const MOST_ENDINGS: usize = 1000;
/// Endings that a warning names.
const NAMED: usize = 6;

/// Counts of files that no image is read from.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PassedOver {
    by_ending: BTreeMap<String, usize>,
    /// Files whose endings came after the most that are told apart.
    others: usize,
}

impl PassedOver {
    /// Counts a file.
    pub(super) fn add(&mut self, path: &Path) {
        let ending = if is_compressed_tar(path) { tar_ending(path) } else { ending(path) };
        self.add_ending(ending, 1);
    }

    fn add_ending(&mut self, ending: String, more: usize) {
        if let Some(count) = self.by_ending.get_mut(&ending) {
            *count += more;
        } else if self.by_ending.len() < MOST_ENDINGS {
            self.by_ending.insert(ending, more);
        } else {
            self.others += more;
        }
    }

    /// Adds what was counted elsewhere.
    pub(super) fn join(&mut self, other: Self) {
        for (ending, count) in other.by_ending {
            self.add_ending(ending, count);
        }
        self.others += other.others;
    }

    /// What was passed over of files that are not `read`, such as `images`. Images of formats that are not supported are
    /// told first: they are most likely wanted.
    pub(super) fn warnings(&self, read: &str) -> Vec<String> {
        let (foreign, rest): (Vec<_>, Vec<_>) =
            self.by_ending.iter().partition(|(ending, _count)| foreign_image_ending(ending));
        let mut warnings = Vec::new();
        if !foreign.is_empty() {
            let (count, list) = counted(&foreign, 0);
            warnings.push(format!("passed over {count} images of formats that are not supported: {list}"));
        }
        if !rest.is_empty() || self.others > 0 {
            let (count, list) = counted(&rest, self.others);
            warnings.push(format!("passed over {count} files that are not {read}: {list}"));
        }
        warnings
    }
}

/// `tar.gz` of `a.tar.gz`.
fn tar_ending(path: &Path) -> String {
    let short = ending(path);
    let double = path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some()) && !short.starts_with('t');
    if double { format!("tar.{short}") } else { short }
}

/// How many files there are, and how many of each ending: the most frequent first.
fn counted(endings: &[(&String, &usize)], others: usize) -> (usize, String) {
    let mut sorted = endings.to_vec();
    sorted.sort_by_key(|(ending, count)| (std::cmp::Reverse(**count), ending.as_str()));
    let mut parts: Vec<String> = sorted.iter().take(NAMED).map(|(ending, count)| one(ending, **count)).collect();
    let rest = others + sorted.iter().skip(NAMED).map(|(_ending, count)| **count).sum::<usize>();
    if rest > 0 {
        parts.push(format!("{rest} with other endings"));
    }
    (others + endings.iter().map(|(_ending, count)| **count).sum::<usize>(), parts.join(", "))
}

fn one(ending: &str, count: usize) -> String {
    if ending.is_empty() { format!("{count} without an ending") } else { format!("{count} .{ending}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_counted_once_each_and_unsupported_images_first() {
        let mut passed = PassedOver::default();
        for name in ["a.txt", "b.HEIC", "c", "d.txt", "e.tar.gz", "f.heic", "g.tgz"] {
            passed.add(Path::new(name));
        }
        let expected = [
            "passed over 2 images of formats that are not supported: 2 .heic",
            "passed over 5 files that are not images: 2 .txt, 1 without an ending, 1 .tar.gz, 1 .tgz",
        ];
        assert_eq!(passed.warnings("images"), expected);
        assert!(PassedOver::default().warnings("images").is_empty());
    }

    #[test]
    fn any_number_of_endings_makes_one_warning() {
        let mut passed = PassedOver::default();
        for number in 0..3000 {
            passed.add(Path::new(&format!("a.{number:04}")));
        }
        let said = passed.warnings("images").join("; ");
        assert!(
            said.starts_with("passed over 3000 files that are not images: 1 .0000, ") && said.len() < 200,
            "{said}"
        );
        assert!(said.ends_with("2994 with other endings"), "{said}");
    }
}
