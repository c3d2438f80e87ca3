//! The same heads in another run: with another pool, other images, another labeller.

use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, LabelRow, RunDirectory};
use headspan_metrics::{StabilityRow, jaccard, stability_rows};

use super::{first_texts, folded};
use crate::{error::Result, settings::Settings};

pub(super) fn rows(settings: &Settings, run: &RunDirectory, other: &RunDirectory) -> Result<Vec<StabilityRow>> {
    let other = other.look()?;
    let name = format!("{}/{}", other.id().dataset(), other.id().model());
    let count = settings.metrics.scores.texts;
    let (own, theirs) = (first_texts(run.rows_if_there()?, count), first_texts(other.rows_if_there()?, count));
    let picks: BTreeMap<HeadId, (f64, u64)> =
        own.iter().filter_map(|(head, texts)| Some((*head, (jaccard(texts, theirs.get(head)?), 1)))).collect();
    let fold = folded(settings)?;
    let properties = |run: &RunDirectory| -> Result<BTreeMap<(HeadId, String), String>> {
        let rows: Vec<LabelRow> = run.rows_if_there()?;
        let one = |row: LabelRow| Some(((row.head_id(), row.labeller), fold(&row.property?)));
        Ok(rows.into_iter().filter_map(one).collect())
    };
    let (own, theirs) = (properties(run)?, properties(&other)?);
    // By every labeller that both runs have.
    let mut labels: BTreeMap<HeadId, (f64, u64)> = BTreeMap::new();
    for (at, property) in &own {
        if let Some(theirs) = theirs.get(at) {
            let (same, n) = labels.entry(at.0).or_default();
            *same += f64::from(u8::from(property == theirs));
            *n += 1;
        }
    }
    for (same, n) in labels.values_mut() {
        *same /= *n as f64;
    }
    let scores = &settings.metrics.scores;
    let mut rows = stability_rows(("run", &name, "jaccard"), &picks, scores);
    rows.extend(stability_rows(("run", &name, "same_property"), &labels, scores));
    Ok(rows)
}
