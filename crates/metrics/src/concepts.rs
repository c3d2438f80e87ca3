//! Concept consistency (arXiv 2503.11103): CCS of a head is how many of its texts match, CCS@K the share of heads with
//! CCS = K, and CCR the concentration of the fully consistent heads' concepts.

use std::collections::BTreeMap;

use crate::association::HeadConsistency;

/// Share of heads with exactly `level` consistent texts.
pub(crate) fn ccs_at(heads: &[HeadConsistency], level: usize) -> Option<f64> {
    let at = heads.iter().filter(|head| head.consistent == level).count();
    (!heads.is_empty()).then(|| at as f64 / heads.len() as f64)
}

/// Concepts that more than one fully consistent head holds, over the number of fully consistent heads.
pub(crate) fn ccr(properties_of_full_heads: &[&str]) -> Option<f64> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for property in properties_of_full_heads {
        *counts.entry(property).or_default() += 1;
    }
    let concentrated = counts.values().filter(|count| **count > 1).count();
    (!properties_of_full_heads.is_empty()).then(|| concentrated as f64 / properties_of_full_heads.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ccr_counts_concepts_not_heads() {
        assert_eq!(ccr(&["color", "color", "color", "animal"]), Some(1.0 / 4.0));
        assert_eq!(ccr(&[]), None);
    }
}
