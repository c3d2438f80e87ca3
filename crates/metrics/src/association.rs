//! Association: how consistently a head's texts match its property.

use headspan_artifacts::LabelRow;

/// Judgements of one head's first texts by the labeller whose figure is computed and by others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JudgedHead {
    /// By the labeller.
    pub(crate) own: HeadConsistency,
    /// By each other judge in turn: the labeller's where the judge did not judge this head against the same property.
    pub(crate) others: Vec<HeadConsistency>,
    /// Mean share of the labeller's judges that are not behind its judgement; 0 of a labeller that judges once.
    pub(crate) dissent: f64,
}

impl JudgedHead {
    /// Its consistency by the labeller (0) or by another judge.
    pub(crate) fn by(&self, judge: usize) -> HeadConsistency {
        judge.checked_sub(1).and_then(|other| self.others.get(other)).copied().unwrap_or(self.own)
    }
}

/// Share of a labeller's judges that are not behind its judgements, where several language models judged each text.
pub(crate) fn dissent(row: &LabelRow) -> f64 {
    // The model that labelled stands before those that judged.
    let judges = row.llm_model.as_deref().map_or(0, |models| models.split(';').skip(1).count());
    let agreement = row.agreement.filter(|_| judges > 1).unwrap_or(1.0);
    (1.0 - agreement).clamp(0.0, 0.5)
}

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
