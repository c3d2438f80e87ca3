use std::{ops::Range, time::Instant};

/// When the forward passes of a run were.
#[derive(Debug, Default)]
pub(crate) struct Passes(pub(crate) Vec<Range<Instant>>);

impl Passes {
    /// Seconds of all, those that ran at once counted each.
    pub(crate) fn sum(&self) -> f64 {
        self.0.iter().map(|pass| (pass.end - pass.start).as_secs_f64()).sum()
    }

    /// Seconds in which at least one was under way.
    pub(crate) fn union(mut self) -> f64 {
        self.0.sort_unstable_by_key(|pass| pass.start);
        let (mut seconds, mut until) = (0.0, None);
        for pass in self.0 {
            let start = until.map_or(pass.start, |until| pass.start.max(until));
            seconds += pass.end.saturating_duration_since(start).as_secs_f64();
            until = until.max(Some(pass.end));
        }
        seconds
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn passes_that_overlap_count_once_in_the_union() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        // Out of order, one within another, two that touch, and a gap from 9 to 12.
        let passes = || Passes(vec![at(3)..at(7), at(0)..at(4), at(5)..at(6), at(7)..at(9), at(12)..at(13)]);
        assert!((passes().sum() - 12.0).abs() < 1e-9);
        assert!((passes().union() - 10.0).abs() < 1e-9);
        assert!(Passes::default().union().abs() < 1e-9);
    }
}
