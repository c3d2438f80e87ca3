//! Labels of one run by several labellers.

use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{HeadId, LabelRow, RunDirectory};
use headspan_metrics::{StabilityRow, alpha_with_interval, stability_rows};

use super::folded;
use crate::{error::Result, settings::Settings};

/// Nothing of a run with one labeller.
pub(super) fn rows(settings: &Settings, run: &RunDirectory) -> Result<Vec<StabilityRow>> {
    let fold = folded(settings)?;
    let labels: Vec<LabelRow> = run.rows_if_there()?;
    let labellers: Vec<&str> =
        labels.iter().map(|row| row.labeller.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    if labellers.len() < 2 {
        return Ok(Vec::new());
    }
    let mut heads: BTreeMap<HeadId, Vec<Option<String>>> = BTreeMap::new();
    for row in &labels {
        let at = labellers.iter().position(|name| *name == row.labeller);
        let names = heads.entry(row.head_id()).or_insert_with(|| vec![None; labellers.len()]);
        if let (Some(at), Some(property)) = (at, &row.property) {
            names[at] = Some(fold(property));
        }
    }
    let units: Vec<Vec<Option<String>>> = heads.values().cloned().collect();
    let alpha = alpha_with_interval(&units, &settings.metrics.scores);
    let mut rows = vec![StabilityRow {
        kind: "labellers",
        compared: labellers.join(", "),
        head: None,
        metric: "krippendorff_alpha",
        value: alpha.map(|alpha| alpha.0),
        interval: alpha.and_then(|alpha| alpha.1),
        n: units.iter().filter(|unit| unit.iter().flatten().count() > 1).count() as u64,
    }];
    for (one, first) in labellers.iter().enumerate() {
        for (other, second) in labellers.iter().enumerate().skip(one + 1) {
            let same = |(head, names): (&HeadId, &Vec<Option<String>>)| {
                let (one, other) = (names[one].as_ref()?, names[other].as_ref()?);
                Some((*head, (f64::from(u8::from(one == other)), 1)))
            };
            let heads = heads.iter().filter_map(same).collect();
            let compared = format!("{first}, {second}");
            rows.extend(stability_rows(("labellers", &compared, "same_property"), &heads, &settings.metrics.scores));
        }
    }
    Ok(rows)
}
