//! The table of a repair.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{
    ArrayRef, Float64Array, StringArray, UInt64Array,
    builder::{Float64Builder, ListBuilder, StringBuilder},
};
use headspan_artifacts::{ParquetError, RunId, answer_bytes};
use serde::Serialize;

use crate::classification::{
    accuracy::{Count, wilson},
    permutation::chance,
    repair::{Choice, Chosen, judge::Counts},
};

/// Accuracy over some images, before and after a choice of heads is removed, beside as many random heads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepairRow {
    /// How heads were chosen: `property`, `list`, `file`, `ablation` or `text`.
    pub choice: &'static str,
    /// What they were chosen by: a property, a list, a file, texts, or `worst group`.
    pub target: String,
    /// The heads, in the order in which they were chosen.
    pub heads: Vec<String>,
    /// What each was chosen by: of `ablation` the accuracy of the worst group without it and those before it, of `text` the standard deviation along
    /// the cue, both over the half that gives choices; none where somebody named them.
    pub values: Option<Vec<f64>>,
    /// What took their place: `mean`, `zero` or `scale:FACTOR`.
    pub replacement: String,
    /// `all`, `group` or `worst_group`.
    pub scope: &'static str,
    /// The group, of scopes `group` and `worst_group` (the worst one after).
    pub group: Option<String>,
    /// Images of the scope.
    pub n: u64,
    /// Accuracy of the whole model; of the worst group that of the worst one before.
    pub accuracy_before: f64,
    /// Accuracy without the heads.
    pub accuracy_after: f64,
    /// Lower bound of its interval.
    pub ci_low: f64,
    /// Upper bound of its interval.
    pub ci_high: f64,
    /// Mean accuracy without as many random heads; none without draws.
    pub random_mean: Option<f64>,
    /// The lowest draw.
    pub random_low: Option<f64>,
    /// The highest draw.
    pub random_high: Option<f64>,
    /// Share of the draws that leave at least as high an accuracy, the choice itself counted among them.
    pub p: Option<f64>,
}

/// Counts of a choice and of what it is compared with.
pub(super) struct Judged<'a> {
    pub(super) before: &'a Counts,
    pub(super) after: &'a Counts,
    pub(super) random: &'a [Counts],
}

/// Rows of one choice and replacement: all images, the worst group, each group that has images.
pub(super) fn rows(
    choice: &Choice,
    heads: &[String],
    chosen: &Chosen,
    judged: &Judged<'_>,
    groups: &[String],
) -> Vec<RepairRow> {
    let (kind, target) = match choice {
        Choice::Given { kind, name, .. } => (*kind, name.clone()),
        Choice::Ablation { .. } => ("ablation", "worst group".to_owned()),
        Choice::Text { name, .. } => ("text", name.clone()),
    };
    let row = |scope, group: Option<usize>, of: &dyn Fn(&Counts) -> Count| {
        let (before, after) = (of(judged.before), of(judged.after));
        let (ci_low, ci_high) = wilson(after.right, after.images);
        let random: Vec<f64> = judged.random.iter().map(|counts| of(counts).share()).collect();
        RepairRow {
            choice: kind,
            target: target.clone(),
            heads: heads.to_vec(),
            values: chosen.values.clone(),
            replacement: chosen.replacement.to_string(),
            scope,
            group: group.and_then(|group| groups.get(group).cloned()),
            n: after.images,
            accuracy_before: before.share(),
            accuracy_after: after.share(),
            ci_low,
            ci_high,
            random_mean: (!random.is_empty()).then(|| random.iter().sum::<f64>() / random.len() as f64),
            random_low: random.iter().copied().reduce(f64::min),
            random_high: random.iter().copied().reduce(f64::max),
            p: chance(&random, |share| share >= after.share()),
        }
    };
    let mut found = vec![row("all", None, &|counts| counts.all)];
    let worst = |counts: &Counts| counts.worst().map_or_else(Count::default, |group| counts.groups[group]);
    found.push(row("worst_group", judged.after.worst(), &worst));
    let there = (0..groups.len()).filter(|group| judged.before.groups[*group].images > 0);
    found.extend(there.map(|group| row("group", Some(group), &|counts| counts.groups[group])));
    found
}

/// The rows as a Parquet file that says which records of the run it was made from. `docs/artifacts.md` has the columns.
pub fn repair_parquet(
    rows: &[RepairRow],
    run: &RunId,
    made_from: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ParquetError> {
    let text = |of: &dyn Fn(&RepairRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let number =
        |of: fn(&RepairRow) -> Option<f64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Float64Array>()) };
    let (mut heads, mut values) = (ListBuilder::new(StringBuilder::new()), ListBuilder::new(Float64Builder::new()));
    for row in rows {
        heads.append_value(row.heads.iter().map(|head| Some(head.as_str())));
        values.append_option(row.values.as_ref().map(|own| own.iter().copied().map(Some)));
    }
    let columns = vec![
        ("model", text(&|_| Some(run.model().to_owned()))),
        ("dataset", text(&|_| Some(run.dataset().to_owned()))),
        ("choice", text(&|row| Some(row.choice.to_owned()))),
        ("target", text(&|row| Some(row.target.clone()))),
        ("heads", Arc::new(heads.finish())),
        ("values", Arc::new(values.finish())),
        ("replacement", text(&|row| Some(row.replacement.clone()))),
        ("scope", text(&|row| Some(row.scope.to_owned()))),
        ("group", text(&|row| row.group.clone())),
        ("n", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.n)))),
        ("accuracy_before", number(|row| Some(row.accuracy_before))),
        ("accuracy_after", number(|row| Some(row.accuracy_after))),
        ("ci_low", number(|row| Some(row.ci_low))),
        ("ci_high", number(|row| Some(row.ci_high))),
        ("random_mean", number(|row| row.random_mean)),
        ("random_low", number(|row| row.random_low)),
        ("random_high", number(|row| row.random_high)),
        ("p", number(|row| row.p)),
    ];
    answer_bytes(columns, made_from)
}
