//! The table of accuracies with heads scaled in the forward pass.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Float32Array, Float64Array, StringArray, UInt64Array};
use headspan_artifacts::{ParquetError, RunId, ZeroshotRow, answer_bytes};
use serde::Serialize;

use crate::classification::{LabelledImages, accuracies};

/// Top-1 accuracy over some images, before and after heads are scaled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrunedRow {
    /// Which heads: a list, a file, a level of concept consistency, or `random` beside one of them.
    pub target: String,
    /// Number of heads.
    pub heads: u64,
    /// What their outputs are multiplied by; none where each has a factor of its own.
    pub factor: Option<f32>,
    /// `all`, `class`, `group` or `worst_group`.
    pub scope: &'static str,
    /// The class, of scope `class`.
    pub class_id: Option<String>,
    /// The group, of scopes `group` and `worst_group`.
    pub group: Option<String>,
    /// Images of the scope.
    pub n: u64,
    /// Top-1 accuracy of the model as it is.
    pub accuracy_before: f64,
    /// Top-1 accuracy with the heads scaled; of random heads the mean over the draws.
    pub accuracy_after: f64,
    /// Lower bound of its interval; of random heads the lowest draw.
    pub ci_low: f64,
    /// Upper bound of its interval; of random heads the highest draw.
    pub ci_high: f64,
}

/// Rows of one target, from predictions for the same images. The worst group is that of each side by itself.
pub fn pruned_rows(
    (target, heads, factor): (&str, u64, Option<f32>),
    [before, after]: [&[ZeroshotRow]; 2],
    labels: &LabelledImages,
) -> Vec<PrunedRow> {
    let before = accuracies(before, labels);
    let top1 = accuracies(after, labels).into_iter().filter(|row| row.metric == "top1");
    top1.map(|row| {
        let is_same = |other: &&crate::AccuracyRow| {
            let same_group = row.scope == "worst_group" || other.group == row.group;
            other.metric == "top1" && other.scope == row.scope && other.class_id == row.class_id && same_group
        };
        PrunedRow {
            target: target.to_owned(),
            heads,
            factor,
            scope: row.scope,
            n: row.n,
            accuracy_before: before.iter().find(is_same).map_or(f64::NAN, |row| row.accuracy),
            accuracy_after: row.accuracy,
            ci_low: row.ci_low,
            ci_high: row.ci_high,
            class_id: row.class_id.clone(),
            group: row.group.clone(),
        }
    })
    .collect()
}

/// The rows as a Parquet file that says which records of the run it was made from. `docs/artifacts.md` has the columns.
pub fn pruning_parquet(
    rows: &[PrunedRow],
    run: &RunId,
    made_from: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ParquetError> {
    let text = |of: &dyn Fn(&PrunedRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let number =
        |of: fn(&PrunedRow) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(rows.iter().map(of))) };
    let count =
        |of: fn(&PrunedRow) -> u64| -> ArrayRef { Arc::new(UInt64Array::from_iter_values(rows.iter().map(of))) };
    let columns = vec![
        ("model", text(&|_| Some(run.model().to_owned()))),
        ("dataset", text(&|_| Some(run.dataset().to_owned()))),
        ("target", text(&|row| Some(row.target.clone()))),
        ("heads", count(|row| row.heads)),
        ("factor", Arc::new(rows.iter().map(|row| row.factor).collect::<Float32Array>())),
        ("scope", text(&|row| Some(row.scope.to_owned()))),
        ("class_id", text(&|row| row.class_id.clone())),
        ("group", text(&|row| row.group.clone())),
        ("n", count(|row| row.n)),
        ("accuracy_before", number(|row| row.accuracy_before)),
        ("accuracy_after", number(|row| row.accuracy_after)),
        ("ci_low", number(|row| row.ci_low)),
        ("ci_high", number(|row| row.ci_high)),
    ];
    answer_bytes(columns, made_from)
}
