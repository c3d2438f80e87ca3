//! How stable picks and labels are: over halves of the images, against another run, between labellers. `docs/science.md` defines each figure.

mod figures;
mod rows;

use std::collections::BTreeMap;

use headspan_artifacts::HeadId;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, Serializer};

use crate::settings::Settings;

pub use figures::{alpha_with_interval, jaccard, krippendorff_alpha, mean_share};
pub use rows::stability_parquet;

/// One figure of stability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StabilityRow {
    /// `halves`, `run` or `labellers`.
    pub kind: &'static str,
    /// What is compared: `images`, the other run, or two labellers.
    pub compared: String,
    /// The head; none for the mean over all.
    #[serde(serialize_with = "as_written")]
    pub head: Option<HeadId>,
    /// `jaccard` (of the first texts), `same_property`, or `krippendorff_alpha` (over all labellers).
    pub metric: &'static str,
    /// The figure; none where nothing defines it.
    pub value: Option<f64>,
    /// Its interval: over heads for a mean; none for a head.
    pub interval: Option<(f64, f64)>,
    /// Splits, pairs of labels, or heads that it is made of.
    pub n: u64,
}

/// Rows of one figure, a share of each head with the number that it is made of: the mean over heads with its interval, and each head.
pub fn stability_rows(
    (kind, compared, metric): (&'static str, &str, &'static str),
    heads: &BTreeMap<HeadId, (f64, u64)>,
    settings: &Settings,
) -> Vec<StabilityRow> {
    let shares: Vec<f64> = heads.values().map(|(share, _)| *share).collect();
    let mean = mean_share(&shares, settings);
    let row = |head, value, interval, n| StabilityRow {
        kind,
        compared: compared.to_owned(),
        head,
        metric,
        value,
        interval,
        n,
    };
    let all = row(None, mean.map(|mean| mean.0), mean.and_then(|mean| mean.1), shares.len() as u64);
    let each = heads.iter().map(|(head, (share, n))| row(Some(*head), Some(*share), None, *n));
    std::iter::once(all).chain(each).collect()
}

/// Random halves of `parts` parts, each in its order. The same seed gives the same splits.
pub fn random_halves(parts: usize, splits: usize, seed: u64) -> Vec<[Vec<usize>; 2]> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all: Vec<usize> = (0..parts).collect();
    let split = |_| {
        all.shuffle(&mut random);
        let (one, other) = all.split_at(parts / 2);
        [one, other].map(|half| {
            let mut half = half.to_vec();
            half.sort_unstable();
            half
        })
    };
    (0..splits).map(split).collect()
}

/// A head as it is written everywhere, `L3.H1`.
#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn as_written<S: Serializer>(head: &Option<HeadId>, serializer: S) -> Result<S::Ok, S::Error> {
    match head {
        Some(head) => serializer.collect_str(head),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_whole_and_follow_the_seed() {
        for split in random_halves(32, 3, 1) {
            let mut all = split.concat();
            all.sort_unstable();
            assert_eq!(all, (0..32).collect::<Vec<_>>());
            assert_eq!(split[0].len(), 16);
        }
        let of = |seed| random_halves(32, 3, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(of(1)[0], of(1)[1]);
    }

    #[test]
    fn the_mean_stands_before_the_heads() {
        let heads =
            BTreeMap::from([(HeadId { layer: 0, head: 1 }, (0.5, 2)), (HeadId { layer: 1, head: 0 }, (1.0, 2))]);
        let rows = stability_rows(("halves", "images", "jaccard"), &heads, &Settings::default());
        let values: Vec<_> = rows.iter().map(|row| (row.head.is_some(), row.value, row.n)).collect();
        assert_eq!(values, [(false, Some(0.75), 2), (true, Some(0.5), 2), (true, Some(1.0), 2)]);
        assert!(rows[0].interval.is_some_and(|(low, high)| low <= 0.75 && 0.75 <= high));
        assert_eq!(serde_json::to_value(&rows[1]).expect("JSON")["head"], "L0.H1");
    }
}
