use std::collections::BTreeMap;

use headspan_artifacts::{Fact, LabelRow, MetricRow, RunDirectory, Table, TextspanRow, read_rows};
use headspan_metrics::Comparison;
use headspan_query::{CURVE_METRICS, CurveMetric, Curves, curve, curve_chart};
use maud::{DOCTYPE, Markup, html};

use crate::{
    compare::{ComparedRow, labellers},
    error::Result,
    people::Agreement,
    report::{
        agreement::agreements,
        charts::{Bar, bars, style},
    },
};

/// Charts of the report: metric and title.
const CHARTS: [(&str, &str); 4] = [
    ("entanglement_repeated", "Entanglement: heads that repeat a property (lower is better)"),
    ("association_associated_heads", "Association: heads with at least 3 of 5 consistent texts (higher is better)"),
    ("entanglement_pairwise", "Chance that two heads share a property"),
    ("association_mean_consistency", "Mean share of consistent texts"),
];

/// Texts shown of a head.
const TEXTS: usize = 5;

/// The comparison of runs as one self-contained page.
pub(crate) fn comparison_page(
    dataset: &str,
    runs: &[RunDirectory],
    comparison: &Comparison,
    rows: &[ComparedRow],
    differences: &[(Fact, String)],
    agreed: &[Agreement],
) -> Result<String> {
    let mut heads = Vec::new();
    for run in runs {
        heads.push(head_table(run)?);
    }
    let by_layer = by_layer(rows, runs)?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "headspan: " (dataset) }
                (style())
            }
            body {
                h1 { "What the heads look at: " (dataset) }
                p.note {
                    (runs.len()) " models. Intervals are bootstrap intervals over heads. Models with more heads repeat "
                    "properties more often by chance: z compares entanglement with labels redrawn from the properties of "
                    "all models shown."
                }
                @for (_, told) in differences { p.warning { "Compare with care: " (told) "." } }
                @for (metric, title) in CHARTS { (chart(runs, comparison, metric, title)) }
                @for (metric, curves) in &by_layer { (curve_chart(metric, curves)) }
                h2 { "Figures" }
                (figures(comparison, rows))
                h2 { "Made with" }
                (made_with(rows, differences))
                (agreements(runs, agreed))
                h2 { "Heads by property" }
                (properties(runs, comparison))
                @for table in &heads { (table) }
            }
        }
    };
    Ok(page.into_string())
}

fn chart(runs: &[RunDirectory], comparison: &Comparison, metric: &str, title: &str) -> Markup {
    let mut rows = Vec::new();
    for run in runs {
        let model = run.id().model();
        for labeller in labellers(comparison, model) {
            let figure = comparison.figure(model, &labeller, metric);
            rows.push(Bar {
                label: format!("{model} ({labeller})"),
                value: figure.map(|figure| figure.0),
                interval: figure.and_then(|figure| figure.1),
            });
        }
    }
    // Imported labels have no judgements: a chart of nothing says nothing.
    if rows.iter().all(|row| row.value.is_none()) {
        return html! {};
    }
    bars(title, &rows)
}

/// Scores by layer, where some model has several layers: a line for each model and labeller.
fn by_layer(rows: &[ComparedRow], runs: &[RunDirectory]) -> Result<Vec<(CurveMetric, Curves)>> {
    let mut tables: BTreeMap<&str, Vec<MetricRow>> = BTreeMap::new();
    for run in runs {
        tables.insert(run.id().model(), read_rows(&run.table(Table::Metrics))?);
    }
    let lines = |metric: &CurveMetric| -> Curves {
        let line = |row: &ComparedRow| {
            let points = curve(tables.get(row.model.as_str())?, Some(&row.labeller), metric.metric);
            (points.len() > 1).then(|| (format!("{} ({})", row.model, row.labeller), points))
        };
        rows.iter().filter_map(line).collect()
    };
    let drawn = CURVE_METRICS.into_iter().map(|metric| (metric, lines(&metric)));
    Ok(drawn.filter(|(_, curves)| !curves.is_empty()).collect())
}

