//! What other commands found out about a head, where their tables are beside the run: accuracy without it, and its partner in another run.

use std::{collections::BTreeMap, sync::Arc};

use headspan_artifacts::{AblatedRow, Frame, HeadId, Table, is_file, read_frame, read_rows};
use serde::Serialize;

use crate::{error::Result, run::ExploreRun};

/// Accuracy with and without one head, as `headspan ablate` measured it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithoutHead {
    /// What took its place: `mean`, `zero` or `scale:FACTOR`.
    pub replacement: String,
    /// Over all images.
    pub all: AblatedRow,
    /// By class, those that lose most first.
    pub classes: Vec<AblatedRow>,
}

impl WithoutHead {
    /// Accuracy that is lost over all images; below 0, the model is better without the head.
    pub fn loss(&self) -> f64 {
        loss(&self.all)
    }
}

/// Accuracy that an ablation costs.
fn loss(row: &AblatedRow) -> f64 {
    row.accuracy_before - row.accuracy_after
}

/// A head of another run that `headspan diff` paired with one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Partner {
    /// The other run, `dataset/model`.
    pub run: String,
    /// Its head.
    pub head: HeadId,
    /// Whether the other run is the one after.
    pub is_after: bool,
    /// Centred kernel alignment of what both put out.
    pub cka: Option<f64>,
    /// How far the directions agree in which both can write, 0 to 1.
    pub overlap: Option<f64>,
    /// The partner's property.
    pub property: Option<String>,
}

/// Columns of `diff.parquet` that a partner is read from.
const COLUMNS: [&str; 10] = [
    "before",
    "after",
    "layer_before",
    "head_before",
    "layer_after",
    "head_after",
    "cka",
    "readout_overlap",
    "property_before",
    "property_after",
];

impl ExploreRun {
    /// Accuracy without a head; none if nobody measured it.
    pub fn without(&self, head: HeadId) -> Result<Option<WithoutHead>> {
        Ok(self.without_each()?.get(&head).cloned())
    }

    /// Accuracy without each head that `ablations.parquet` has. The table is read anew when it was written anew.
    pub fn without_each(&self) -> Result<Arc<BTreeMap<HeadId, WithoutHead>>> {
        let path = self.directory().table(Table::Ablations);
        if !is_file(&path).map_err(headspan_artifacts::ArtifactError::from)? {
            return Ok(Arc::default());
        }
        let fingerprint = self.directory().table_metadata(Table::Ablations)?.fingerprint;
        self.answers().without(fingerprint, || Ok(by_head(&read_rows::<AblatedRow>(&path)?)))
    }

    /// The head of another run that the last `headspan diff` of the data set paired with this one; none without such a table.
    pub fn partner(&self, head: HeadId) -> Result<Option<Partner>> {
        let path = self.directory().path().with_file_name("diff.parquet");
        if !is_file(&path).map_err(headspan_artifacts::ArtifactError::from)? {
            return Ok(None);
        }
        let frame = read_frame(&path, &COLUMNS)?;
        let id = self.directory().id();
        let whole = |name: &str| if name.contains('/') { name.to_owned() } else { format!("{}/{name}", id.dataset()) };
        Ok((0..frame.rows()).find_map(|row| partner_in(&frame, row, &self.name(), head, whole)))
    }
}

/// The partner that a row of the table names, if the row is about this head.
fn partner_in(frame: &Frame, row: usize, own: &str, head: HeadId, whole: impl Fn(&str) -> String) -> Option<Partner> {
    let of = |side: &str| -> Option<HeadId> {
        let number = |what: &str| frame.number(&format!("{what}_{side}"), row).map(|number| number as u32);
        Some(HeadId { layer: number("layer")?, head: number("head")? })
    };
    let run = |side: &str| frame.text(side, row).map(&whole);
    let partner = |side: &'static str| {
        Some(Partner {
            run: run(side)?,
            head: of(side)?,
            is_after: side == "after",
            cka: frame.number("cka", row),
            overlap: frame.number("readout_overlap", row),
            property: frame.text(&format!("property_{side}"), row).map(str::to_owned),
        })
    };
    if run("before")? == own && of("before")? == head {
        return partner("after");
    }
    (run("after")? == own && of("after")? == head).then(|| partner("before"))?
}

/// Rows of single heads, by head. Of several replacements the mean counts, else the first.
fn by_head(rows: &[AblatedRow]) -> BTreeMap<HeadId, WithoutHead> {
    let mut found: BTreeMap<HeadId, WithoutHead> = BTreeMap::new();
    let of_heads = || rows.iter().filter(|row| row.kind == "head");
    for row in of_heads().filter(|row| row.scope == "all") {
        let Ok(head) = row.target.parse::<HeadId>() else { continue };
        if found.get(&head).is_none_or(|known| known.replacement != "mean" && row.replacement == "mean") {
            let (replacement, all) = (row.replacement.clone(), row.clone());
            found.insert(head, WithoutHead { replacement, all, classes: Vec::new() });
        }
    }
    for row in of_heads().filter(|row| row.scope == "class") {
        let Ok(head) = row.target.parse::<HeadId>() else { continue };
        if let Some(known) = found.get_mut(&head).filter(|known| known.replacement == row.replacement) {
            known.classes.push(row.clone());
        }
    }
    for known in found.values_mut() {
        known.classes.sort_by(|one, other| loss(other).total_cmp(&loss(one)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: &str, replacement: &str, class: Option<&str>, after: f64) -> AblatedRow {
        AblatedRow {
            kind: "head".to_owned(),
            target: target.to_owned(),
            replacement: replacement.to_owned(),
            scope: if class.is_some() { "class" } else { "all" }.to_owned(),
            class_id: class.map(str::to_owned),
            group: None,
            n: 10,
            accuracy_before: 0.9,
            accuracy_after: after,
            ci_low: 0.0,
            ci_high: 1.0,
            p: None,
        }
    }

    #[test]
    fn the_mean_counts_and_classes_that_lose_most_come_first() {
        let rows = vec![
            row("L1.H0", "zero", None, 0.5),
            row("L1.H0", "zero", Some("boat"), 0.1),
            row("L1.H0", "mean", None, 0.8),
            row("L1.H0", "mean", Some("fish"), 0.9),
            row("L1.H0", "mean", Some("boat"), 0.7),
            row("L1.H1", "zero", None, 0.95),
        ];
        let found = by_head(&rows);
        let first = &found[&HeadId { layer: 1, head: 0 }];
        assert!((first.loss() - 0.1).abs() < 1e-12);
        let classes: Vec<Option<&str>> = first.classes.iter().map(|row| row.class_id.as_deref()).collect();
        assert_eq!((first.replacement.as_str(), classes), ("mean", vec![Some("boat"), Some("fish")]));
        assert!(found[&HeadId { layer: 1, head: 1 }].loss() < 0.0);
    }
}
