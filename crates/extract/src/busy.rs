use std::{ops::Range, time::Instant};

/// Stretches of time that are held apart. Passes come about in order: none reaches back past so many.
const HELD: usize = 4096;

/// When the forward passes of a run were; memory is bounded, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    /// Seconds of all, those that ran at once counted each.
    sum: f64,
    /// Seconds of stretches that no further pass reaches into.
    settled: f64,
    recent: Vec<Range<Instant>>,
}

impl Passes {
    /// Adds a pass.
    pub(crate) fn add(&mut self, pass: Range<Instant>) {
        self.sum += seconds(&pass);
        self.recent.push(pass);
        if self.recent.len() >= HELD {
            self.merge();
            let old = self.recent.len().saturating_sub(HELD / 2);
            self.settled += self.recent.drain(..old).map(|stretch| seconds(&stretch)).sum::<f64>();
        }
    }

    /// Seconds of all, those that ran at once counted each.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Seconds in which at least one was under way.
    pub(crate) fn union(mut self) -> f64 {
        self.merge();
        self.settled + self.recent.iter().map(seconds).sum::<f64>()
    }

    /// Makes one stretch of passes that overlap or touch.
    fn merge(&mut self) {
        self.recent.sort_unstable_by_key(|pass| pass.start);
        self.recent.dedup_by(|next, stretch| {
            let touches = next.start <= stretch.end;
            if touches {
                stretch.end = stretch.end.max(next.end);
            }
            touches
        });
    }
}

fn seconds(stretch: &Range<Instant>) -> f64 {
    stretch.end.saturating_duration_since(stretch.start).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passes(of: impl IntoIterator<Item = Range<u64>>) -> Passes {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut passes = Passes::default();
        of.into_iter().for_each(|pass| passes.add(at(pass.start)..at(pass.end)));
        passes
    }

    #[test]
    fn passes_that_overlap_count_once_in_the_union() {
        // Out of order, one within another, two that touch, and a gap from 9 to 12.
        let some = || passes([3..7, 0..4, 5..6, 7..9, 12..13]);
        assert!((some().sum() - 12.0).abs() < 1e-9);
        assert!((some().union() - 10.0).abs() < 1e-9);
        assert!(Passes::default().union().abs() < 1e-9);
    }

    #[test]
    fn many_passes_take_no_more_memory() {
        // Pairs that overlap by a second, with a second between them and the next.
        let many = passes((0..20_000).flat_map(|pair| [4 * pair..4 * pair + 2, 4 * pair + 1..4 * pair + 3]));
        assert!(many.recent.len() < HELD);
        assert!((many.sum() - 80_000.0).abs() < 1e-6);
        assert!((many.union() - 60_000.0).abs() < 1e-6);
    }
}
