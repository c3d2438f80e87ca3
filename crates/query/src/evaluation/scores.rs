use serde::Serialize;

/// How well maps fit masks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SegmentationScores {
    /// Share of pixels on the right side, over all pixels.
    pub pixel_accuracy: f64,
    /// Mean of the intersection over union of foreground and of background, each over all images.
    pub mean_iou: f64,
    /// Mean over images of the average precision as published: each pixel counts twice, with the map as its score for
    /// foreground and one less the map as its score for background.
    pub average_precision: f64,
    /// Mean over images of the average precision of the scores for foreground alone, before they are clipped.
    pub foreground_precision: f64,
}

/// Counts of one method.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Pixels that are in both, foreground and background.
    both: [u64; 2],
    /// Pixels that are in either.
    either: [u64; 2],
    pixels: u64,
    precision: f64,
    foreground_precision: f64,
    /// Images, and those with foreground; without any there is no precision of it.
    images: u64,
    with_foreground: u64,
}

impl Tally {
    /// Adds scores, the map made of them (0 to 1, foreground above its mean) and the truth, of equal length.
    pub(super) fn add(&mut self, scores: &[f32], map: &[f32], truth: &[bool]) {
        let mean = map.iter().map(|value| f64::from(*value)).sum::<f64>() / map.len().max(1) as f64;
        for (value, truth) in map.iter().zip(truth) {
            let shown = f64::from(*value) > mean;
            self.pixels += 1;
            self.both[usize::from(*truth)] += u64::from(shown == *truth);
            self.either[usize::from(*truth)] += 1;
            if shown != *truth {
                self.either[usize::from(shown)] += 1;
            }
        }
        let both: Vec<f32> = map.iter().copied().chain(map.iter().map(|value| 1.0 - value)).collect();
        let right: Vec<bool> = truth.iter().copied().chain(truth.iter().map(|value| !value)).collect();
        self.precision += average_precision(&both, &right);
        self.images += 1;
        if truth.contains(&true) {
            self.foreground_precision += average_precision(scores, truth);
            self.with_foreground += 1;
        }
    }

    pub(super) fn scores(&self) -> SegmentationScores {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        SegmentationScores {
            pixel_accuracy: share(self.both[0] + self.both[1], self.pixels),
            mean_iou: f64::midpoint(share(self.both[0], self.either[0]), share(self.both[1], self.either[1])),
            average_precision: self.precision / self.images.max(1) as f64,
            foreground_precision: self.foreground_precision / self.with_foreground.max(1) as f64,
        }
    }
}

/// Area under precision over recall, in steps as scikit-learn has it: equal values count together.
pub(super) fn average_precision(map: &[f32], truth: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_unstable_by(|a, b| map[*b].total_cmp(&map[*a]));
    let all = truth.iter().filter(|value| **value).count() as f64;
    let (mut found, mut recalled, mut area) = (0.0, 0.0, 0.0);
    for (place, at) in order.iter().enumerate() {
        found += f64::from(u8::from(truth[*at]));
        let last_of_value = order.get(place + 1).is_none_or(|next| map[*next] < map[*at]);
        if last_of_value {
            area += (found - recalled) / all * found / (place + 1) as f64;
            recalled = found;
        }
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_map_scores_one() {
        let mut tally = Tally::default();
        tally.add(&[1.0, 0.9, 0.1, 0.0], &[1.0, 0.9, 0.1, 0.0], &[true, true, false, false]);
        let scores = tally.scores();
        assert_eq!((scores.pixel_accuracy, scores.mean_iou, scores.foreground_precision), (1.0, 1.0, 1.0));
        assert!((scores.average_precision - 1.0).abs() < 1e-12);
    }

    #[test]
    fn counts_of_a_map_that_is_half_right() {
        let mut tally = Tally::default();
        // Shown: the first and the third.
        tally.add(&[1.0, 0.0, 0.8, 0.1], &[1.0, 0.0, 0.8, 0.1], &[true, true, false, false]);
        let scores = tally.scores();
        assert!((scores.pixel_accuracy - 0.5).abs() < 1e-12);
        assert!((scores.mean_iou - 1.0 / 3.0).abs() < 1e-12, "{scores:?}");
        // scikit-learn: average_precision_score([1, 1, 0, 0], [1, 0, .8, .1]) = 0.75
        assert!((scores.foreground_precision - 0.75).abs() < 1e-12, "{scores:?}");
        // average_precision_score([1, 1, 0, 0, 0, 0, 1, 1], [1, 0, .8, .1, 0, 1, .2, .9]) = 0.5667
        assert!((scores.average_precision - 0.566_666_667).abs() < 1e-6, "{scores:?}");
    }

    #[test]
    fn equal_values_count_together() {
        assert!((average_precision(&[0.5; 4], &[true, false, false, false]) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn an_image_without_foreground_has_no_precision() {
        let mut tally = Tally::default();
        tally.add(&[0.0, 1.0], &[0.0, 1.0], &[false, false]);
        assert_eq!((tally.with_foreground, tally.scores().pixel_accuracy), (0, 0.5));
    }
}
