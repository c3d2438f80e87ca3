//! Entanglement: how often heads share a property. Every function takes the folded properties of the labelled heads in
//! order of layer and head, and returns none where there is nothing to count.

use std::collections::{BTreeMap, BTreeSet};

fn counts<P: Ord + Copy>(properties: &[P]) -> BTreeMap<P, u64> {
    let mut counts = BTreeMap::new();
    for property in properties {
        *counts.entry(*property).or_insert(0) += 1;
    }
    counts
}

/// Share of heads whose property an earlier head already has: (heads − distinct properties)/heads.
pub fn repeated<P: Ord + Copy>(properties: &[P]) -> Option<f64> {
    let heads = properties.len();
    let distinct = properties.iter().collect::<BTreeSet<_>>().len();
    (heads > 0).then(|| (heads - distinct) as f64 / heads as f64)
}

/// Share of heads whose property at least one other head also has.
pub fn shared_heads<P: Ord + Copy>(properties: &[P]) -> Option<f64> {
    let heads = properties.len();
    let shared: u64 = counts(properties).values().filter(|count| **count > 1).sum();
    (heads > 0).then(|| shared as f64 / heads as f64)
}

/// Chance that two different heads, drawn at random, share a property.
pub fn pairwise<P: Ord + Copy>(properties: &[P]) -> Option<f64> {
    let heads = properties.len() as u64;
    let pairs: u64 = counts(properties).values().map(|count| count * (count - 1)).sum();
    (heads > 1).then(|| pairs as f64 / (heads * (heads - 1)) as f64)
}

/// As the authors' released helper counts: a head is repeated when an earlier head, itself repeated or not, has the same
/// label, or one of the two labels is a prefix of the other (so `Location` and `Locations`; by accident `Art` and
/// `Artwork` too). Labels as they were given, in lower case.
pub fn repeated_prefix(labels: &[String]) -> Option<f64> {
    let repeats = |(index, label): &(usize, &String)| {
        labels[..*index]
            .iter()
            .any(|earlier| earlier.starts_with(label.as_str()) || label.starts_with(earlier.as_str()))
    };
    let repeated = labels.iter().enumerate().filter(repeats).count();
    (!labels.is_empty()).then(|| repeated as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_of_the_documentation() {
        let heads = ["color", "color", "animal", "color", "location", "animal", "weather", "art"];
        assert_eq!(repeated(&heads), Some(3.0 / 8.0));
        assert_eq!(shared_heads(&heads), Some(5.0 / 8.0));
        assert_eq!(pairwise(&heads), Some(8.0 / 56.0));
    }

    #[test]
    fn prefixes_count_against_every_earlier_head() {
        let labels = ["colors", "color", "colorpalette", "art"].map(str::to_owned);
        assert_eq!(repeated_prefix(&labels), Some(2.0 / 4.0), "`color` repeats `colors`, and `colorpalette` `color`");
    }

    #[test]
    fn nothing_to_count_is_none() {
        assert_eq!(repeated::<&str>(&[]), None);
        assert_eq!(pairwise(&["color"]), None);
        assert_eq!(repeated(&["color"]), Some(0.0));
    }
}
