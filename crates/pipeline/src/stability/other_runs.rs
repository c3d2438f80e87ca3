//! The same heads in other runs: with another pool, other images, another labeller, other prompts.

use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{HeadId, LabelRow, RunDirectory};
use headspan_metrics::{StabilityRow, alpha_with_interval, jaccard, stability_rows};

use super::{first_texts, folded};
use crate::{error::Result, settings::Settings, stages::LABEL};

/// Properties by labeller and head.
type Properties = BTreeMap<String, BTreeMap<HeadId, String>>;

/// Texts and labels of one other run beside those of this one.
pub(super) fn rows(settings: &Settings, run: &RunDirectory, other: &RunDirectory) -> Result<Vec<StabilityRow>> {
    let count = settings.metrics.scores.texts;
    let (own, theirs) = (first_texts(run.rows_if_there()?, count), first_texts(other.rows_if_there()?, count));
    let picks: BTreeMap<HeadId, (f64, u64)> =
        own.iter().filter_map(|(head, texts)| Some((*head, (jaccard(texts, theirs.get(head)?), 1)))).collect();
    let (own, theirs) = (properties(settings, run)?, properties(settings, other)?);
    let mut labels: BTreeMap<HeadId, (f64, u64)> = BTreeMap::new();
    for (one, another) in comparable(run, &own, other, &theirs)? {
        for (head, property) in &own[&one] {
            if let Some(their) = theirs[&another].get(head) {
                let (same, n) = labels.entry(*head).or_default();
                *same += f64::from(u8::from(property == their));
                *n += 1;
            }
        }
    }
    for (same, n) in labels.values_mut() {
        *same /= *n as f64;
    }
    let (name, scores) = (name(other), &settings.metrics.scores);
    let mut rows = stability_rows(("run", &name, "jaccard"), &picks, scores);
    rows.extend(stability_rows(("run", &name, "same_property"), &labels, scores));
    Ok(rows)
}

/// Krippendorff's alpha over the labels that all these runs have of the same heads, each run by the labeller that labelled it last. Nothing without other runs.
pub(super) fn alpha(settings: &Settings, run: &RunDirectory, others: &[RunDirectory]) -> Result<Option<StabilityRow>> {
    if others.is_empty() {
        return Ok(None);
    }
    let (mut raters, mut names) = (Vec::new(), Vec::new());
    for one in std::iter::once(run).chain(others) {
        let mut own = properties(settings, one)?;
        if let Some(labeller) = main_labeller(one, &own)? {
            names.push(format!("{} ({labeller})", name(one)));
            raters.extend(own.remove(&labeller));
        }
    }
    let heads: BTreeSet<HeadId> = raters.iter().flat_map(BTreeMap::keys).copied().collect();
    let units: Vec<Vec<Option<String>>> =
        heads.iter().map(|head| raters.iter().map(|rater| rater.get(head).cloned()).collect()).collect();
    let alpha = alpha_with_interval(&units, &settings.metrics.scores);
    Ok(Some(StabilityRow {
        kind: "runs",
        compared: names.join(", "),
        head: None,
        metric: "krippendorff_alpha",
        value: alpha.map(|alpha| alpha.0),
        interval: alpha.and_then(|alpha| alpha.1),
        n: units.iter().filter(|unit| unit.iter().flatten().count() > 1).count() as u64,
    }))
}

fn name(run: &RunDirectory) -> String {
    format!("{}/{}", run.id().dataset(), run.id().model())
}

fn properties(settings: &Settings, run: &RunDirectory) -> Result<Properties> {
    let fold = folded(settings)?;
    let rows: Vec<LabelRow> = run.rows_if_there()?;
    let mut properties = Properties::new();
    for row in rows {
        if let Some(property) = &row.property {
            properties.entry(row.labeller.clone()).or_default().insert(row.head_id(), fold(property));
        }
    }
    Ok(properties)
}

/// Labellers of both runs whose labels are compared: each that both have, else the one that labelled each last.
fn comparable(
    run: &RunDirectory,
    own: &Properties,
    other: &RunDirectory,
    theirs: &Properties,
) -> Result<Vec<(String, String)>> {
    let shared: Vec<_> =
        own.keys().filter(|name| theirs.contains_key(*name)).map(|name| (name.clone(), name.clone())).collect();
    if !shared.is_empty() {
        return Ok(shared);
    }
    let (one, another) = (main_labeller(run, own)?, main_labeller(other, theirs)?);
    Ok(one.zip(another).into_iter().collect())
}

/// The labeller that the record names, else the only one or the first.
fn main_labeller(run: &RunDirectory, own: &Properties) -> Result<Option<String>> {
    let record = run.record(LABEL)?;
    let recorded = record.as_ref().and_then(|record| record.config["labeller"].as_str());
    let found = recorded.filter(|name| own.contains_key(*name)).map(str::to_owned);
    Ok(found.or_else(|| own.keys().next().cloned()))
}
