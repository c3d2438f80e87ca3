use std::collections::BTreeSet;

use headspan_artifacts::MetricRow;
use headspan_query::{CURVE_METRICS, curve};

use crate::publication::{
    document::{Cell, Chart, Heading, Line, Point, Section, Unit, defined, heading},
    sections::{Question, section, table},
};

/// Name in `metrics.parquet`, heading, unit.
fn columns() -> [(&'static str, Heading, Unit); 7] {
    [
        ("heads", heading("heads", "heads"), Unit::Count),
        ("labelled_heads", heading("labelled_heads", "labelled"), Unit::Count),
        ("distinct_properties", defined("distinct_properties", "properties", "property"), Unit::Count),
        ("entanglement_repeated", defined("entanglement", "entanglement ↓", "entanglement"), Unit::Plain(3)),
        ("entanglement_repeated_z", defined("entanglement_z", "z", "z"), Unit::Plain(2)),
        ("association_associated_heads", defined("association", "association ↑", "association"), Unit::Plain(3)),
        ("ccs_at_5", defined("ccs_at_5", "CCS@5", "ccs"), Unit::Plain(3)),
    ]
}

/// Entanglement and association of the model, and by layer.
pub(super) fn scores(question: &Question<'_>, metrics: &[MetricRow]) -> Section {
    let mut section = section(
        "scores",
        "Entanglement and association",
        question.command("metrics", ""),
        "Entanglement says how many heads repeat a property, association how well the texts of a head fit its property. Intervals are bootstrap intervals over heads.",
    );
    let labellers: BTreeSet<&str> = metrics.iter().map(|row| row.labeller.as_str()).collect();
    let columns = columns();
    let row = |labeller: &str| {
        let cell = |name: &str, unit| {
            let is_own = |row: &&MetricRow| row.labeller == labeller && row.scope == "model" && row.metric == name;
            let found = metrics.iter().find(is_own);
            let interval = found.and_then(|row| row.ci_low.zip(row.ci_high));
            Cell::within(found.and_then(|row| row.value), interval, unit)
        };
        let figures = columns.iter().map(|(name, _, unit)| cell(name, *unit));
        std::iter::once(Cell::text(labeller)).chain(figures).collect()
    };
    let rows = labellers.iter().map(|labeller| row(labeller)).collect();
    let headings = std::iter::once(defined("labeller", "labeller", "labels-by"));
    let headings = headings.chain(columns.iter().map(|(_, heading, _)| *heading)).collect();
    section.tables.extend(table("scores", "Entanglement and association", headings, rows));
    section.charts.extend(by_layer(metrics, &labellers));
    section
}

/// A line for each score and labeller; nothing of a model with one layer.
fn by_layer(metrics: &[MetricRow], labellers: &BTreeSet<&str>) -> Option<Chart> {
    let last = metrics.iter().filter(|row| row.scope == "layer").filter_map(|row| row.layer).max()?;
    let mut lines = Vec::new();
    for (metric, labeller) in
        CURVE_METRICS.iter().flat_map(|metric| labellers.iter().map(move |labeller| (metric, labeller)))
    {
        let points = curve(metrics, Some(labeller), metric.metric);
        let points: Vec<Point> = points
            .iter()
            .map(|point| Point { x: f64::from(last - point.layer), y: point.value, interval: point.interval })
            .collect();
        if points.len() > 1 {
            let name = metric.metric.split('_').next().unwrap_or(metric.metric);
            let name = if name == "ccs" { "CCS@5" } else { name };
            let name = if labellers.len() > 1 { format!("{name} ({labeller})") } else { name.to_owned() };
            lines.push(Line { name, points, joined: true });
        }
    }
    (!lines.is_empty()).then(|| Chart {
        name: "scores-by-layer",
        caption: "Scores by layer, counted from 0. Vertical lines are bootstrap intervals over the layer's heads."
            .to_owned(),
        x: "layer",
        y: "score",
        unit: Unit::Plain(2),
        names: Vec::new(),
        lines,
    })
}
