//! Labels of one run by several labellers, people among them.

use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, LabelRow, RunDirectory};
use headspan_metrics::{AgreementRow, StabilityRow, agreements, alpha_with_interval, stability_rows};
use headspan_notes::{Notes, names};

use super::folded;
use crate::{error::Result, people::texts_of, settings::Settings, stages::synonyms};

/// Nothing of a run with one labeller about which nobody has said anything.
pub(super) fn rows(settings: &Settings, run: &RunDirectory) -> Result<Vec<StabilityRow>> {
    let fold = folded(settings)?;
    let labels: Vec<LabelRow> = run.rows_if_there()?;
    let (notes, texts) = (Notes::read(run)?, texts_of(settings, run)?);
    let mut raters: BTreeMap<String, BTreeMap<HeadId, String>> = BTreeMap::new();
    for row in &labels {
        let rater = raters.entry(row.labeller.clone()).or_default();
        if let Some(property) = &row.property {
            rater.insert(row.head_id(), fold(property));
        }
    }
    // Names that people gave without sight of a label; a label that somebody confirmed agrees by its making.
    for ((author, head), name) in names(&notes, Some(&texts)) {
        raters.entry(author).or_default().insert(head, fold(&name));
    }
    let mut rows = Vec::new();
    if raters.len() > 1 {
        rows.push(alpha(settings, &raters));
        rows.extend(pairs(settings, &raters));
    }
    let scores = &settings.metrics.scores;
    rows.extend(agreements(&labels, &texts, &notes, scores, &synonyms(settings)?).iter().map(kappa));
    Ok(rows)
}

fn alpha(settings: &Settings, raters: &BTreeMap<String, BTreeMap<HeadId, String>>) -> StabilityRow {
    let heads: std::collections::BTreeSet<&HeadId> = raters.values().flat_map(BTreeMap::keys).collect();
    let unit = |head: &&HeadId| raters.values().map(|rater| rater.get(*head).cloned()).collect::<Vec<_>>();
    let units: Vec<Vec<Option<String>>> = heads.iter().map(unit).collect();
    let alpha = alpha_with_interval(&units, &settings.metrics.scores);
    StabilityRow {
        kind: "labellers",
        compared: raters.keys().cloned().collect::<Vec<_>>().join(", "),
        head: None,
        metric: "krippendorff_alpha",
        value: alpha.map(|alpha| alpha.0),
        interval: alpha.and_then(|alpha| alpha.1),
        n: units.iter().filter(|unit| unit.iter().flatten().count() > 1).count() as u64,
    }
}

/// Share of equal labels of every two.
fn pairs(settings: &Settings, raters: &BTreeMap<String, BTreeMap<HeadId, String>>) -> Vec<StabilityRow> {
    let mut rows = Vec::new();
    for (at, (first, one)) in raters.iter().enumerate() {
        for (second, other) in raters.iter().skip(at + 1) {
            let same =
                |(head, name): (&HeadId, &String)| Some((*head, (f64::from(u8::from(name == other.get(head)?)), 1)));
            let heads = one.iter().filter_map(same).collect();
            let compared = format!("{first}, {second}");
            rows.extend(stability_rows(("labellers", &compared, "same_property"), &heads, &settings.metrics.scores));
        }
    }
    rows
}

fn kappa(row: &AgreementRow) -> StabilityRow {
    let metric = match row.about {
        headspan_metrics::About::Texts => "kappa_texts",
        headspan_metrics::About::Names => "kappa_names",
    };
    StabilityRow {
        kind: "labellers",
        compared: row.labellers.join(", "),
        head: None,
        metric,
        value: row.kappa,
        interval: row.interval,
        n: row.n,
    }
}
