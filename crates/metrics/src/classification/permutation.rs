//! Random sets of heads, with which chosen ones are compared.

use std::ops::Range;

use crate::{
    classification::{Replacement, trials::Trial},
    draws::draw_heads,
};

/// Random sets of one size, with one replacement.
pub(super) struct Draws {
    pub(super) size: usize,
    pub(super) replacement: Replacement,
    /// Their places among all drawn trials.
    pub(super) places: Range<usize>,
}

/// Draws sets for each size and replacement: `count` of each. Sets of one size are the same for every replacement.
pub(super) fn draws(
    sizes: &[usize],
    replacements: &[Replacement],
    heads: usize,
    count: usize,
    seed: u64,
) -> (Vec<Draws>, Vec<Trial>) {
    let (mut found, mut trials) = (Vec::new(), Vec::new());
    for &size in sizes {
        for &replacement in replacements {
            let first = trials.len();
            trials
                .extend((0..count).map(|draw| Trial::of_heads(draw_heads(heads, size, seed, size, draw), replacement)));
            found.push(Draws { size, replacement, places: first..trials.len() });
        }
    }
    (found, trials)
}

/// Chance that a random set changes the accuracy at least as much as the chosen one, in either direction.
pub(super) fn p_value(before: f64, after: f64, drawn: &[f64]) -> Option<f64> {
    // Differences of equal counts may differ in their last bits.
    const ROUNDING: f64 = 1e-12;
    let change = (after - before).abs();
    chance(drawn, |drawn| (drawn - before).abs() >= change - ROUNDING)
}

/// Chance of draws that are as extreme as the chosen one, which is counted, so that it is never zero (Phipson and Smyth 2010). None without
/// draws.
pub(super) fn chance(drawn: &[f64], is_as_extreme: impl Fn(f64) -> bool) -> Option<f64> {
    let extreme = drawn.iter().filter(|drawn| is_as_extreme(**drawn)).count();
    (!drawn.is_empty()).then(|| (extreme + 1) as f64 / (drawn.len() + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_in_either_direction_counts() {
        let drawn = [0.9, 0.5, 0.7, 0.71];
        assert_eq!(p_value(0.7, 0.5, &drawn), Some(3.0 / 5.0));
        assert_eq!(p_value(0.7, 0.2, &drawn), Some(1.0 / 5.0));
        assert_eq!(p_value(0.7, 0.7, &drawn), Some(1.0));
        assert_eq!(p_value(0.7, 0.5, &[]), None);
    }

    #[test]
    fn draws_of_one_size_are_the_same_whatever_replaces_them() {
        let (found, trials) = draws(&[2, 3], &[Replacement::Mean, Replacement::Zero], 8, 5, 0);
        assert_eq!((found.len(), trials.len()), (4, 20));
        let places: Vec<_> = found.iter().map(|draws| draws.places.clone()).collect();
        assert_eq!(places, [0..5, 5..10, 10..15, 15..20]);
    }
}
