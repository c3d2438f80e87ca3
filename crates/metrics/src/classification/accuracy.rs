//! Accuracy with intervals, over all images, by class and by group.

use std::ops::Range;

use headspan_artifacts::ZeroshotRow;
use serde::Serialize;

use crate::classification::LabelledImages;

/// Standard normal quantile of 97.5 %: intervals hold 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval of a share, at 95 % (Wilson 1927; Brown, Cai and DasGupta 2001 recommend it). The whole range without images.
pub fn wilson(right: u64, images: u64) -> (f64, f64) {
    if images == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (images as f64, right as f64 / images as f64);
    let centre = share + Z * Z / (2.0 * n);
    let width = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Rounding must not put the share outside.
    (((centre - width) / scale).max(0.0).min(share), ((centre + width) / scale).min(1.0).max(share))
}

/// Accuracy over some of the images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccuracyRow {
    /// `top1` or `top5`.
    pub metric: &'static str,
    /// `all`, `class`, `group` or `worst_group`.
    pub scope: &'static str,
    /// The class, of scope `class`.
    pub class_id: Option<String>,
    /// The group, of scopes `group` and `worst_group`.
    pub group: Option<String>,
    /// Images of the scope.
    pub n: u64,
    /// Share of them whose class is predicted, or among the first five.
    pub accuracy: f64,
    /// Lower bound of its interval.
    pub ci_low: f64,
    /// Upper bound of its interval.
    pub ci_high: f64,
}

/// Images, and those among them that are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) images: u64,
    pub(super) right: u64,
}

impl Count {
    pub(super) fn share(self) -> f64 {
        self.right as f64 / self.images.max(1) as f64
    }
}

/// Position of the group with the lowest accuracy, the first of equal ones; none if no group has images.
pub(super) fn worst(groups: &[Count]) -> Option<usize> {
    let there = (0..groups.len()).filter(|group| groups[*group].images > 0);
    there.min_by(|one, other| groups[*one].share().total_cmp(&groups[*other].share()))
}

/// Top-1 and top-5 accuracy of predictions, over all images of known classes, by class and by group. Top-5 is left out where there are five
/// classes or fewer. Classes and groups without images have no row.
pub fn accuracies(predictions: &[ZeroshotRow], images: &LabelledImages) -> Vec<AccuracyRow> {
    let classes = images.class_ids().len();
    let metrics: [(&'static str, Range<u32>); 2] = [("top1", 0..1), ("top5", 0..5)];
    let mut rows = Vec::new();
    for (metric, ranks) in metrics.into_iter().filter(|(_, ranks)| (ranks.end as usize) < classes.max(2)) {
        let mut all = Count::default();
        let mut by_class = vec![Count::default(); classes];
        let mut by_group = vec![Count::default(); images.groups().len()];
        for row in predictions {
            let Some((class, rank)) = row.class_index.zip(row.rank) else { continue };
            let right = u64::from(ranks.contains(&rank));
            let group = images.of(row.image_index).and_then(|labels| labels.group);
            let group = group.and_then(|group| by_group.get_mut(group as usize));
            for count in [Some(&mut all), by_class.get_mut(class as usize), group].into_iter().flatten() {
                count.images += 1;
                count.right += right;
            }
        }
        let one = |scope, class_id: Option<&String>, group: Option<&String>, count: Count| {
            let (ci_low, ci_high) = wilson(count.right, count.images);
            AccuracyRow {
                metric,
                scope,
                class_id: class_id.cloned(),
                group: group.cloned(),
                n: count.images,
                accuracy: count.share(),
                ci_low,
                ci_high,
            }
        };
        rows.push(one("all", None, None, all));
        let groups: Vec<(&String, Count)> = there(images.groups(), &by_group).collect();
        if let Some((name, worst)) = groups.iter().min_by(|one, other| one.1.share().total_cmp(&other.1.share())) {
            rows.push(one("worst_group", None, Some(name), *worst));
        }
        rows.extend(groups.iter().map(|(name, count)| one("group", None, Some(name), *count)));
        rows.extend(there(images.class_ids(), &by_class).map(|(id, count)| one("class", Some(id), None, count)));
    }
    rows
}

/// Names with their counts, of those that have images.
fn there<'a>(names: &'a [String], counts: &'a [Count]) -> impl Iterator<Item = (&'a String, Count)> {
    names.iter().zip(counts.iter().copied()).filter(|(_, count)| count.images > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // 7 of 10, from the formula in Python's double precision: 0.396778147 and 0.892208733.
        let (low, high) = wilson(7, 10);
        assert!((low - 0.396_778_1).abs() < 1e-7 && (high - 0.892_208_7).abs() < 1e-7, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_share(images in 1_u64..1_000_000, part in 0.0_f64..=1.0) {
            let right = (part * images as f64).round() as u64;
            let (low, high) = wilson(right, images);
            let share = right as f64 / images as f64;
            prop_assert!((0.0..=share).contains(&low) && (share..=1.0).contains(&high));
            // One more image on the right side never lowers a bound.
            if right < images {
                let (next_low, next_high) = wilson(right + 1, images);
                prop_assert!(next_low >= low && next_high >= high);
            }
        }
    }
}
