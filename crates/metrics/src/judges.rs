//! Association of every labeller of a run, with and without the disagreement of the others.

use std::collections::BTreeSet;

use headspan_artifacts::LabelRow;
use serde::Serialize;

use crate::{
    association::{HeadConsistency, JudgedHead, associated_heads},
    bootstrap::interval_of_judges,
    fold::Synonyms,
    score::{add_judges, judged_head, labelled_heads},
    settings::Settings,
};

/// Association of one labeller.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Association {
    /// The labeller, or the person.
    pub labeller: String,
    /// Others who judged texts of its heads against the same properties.
    pub judges: usize,
    /// Heads with judged texts.
    pub heads: u64,
    /// Share of the heads with enough consistent texts.
    pub value: f64,
    /// Its interval over heads alone.
    pub over_heads: Option<(f64, f64)>,
    /// Its interval over heads and judges, as `metrics.parquet` has it for the labellers of a run.
    pub over_judges: Option<(f64, f64)>,
}

/// Association of every labeller in `labels` that has judgements; each counts as a judge of the others.
pub fn associations(labels: &[LabelRow], settings: &Settings, synonyms: &Synonyms) -> Vec<Association> {
    let labellers: BTreeSet<&str> = labels.iter().map(|row| row.labeller.as_str()).collect();
    labellers.into_iter().filter_map(|labeller| of_one(labeller, labels, settings, synonyms)).collect()
}

fn of_one(labeller: &str, labels: &[LabelRow], settings: &Settings, synonyms: &Synonyms) -> Option<Association> {
    let mut rows: Vec<&LabelRow> = labels.iter().filter(|row| row.labeller == labeller).collect();
    rows.sort_by_key(|row| (row.layer, row.head));
    let mut heads = labelled_heads(&rows, settings, synonyms);
    add_judges(&mut heads, labeller, labels, settings, synonyms);
    let judged: Vec<JudgedHead> = heads.iter().filter_map(judged_head).collect();
    let associated = |heads: &[HeadConsistency]| associated_heads(heads, settings.association_threshold);
    let own: Vec<HeadConsistency> = judged.iter().map(|head| head.own).collect();
    let alone = |head: &JudgedHead| JudgedHead { own: head.own, others: Vec::new(), dissent: 0.0 };
    Some(Association {
        labeller: labeller.to_owned(),
        judges: judged.first().map_or(0, |head| head.others.len()),
        heads: judged.len() as u64,
        value: associated(&own)?,
        over_heads: interval_of_judges(&judged.iter().map(alone).collect::<Vec<_>>(), settings, associated),
        over_judges: interval_of_judges(&judged, settings, associated),
    })
}
