/// Round numbers along an axis, which begins and ends at one of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ticks {
    pub(super) at: Vec<f64>,
    step: f64,
}

/// Steps between ticks that are wanted; there may be a few more or fewer.
const WANTED: f64 = 5.0;

impl Ticks {
    /// Around all values from `low` to `high`; whole numbers alone if the values are `whole`.
    pub(super) fn over(low: f64, high: f64, whole: bool) -> Self {
        let (low, high) = if high > low {
            (low, high)
        } else if low.is_finite() {
            (low - 0.5, low + 0.5)
        } else {
            (0.0, 1.0)
        };
        let raw = (high - low) / WANTED;
        let magnitude = 10.0_f64.powf(raw.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
        let step = round.into_iter().find(|step| *step >= raw * 0.999).unwrap_or(raw);
        let step = if whole { step.ceil() } else { step };
        // Rounding must not add a step that no value needs.
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let count = (last - first) as usize;
        Self { at: (0..=count).map(|tick| (first + tick as f64) * step).collect(), step }
    }

    /// Where a value stands between the first tick and the last, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (first, last) = (self.at[0], self.at[self.at.len() - 1]);
        (value - first) / (last - first)
    }

    /// A tick's number, with the decimals that its step needs.
    pub(super) fn text(&self, value: f64) -> String {
        let decimals = (-self.step.log10()).ceil().clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(low: f64, high: f64, whole: bool) -> Vec<String> {
        let ticks = Ticks::over(low, high, whole);
        ticks.at.iter().map(|value| ticks.text(*value)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(texts(0.0, 1.0, false), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(0.0, 0.083, false), ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10"]);
        assert_eq!(texts(0.0, 37.0, false), ["0", "10", "20", "30", "40"]);
        assert_eq!(texts(0.0, 3.0, true), ["0", "1", "2", "3"]);
        assert_eq!(texts(2.0, 2.0, false).first().map(String::as_str), Some("1.4"));
        assert_eq!(texts(f64::INFINITY, f64::NEG_INFINITY, false).len(), 6, "no value at all");
        let ticks = Ticks::over(0.0, 0.083, false);
        assert!(ticks.place(0.0).abs() < 1e-12 && (ticks.place(0.1) - 1.0).abs() < 1e-12);
    }
}
