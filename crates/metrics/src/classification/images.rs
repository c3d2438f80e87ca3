//! What is known of each image: its class, its group, and its half.

use std::collections::{BTreeMap, HashMap};

use headspan_artifacts::{ClassRow, ImageRow, ImageStatus};

use crate::classification::{ClassificationError, error::Result};

/// Class, group and half of the images of a run.
#[derive(Debug, Clone)]
pub struct LabelledImages {
    class_ids: Vec<String>,
    groups: Vec<String>,
    /// By position in the data set.
    of: HashMap<u64, Labels>,
}

/// What is known of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels {
    /// Position of its class.
    pub(super) class: Option<u32>,
    /// Position of its group.
    pub(super) group: Option<u32>,
    /// Whether it belongs to the half that gives means and choices; the other half gives accuracy.
    pub(super) for_means: bool,
}

impl LabelledImages {
    /// The readable images among `images`. `groups` has the groups by image id. `seed` is that of the halves. Errors if no image has one of
    /// the classes, or if groups are given and no image has one.
    pub fn new(
        images: &[ImageRow],
        classes: &[ClassRow],
        groups: Option<&BTreeMap<String, String>>,
        seed: u64,
    ) -> Result<Self> {
        let places: HashMap<&str, u32> = classes.iter().map(|row| (row.class_id.as_str(), row.class_index)).collect();
        let mut names: Vec<String> = groups.into_iter().flat_map(BTreeMap::values).cloned().collect();
        names.sort_unstable();
        names.dedup();
        let group_of = |id: &str| {
            let name = groups?.get(id)?;
            names.binary_search(name).ok().map(|at| at as u32)
        };
        let readable = images.iter().filter(|row| row.status == ImageStatus::Ok);
        let labels = |row: &ImageRow| Labels {
            class: row.class_id.as_deref().and_then(|id| places.get(id).copied()),
            group: group_of(&row.image_id),
            for_means: is_for_means(&row.image_id, seed),
        };
        let of: HashMap<u64, Labels> = readable.map(|row| (row.image_index, labels(row))).collect();
        if !of.values().any(|labels| labels.class.is_some()) {
            return Err(ClassificationError::NoLabels { images: of.len(), classes: classes.len() });
        }
        if groups.is_some() && !of.values().any(|labels| labels.group.is_some()) {
            return Err(ClassificationError::NoGroups { images: of.len() });
        }
        let class_ids = classes.iter().map(|row| row.class_id.clone()).collect();
        Ok(Self { class_ids, groups: names, of })
    }

    /// The same images with other halves: those of `test` that are true give accuracy, the others means and choices. Images that it does not list
    /// belong to neither. `images` are those that `new` had, `test` goes by image id.
    #[must_use]
    pub fn with_test(mut self, images: &[ImageRow], test: &BTreeMap<String, bool>) -> Self {
        let half = |row: &ImageRow| Some((row.image_index, !test.get(&row.image_id)?));
        let halves: HashMap<u64, bool> = images.iter().filter_map(half).collect();
        self.of.retain(|index, labels| {
            let half = halves.get(index);
            labels.for_means = half.copied().unwrap_or_default();
            half.is_some()
        });
        self
    }

    /// The same images with the halves in each other's place.
    pub(super) fn other_half(&self) -> Self {
        let mut other = self.clone();
        other.of.values_mut().for_each(|labels| labels.for_means = !labels.for_means);
        other
    }

    /// Identifiers of the classes, by position.
    pub fn class_ids(&self) -> &[String] {
        &self.class_ids
    }

    /// Names of the groups, by position, in alphabetical order.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Number of images without any of the classes.
    pub fn without_class(&self) -> usize {
        self.of.values().filter(|labels| labels.class.is_none()).count()
    }

    pub(super) fn of(&self, image_index: u64) -> Option<Labels> {
        self.of.get(&image_index).copied()
    }

    /// Errors if a half has no image of a known class.
    pub(super) fn need_halves(&self) -> Result<()> {
        let known = || self.of.values().filter(|labels| labels.class.is_some());
        let means = known().filter(|labels| labels.for_means).count();
        // A variance needs two images.
        if means < 2 || known().count() == means {
            return Err(ClassificationError::OneHalf { images: known().count() });
        }
        Ok(())
    }
}

/// Whether an image belongs to the half that gives means and choices. The halves depend on the image's id and on `seed` alone, not on the
/// order or the number of images: FNV-1a of the id's bytes (64 bit, the seed added to the offset basis), mixed by the finaliser of
/// `SplitMix64`; even numbers give means.
pub fn is_for_means(image_id: &str, seed: u64) -> bool {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash =
        image_id.bytes().fold(BASIS.wrapping_add(seed), |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_even_and_follow_the_seed() {
        let half = |seed: u64| (0..10_000).filter(|at| is_for_means(&format!("class/{at:05}.png"), seed)).count();
        // Six standard deviations of a fair coin are 300.
        assert!(half(0).abs_diff(5_000) < 300 && half(1).abs_diff(5_000) < 300, "{} {}", half(0), half(1));
        let agree = (0..10_000).filter(|at| is_for_means(&at.to_string(), 0) == is_for_means(&at.to_string(), 1));
        assert!(agree.count().abs_diff(5_000) < 300, "seeds are independent");
    }

    /// Values of `tools/reference/zeroshot.py`, which has the hash in Python.
    #[test]
    fn the_hash_is_the_one_that_is_documented() {
        let halves: Vec<bool> = (0..16).map(|at| is_for_means(&format!("{at}.png"), 0)).collect();
        assert_eq!(halves, HALVES_OF_16);
    }

    const HALVES_OF_16: [bool; 16] =
        [false, false, true, false, false, false, false, true, false, true, true, false, true, true, true, true];
}