fn figures(comparison: &Comparison, rows: &[ComparedRow]) -> Markup {
    const COLUMNS: [(&str, &str); 9] = [
        ("heads", "heads"),
        ("labelled_heads", "labelled"),
        ("distinct_properties", "properties"),
        ("entanglement_repeated", "repeated"),
        ("entanglement_repeated_z", "z"),
        ("entanglement_shared_heads", "shared"),
        ("entanglement_pairwise", "pairwise"),
        ("association_associated_heads", "associated"),
        ("ccr", "CCR"),
    ];
    html! {
        div.scroll { table {
            thead { tr { th { "model" } th { "labeller" } @for (_, heading) in COLUMNS { th.number { (heading) } } } }
            tbody {
                @for row in rows {
                    tr {
                        td { (row.model) } td { (row.labeller) }
                        @for (metric, _) in COLUMNS {
                            @match comparison.figure(&row.model, &row.labeller, metric) {
                                Some((value, _)) if value.fract() == 0.0 && value.abs() >= 1.0 =>
                                    td.number { (format!("{value:.0}")) },
                                Some((value, _)) => td.number { (format!("{value:.3}")) },
                                None => td.none { "n/a" },
                            }
                        }
                    }
                }
            }
        } }
    }
}

/// What each row of figures was made with; what differs between rows stands out.
fn made_with(rows: &[ComparedRow], differences: &[(Fact, String)]) -> Markup {
    let differs = |fact: Fact| differences.iter().any(|(own, _)| *own == fact);
    html! {
        div.scroll { table {
            thead { tr { th { "model" } th { "labeller" } @for fact in Fact::ALL { th { (fact) } } } }
            tbody {
                @for row in rows {
                    tr {
                        td { (row.model) } td { (row.labeller) }
                        @for fact in Fact::ALL {
                            td.differs[differs(fact)] { (row.facts.get(fact).unwrap_or("–")) }
                        }
                    }
                }
            }
        } }
    }
}

fn properties(runs: &[RunDirectory], comparison: &Comparison) -> Markup {
    let mut counts: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
    for (labeller, property, model, heads) in comparison.property_rows() {
        counts.entry((labeller, property)).or_default().insert(model, heads);
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by_key(|(_, models)| std::cmp::Reverse(models.values().sum::<u64>()));
    html! {
        div.scroll { table {
            thead { tr { th { "property, as folded for the scores" } th { "labeller" } @for run in runs { th.number { (run.id().model()) } } } }
            tbody {
                @for ((labeller, property), models) in &rows {
                    tr {
                        td { (property) } td { (labeller) }
                        @for run in runs {
                            @match models.get(run.id().model()) {
                                Some(heads) => td.number { (heads) },
                                None => td.none { "–" },
                            }
                        }
                    }
                }
            }
        } }
    }
}

/// Heads of one model with their labels and first texts; runs of imported labels have no texts.
fn head_table(run: &RunDirectory) -> Result<Markup> {
    let labels: Vec<LabelRow> = read_rows(&run.table(Table::Labels))?;
    let texts: Vec<TextspanRow> = run.rows_if_there()?;
    let of_head = |label: &LabelRow| {
        let own = texts.iter().filter(|row| row.head_id() == label.head_id());
        own.take(TEXTS).map(|row| format!("{} ({:.0} %)", row.text, 100.0 * row.variance_share)).collect::<Vec<_>>()
    };
    Ok(html! {
        h2 { (run.id().model()) }
        (layers(&labels))
        div.scroll { table {
            thead { tr { th { "head" } th { "property" } th { "labeller" } th.number { "agreement" } th { "first texts (variance)" } } }
            tbody {
                @for label in &labels {
                    tr {
                        td { "L" (label.layer) ".H" (label.head) }
                        td { (label.property.as_deref().unwrap_or("no label")) }
                        td { (label.labeller) }
                        td.number { (label.agreement.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.2}"))) }
                        td { (of_head(label).join(" · ")) }
                    }
                }
            }
        } }
    })
}

/// The properties of all heads by layer, one table a labeller: a row a layer, a column a head.
fn layers(labels: &[LabelRow]) -> Markup {
    let mut by_labeller: BTreeMap<&str, BTreeMap<u32, BTreeMap<u32, &str>>> = BTreeMap::new();
    for label in labels {
        let property = label.property.as_deref().unwrap_or("–");
        by_labeller.entry(&label.labeller).or_default().entry(label.layer).or_default().insert(label.head, property);
    }
    html! {
        @for (labeller, layers) in &by_labeller {
            @let heads = layers.values().flat_map(|heads| heads.keys()).max().map_or(0, |head| head + 1);
            p.note { "Properties by layer and head (" (labeller) ")." }
            div.scroll { table {
                thead { tr { th { "layer" } @for head in 0..heads { th { "H" (head) } } } }
                tbody {
                    @for (layer, properties) in layers {
                        tr { td { "L" (layer) } @for head in 0..heads { td { (properties.get(&head).unwrap_or(&"")) } } }
                    }
                }
            } }
        }
    }
}
