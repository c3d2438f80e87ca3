//! Association: how consistently a head's texts match its property.

use headspan_artifacts::LabelRow;

/// Judgements of one head's first `k` texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadConsistency {
    /// Texts that match the property.
    pub(crate) consistent: usize,
    /// Texts that were judged.
    pub(crate) judged: usize,
}

impl HeadConsistency {
    /// None if the head has no property or none of its texts was judged.
    pub(crate) fn of(row: &LabelRow, texts: usize) -> Option<Self> {
        row.property.as_ref()?;
        let judged: Vec<bool> = row.consistent.iter().take(texts).filter_map(|judgement| *judgement).collect();
        (!judged.is_empty())
            .then(|| Self { consistent: judged.iter().filter(|judgement| **judgement).count(), judged: judged.len() })
    }

    pub(crate) fn share(self) -> f64 {
        self.consistent as f64 / self.judged as f64
    }
}

/// Share of heads with at least `threshold` consistent texts.
pub(crate) fn associated_heads(heads: &[HeadConsistency], threshold: usize) -> Option<f64> {
    let associated = heads.iter().filter(|head| head.consistent >= threshold).count();
    (!heads.is_empty()).then(|| associated as f64 / heads.len() as f64)
}

/// Mean share of consistent texts.
pub(crate) fn mean_consistency(heads: &[HeadConsistency]) -> Option<f64> {
    (!heads.is_empty()).then(|| heads.iter().map(|head| head.share()).sum::<f64>() / heads.len() as f64)
}
