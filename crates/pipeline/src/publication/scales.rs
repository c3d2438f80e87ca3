//! Where the marks of an axis stand.

/// An axis: its ends and its marks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) marks: Vec<f64>,
}

impl Scale {
    /// An axis that holds all values, with about `count` marks at multiples of 1, 2 or 5 times a power of ten: at whole numbers if all values are.
    pub(crate) fn around(values: impl Iterator<Item = f64>, count: usize) -> Self {
        let (mut low, mut high, mut are_whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        for value in values.filter(|value| value.is_finite()) {
            (low, high, are_whole) = (low.min(value), high.max(value), are_whole && value.fract() == 0.0);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // `high` is at least `low`.
        if low >= high {
            (low, high) = (low - 0.5 * low.abs().max(0.1), high + 0.5 * high.abs().max(0.1));
        }
        let step = step((high - low) / count as f64).max(if are_whole && high - low >= 1.0 { 1.0 } else { 0.0 });
        let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
        let marks: Vec<f64> = (first..=last).map(|mark| mark as f64 * step).collect();
        Self { low: marks[0], high: marks[marks.len() - 1], marks }
    }

    /// Where a value stands between the ends, from 0 to 1.
    pub(crate) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2, 5, 10 times a power of ten that is at least `rough`.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_hold_all_values() {
        let scale = Scale::around([0.123, 0.871].into_iter(), 5);
        assert!((scale.low - 0.0).abs() < 1e-12 && (scale.high - 1.0).abs() < 1e-12, "{scale:?}");
        assert_eq!(scale.marks.len(), 6);
        let scale = Scale::around([0.0, 60.0].into_iter(), 6);
        assert_eq!(scale.marks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(Scale::around([0.0, 3.0].into_iter(), 6).marks, [0.0, 1.0, 2.0, 3.0]);
        for values in [vec![], vec![3.0], vec![0.0, 0.0], vec![f64::NAN], vec![-7.0, 1e9]] {
            let scale = Scale::around(values.iter().copied(), 5);
            assert!(scale.low < scale.high && scale.marks.len() < 20, "{values:?}: {scale:?}");
            let inside = |value: &&f64| value.is_finite();
            assert!(values.iter().filter(inside).all(|value| (scale.low..=scale.high).contains(value)));
        }
        assert!((scale.share(30.0) - 0.5).abs() < 1e-12);
    }
}
