use std::collections::{BTreeMap, BTreeSet};

use crate::{bootstrap::interval_within, settings::Settings};

/// Jaccard index of two sets: what both have over what either has. 1 for two empty ones.
pub fn jaccard<T: Ord>(one: impl IntoIterator<Item = T>, other: impl IntoIterator<Item = T>) -> f64 {
    let (one, other): (BTreeSet<T>, BTreeSet<T>) = (one.into_iter().collect(), other.into_iter().collect());
    let all = one.union(&other).count();
    if all == 0 { 1.0 } else { one.intersection(&other).count() as f64 / all as f64 }
}

/// Krippendorff's alpha for names (nominal data; Krippendorff 2011, *Computing Krippendorff's Alpha-Reliability*): 1 − observed over expected
/// disagreement. A unit is what all labellers saw, here a head: one name or none from each. 1 if all agree, 0 if they agree as by chance; none where no
/// unit has two names, or all names are the same.
pub fn krippendorff_alpha<T: Ord>(units: &[Vec<Option<T>>]) -> Option<f64> {
    let mut totals: BTreeMap<&T, f64> = BTreeMap::new();
    let mut observed = 0.0;
    for unit in units {
        let names: Vec<&T> = unit.iter().flatten().collect();
        if names.len() < 2 {
            continue;
        }
        let mut counts: BTreeMap<&T, f64> = BTreeMap::new();
        for name in &names {
            *counts.entry(name).or_default() += 1.0;
            *totals.entry(name).or_default() += 1.0;
        }
        let all = names.len() as f64;
        let alike: f64 = counts.values().map(|count| count * count).sum();
        observed += (all * all - alike) / (all - 1.0);
    }
    let all: f64 = totals.values().sum();
    let alike: f64 = totals.values().map(|count| count * count).sum();
    let expected = (all * all - alike) / (all - 1.0);
    (expected > 0.0).then(|| 1.0 - observed / expected)
}

/// Mean of shares over heads with its bootstrap interval ([`Settings::bootstrap_samples`]); none without heads.
pub fn mean_share(shares: &[f64], settings: &Settings) -> Option<(f64, Option<(f64, f64)>)> {
    let mean = |shares: &[f64]| (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
    Some((mean(shares)?, interval_within((0.0, 1.0), shares, settings, mean)))
}

/// Alpha with its bootstrap interval over units.
pub fn alpha_with_interval<T: Ord + Clone>(
    units: &[Vec<Option<T>>],
    settings: &Settings,
) -> Option<(f64, Option<(f64, f64)>)> {
    let alpha = |units: &[Vec<Option<T>>]| krippendorff_alpha(units);
    Some((alpha(units)?, interval_within((-1.0, 1.0), units, settings, alpha)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The worked example of the article on Krippendorff's alpha in the English Wikipedia: three coders, 15 units, nominal alpha 0.691.
    #[test]
    fn alpha_of_the_worked_example() {
        let rows = [
            [0, 0, 0, 0, 0, 3, 4, 1, 2, 1, 1, 3, 3, 0, 3],
            [1, 0, 2, 1, 3, 3, 4, 3, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 2, 1, 3, 4, 4, 0, 2, 1, 1, 3, 3, 0, 4],
        ];
        let units: Vec<Vec<Option<i32>>> =
            (0..15).map(|unit| rows.iter().map(|row| (row[unit] > 0).then_some(row[unit])).collect()).collect();
        let alpha = krippendorff_alpha(&units).expect("names");
        assert!((alpha - 0.691).abs() < 5e-4, "{alpha}");
    }

    #[test]
    fn alpha_is_one_for_agreement_and_none_for_nothing() {
        let unit = |names: [Option<&'static str>; 2]| names.to_vec();
        let agreed = [unit([Some("a"), Some("a")]), unit([Some("b"), Some("b")]), unit([Some("c"), None])];
        assert_eq!(krippendorff_alpha(&agreed), Some(1.0));
        assert_eq!(krippendorff_alpha(&[unit([Some("a"), None])]), None);
        assert_eq!(krippendorff_alpha(&[unit([Some("a"), Some("a")])]), None, "one name alone cannot disagree");
    }

    proptest! {
        #[test]
        fn jaccard_is_a_share_and_symmetric(one in prop::collection::vec(0_u8..9, 0..6), other in prop::collection::vec(0_u8..9, 0..6)) {
            let there = jaccard(&one, &other);
            prop_assert!((0.0..=1.0).contains(&there));
            prop_assert!((there - jaccard(&other, &one)).abs() < 1e-12);
            prop_assert!((jaccard(&one, &one) - 1.0).abs() < 1e-12);
        }

        #[test]
        fn names_by_chance_have_an_alpha_around_nought(seed in 0_u64..50) {
            use rand::{RngExt, SeedableRng};
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let units: Vec<Vec<Option<u8>>> = (0..400).map(|_| (0..2).map(|_| Some(random.random_range(0..4))).collect()).collect();
            // The standard deviation over 400 pairs is some 0.03.
            let alpha = krippendorff_alpha(&units).expect("names");
            prop_assert!(alpha.abs() < 0.2, "{}", alpha);
        }
    }
}
