//! Which images stand for all of a data set.

use std::{collections::BinaryHeap, ops::Range};

use crate::parts::PartPlan;

/// A uniform sample of the images of a data set, and how its rows fall into the files of `activations/`.
///
/// It is the images with the smallest [keys](key). A key depends on the image's position alone, so every process finds the same
/// sample, whatever parts and shards it has; and a sample is part of every larger one. Keys behave as independent draws: every set of
/// `count` images is as likely as every other to have the smallest ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Positions in the data set, ascending.
    images: Vec<u64>,
    /// Images of one file of activations.
    rows: usize,
}

impl Sample {
    /// Draws `count` of the images of a plan; all, if there are no more.
    pub(crate) fn of(plan: &PartPlan, count: u64) -> Self {
        let count = usize::try_from(count.min(plan.images)).unwrap_or(usize::MAX);
        // The largest of the smallest keys is on top. Keys are all different.
        let mut smallest: BinaryHeap<(u64, u64)> = BinaryHeap::with_capacity(count + 1);
        for image in 0..plan.images {
            let key = key(image);
            if smallest.len() == count && smallest.peek().is_none_or(|(largest, _)| *largest < key) {
                continue;
            }
            smallest.push((key, image));
            if smallest.len() > count {
                smallest.pop();
            }
        }
        let mut images: Vec<u64> = smallest.into_iter().map(|(_, image)| image).collect();
        images.sort_unstable();
        Self { images, rows: usize::try_from(plan.rows.max(1)).unwrap_or(usize::MAX) }
    }

    /// Whether an image is in it.
    pub(crate) fn has(&self, image: u64) -> bool {
        self.images.binary_search(&image).is_ok()
    }

    /// Number of files of activations.
    pub(crate) fn files(&self) -> u64 {
        self.images.len().div_ceil(self.rows) as u64
    }

    /// Images of one file, ascending.
    pub(crate) fn images_of(&self, file: u64) -> &[u64] {
        let first = (file as usize).saturating_mul(self.rows).min(self.images.len());
        &self.images[first..first.saturating_add(self.rows).min(self.images.len())]
    }

    /// Files that hold some of these images.
    pub(crate) fn files_with(&self, images: &Range<u64>) -> Range<u64> {
        let place = |image: u64| self.images.partition_point(|own| *own < image);
        let (first, end) = (place(images.start), place(images.end));
        if first == end { 0..0 } else { (first / self.rows) as u64..((end - 1) / self.rows + 1) as u64 }
    }

    /// Parts that have images of one file, ascending.
    pub(crate) fn parts_of(&self, file: u64, plan: &PartPlan) -> Vec<u64> {
        let mut parts: Vec<u64> = self.images_of(file).iter().map(|image| image / plan.rows.max(1)).collect();
        parts.dedup();
        parts
    }
}

/// The key of an image by its position: the finaliser of `SplitMix64` (Steele, Lea, Flood 2014), which passes statistical tests on
/// consecutive numbers. It is one to one, so no two images have the same key.
pub(crate) fn key(image: u64) -> u64 {
    let mut mixed = image.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keep::Keep;

    fn plan(images: u64, rows: u64) -> PartPlan {
        PartPlan { images, rows, keep: Keep::All }
    }

    /// Runs that were made must find their samples again.
    #[test]
    fn the_sample_never_changes() {
        assert_eq!(Sample::of(&plan(1_000_000, 1024), 3).images, [70_273, 390_831, 573_548]);
    }

    proptest! {
        #[test]
        fn parts_do_not_matter_and_samples_are_nested(images in 1_u64..3000, rows in 1_u64..400, count in 1_u64..3500) {
            let (one, other) = (plan(images, rows), plan(images, 7));
            let sample = Sample::of(&one, count);
            prop_assert_eq!(&sample.images, &Sample::of(&other, count).images);
            prop_assert_eq!(sample.images.len() as u64, count.min(images));
            prop_assert!(sample.images.windows(2).all(|pair| pair[0] < pair[1]));
            let more = Sample::of(&one, count + 1);
            prop_assert!(sample.images.iter().all(|image| more.has(*image)));
            // Every image of the sample is in one file, which knows the image's part, and the part knows the file.
            let mut seen = Vec::new();
            for file in 0..sample.files() {
                seen.extend_from_slice(sample.images_of(file));
                for part in sample.parts_of(file, &one) {
                    prop_assert!(sample.files_with(&one.images_of(part)).contains(&file));
                }
            }
            prop_assert_eq!(&seen, &sample.images);
            for part in 0..one.parts() {
                let own = one.images_of(part);
                let files = sample.files_with(&own);
                prop_assert_eq!(files.is_empty(), !sample.images.iter().any(|image| own.contains(image)));
                prop_assert!(files.clone().all(|file| sample.parts_of(file, &one).contains(&part)));
            }
        }
    }

    /// Of 100,000 images in 100 stretches, 10,000 are drawn: 100 of each, give or take. Chi-squared with 99 degrees of freedom is
    /// above 149 once in a thousand draws, and below 57 as seldom. (Draws without replacement vary by a tenth less.)
    #[test]
    fn stretches_and_neighbours_are_drawn_alike() {
        let sample = Sample::of(&plan(100_000, 1024), 10_000);
        let squared = |counts: &[f64], expected: f64| -> f64 {
            counts.iter().map(|count| (count - expected).powi(2) / expected).sum()
        };
        for place in [|image: u64| image / 1000, |image: u64| image % 100] {
            let mut counts = vec![0.0; 100];
            sample.images.iter().for_each(|image| counts[place(*image) as usize] += 1.0);
            let chi = squared(&counts, 100.0);
            assert!((50.0..149.0).contains(&chi), "{chi}");
        }
        // Both of two neighbours are drawn as often as independent draws have it: 1,000 times, with a deviation of 30.
        let pairs = sample.images.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!((900..1100).contains(&pairs), "{pairs}");
    }
}
