//! What happened to the scores of both models, over the heads that both have.

use crate::{
    association::{HeadConsistency, associated_heads, mean_consistency},
    bootstrap::interval_within,
    diff::{HeadPair, HeadState},
    entanglement::{pairwise, repeated, shared_heads},
    fold::Synonyms,
    settings::Settings,
};

/// A score before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreChange {
    /// Name of the score, as in `metrics.parquet`.
    pub metric: &'static str,
    /// Over the pairs' heads before, and after.
    pub values: (f64, f64),
    /// After less before.
    pub difference: f64,
    /// Percentile interval of the difference over pairs that are drawn with replacement.
    pub interval: Option<(f64, f64)>,
    /// Pairs with a label on both sides.
    pub pairs: u64,
}

/// A head's label, ready to be counted.
#[derive(Debug, Clone)]
struct Labelled {
    property: String,
    consistency: Option<HeadConsistency>,
}

type Pair = [Labelled; 2];
type Figure = (&'static str, fn(&[&Labelled], &Settings) -> Option<f64>);

const FIGURES: [Figure; 5] = [
    ("entanglement_repeated", |heads, _| repeated(&properties(heads))),
    ("entanglement_shared_heads", |heads, _| shared_heads(&properties(heads))),
    ("entanglement_pairwise", |heads, _| pairwise(&properties(heads))),
    ("association_associated_heads", |heads, settings| {
        associated_heads(&judged(heads), settings.association_threshold)
    }),
    ("association_mean_consistency", |heads, _| mean_consistency(&judged(heads))),
];

fn properties<'a>(heads: &[&'a Labelled]) -> Vec<&'a str> {
    heads.iter().map(|head| head.property.as_str()).collect()
}

fn judged(heads: &[&Labelled]) -> Vec<HeadConsistency> {
    heads.iter().filter_map(|head| head.consistency).collect()
}

/// The scores over the pairs whose heads both have a property. A score that one side does not define is left out.
pub(super) fn changes(heads: &[HeadPair], settings: &Settings, synonyms: &Synonyms) -> Vec<ScoreChange> {
    let labelled = |state: &HeadState| {
        let consistency = state
            .consistent
            .map(|(consistent, judged)| HeadConsistency { consistent: consistent as usize, judged: judged as usize });
        Some(Labelled { property: synonyms.fold(state.property.as_deref()?), consistency })
    };
    let pairs: Vec<Pair> =
        heads.iter().filter_map(|pair| Some([labelled(&pair.states[0])?, labelled(&pair.states[1])?])).collect();
    let change = |(metric, figure): &Figure| {
        let of =
            |pairs: &[Pair], side: usize| figure(&pairs.iter().map(|pair| &pair[side]).collect::<Vec<_>>(), settings);
        let difference = |pairs: &[Pair]| Some(of(pairs, 1)? - of(pairs, 0)?);
        Some(ScoreChange {
            metric,
            values: (of(&pairs, 0)?, of(&pairs, 1)?),
            difference: difference(&pairs)?,
            interval: interval_within((-1.0, 1.0), &pairs, settings, difference),
            pairs: pairs.len() as u64,
        })
    };
    FIGURES.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::HeadId;

    use super::*;

    fn pair(head: u32, before: (&str, u64), after: (&str, u64)) -> HeadPair {
        let state = |(property, consistent): (&str, u64)| HeadState {
            property: (!property.is_empty()).then(|| property.to_owned()),
            consistent: Some((consistent, 5)),
            ..HeadState::default()
        };
        HeadPair {
            heads: [HeadId { layer: 0, head }; 2],
            cka: None,
            cka_interval: None,
            readouts: None,
            states: [state(before), state(after)],
            texts_kept: None,
            property_kept: None,
        }
    }

    #[test]
    fn differences_are_after_less_before_over_pairs_with_both_labels() {
        let pairs = [
            pair(0, ("color", 5), ("colors", 5)),
            pair(1, ("animal", 4), ("color", 2)),
            pair(2, ("shape", 1), ("shape", 3)),
            pair(3, ("", 5), ("color", 5)),
        ];
        let changes = changes(&pairs, &Settings::default(), &Synonyms::default());
        let of = |metric: &str| changes.iter().find(|change| change.metric == metric).expect("there");
        let repeated = of("entanglement_repeated");
        assert_eq!((repeated.values, repeated.pairs), ((0.0, 1.0 / 3.0), 3));
        assert!((repeated.difference - 1.0 / 3.0).abs() < 1e-12);
        assert!(repeated.interval.is_some_and(|(low, high)| low <= repeated.difference && repeated.difference <= high));
        let associated = of("association_associated_heads");
        assert!((associated.difference - 0.0).abs() < 1e-12, "{associated:?}");
    }

    #[test]
    fn nothing_changes_between_a_run_and_itself() {
        let pairs: Vec<HeadPair> = (0..6).map(|head| pair(head, ("color", 5), ("color", 5))).collect();
        let changes = changes(&pairs, &Settings::default(), &Synonyms::default());
        assert_eq!(changes.len(), 5);
        assert!(
            changes.iter().all(|change| change.difference == 0.0 && change.interval == Some((0.0, 0.0))),
            "{changes:?}"
        );
    }
}
