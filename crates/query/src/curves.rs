//! Scores by layer as a chart, for the report and the explorer.

use std::collections::BTreeMap;

use headspan_artifacts::MetricRow;
use maud::{Markup, html};
use serde::Serialize;

/// Scores by layer, of several runs.
pub type Curves = BTreeMap<String, Vec<CurvePoint>>;

/// A score of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The layer, counted from the last, which is 0: models of different depth end together.
    pub layer: u32,
    /// The score.
    pub value: f64,
    /// Its bootstrap interval over the layer's heads.
    pub interval: Option<(f64, f64)>,
    /// Mean of the score when properties are redrawn at random.
    pub null_mean: Option<f64>,
}

/// A score that is drawn by layer.
#[derive(Debug, Clone, Copy)]
pub struct CurveMetric {
    /// Its name in `metrics.parquet`.
    pub metric: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What goes up.
    pub axis: &'static str,
}

/// The scores that are drawn by layer.
pub const CURVE_METRICS: [CurveMetric; 3] = [
    CurveMetric {
        metric: "entanglement_repeated",
        title: "Entanglement by layer, from the last (lower is better)",
        axis: "entanglement",
    },
    CurveMetric {
        metric: "association_associated_heads",
        title: "Association by layer, from the last (higher is better)",
        axis: "association",
    },
    CurveMetric {
        metric: "ccs_at_5",
        title: "CCS@5 by layer, from the last (higher is better)",
        axis: "share of heads",
    },
];

/// Points of one metric of one run and labeller, the last layer first.
pub fn curve(rows: &[MetricRow], labeller: Option<&str>, metric: &str) -> Vec<CurvePoint> {
    let own = rows.iter().filter(|row| row.scope == "layer" && Some(row.labeller.as_str()) == labeller);
    let own: Vec<&MetricRow> = own.collect();
    let last = own.iter().filter_map(|row| row.layer).max().unwrap_or(0);
    let nulls = format!("{metric}_null_mean");
    let value = |layer: u32, metric: &str| {
        own.iter().find(|row| row.layer == Some(layer) && row.metric == metric).and_then(|row| row.value)
    };
    let point = |row: &&&MetricRow| {
        let layer = row.layer?;
        let interval = row.ci_low.zip(row.ci_high);
        Some(CurvePoint { layer: last - layer, value: row.value?, interval, null_mean: value(layer, &nulls) })
    };
    let mut points: Vec<CurvePoint> =
        own.iter().filter(|row| row.metric == metric).filter_map(|row| point(&row)).collect();
    points.sort_by_key(|point| point.layer);
    points
}

/// Height and width of a chart, and what is left of and below the lines.
const HEIGHT: f64 = 260.0;
const WIDTH: f64 = 520.0;
const LEFT: f64 = 58.0;
const BELOW: f64 = 48.0;
/// What the scale of shares is marked at.
const MARKS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Layers that are named below a chart; of more, some are.
const NAMED: u32 = 6;

/// Lines over layers, with every value as text beside them for those who do not see lines. Each run has a colour, a dash and
/// a shape of its own; a whisker is the interval, a short line the mean of random labels.
pub fn curve_chart(metric: &CurveMetric, curves: &Curves) -> Markup {
    let CurveMetric { title, axis, .. } = metric;
    let layers = curves.values().flatten().map(|point| point.layer + 1).max().unwrap_or(1);
    let x = |layer: u32| {
        LEFT + 24.0 + (WIDTH - LEFT - 56.0) * f64::from(layers - 1 - layer) / f64::from((layers - 1).max(1))
    };
    let step = layers.div_ceil(NAMED);
    html! {
        section {
            h2 { (title) }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                @for value in MARKS {
                    line x1=(LEFT) x2=(WIDTH) y1=(y(value)) y2=(y(value)) class="rule" {}
                    text x=(LEFT - 6.0) y=(y(value) + 4.0) text-anchor="end" { (format!("{value:.2}")) }
                }
                @for layer in (0..layers).step_by(step as usize) {
                    text x=(x(layer)) y=(HEIGHT - BELOW + 16.0) text-anchor="middle" { (counted(layer)) }
                }
                text.axis x=(f64::midpoint(LEFT, WIDTH)) y=(HEIGHT - 8.0) text-anchor="middle" { "layer" }
                text.axis transform={ "translate(12 " (y(0.5)) ") rotate(-90)" } text-anchor="middle" { (axis) }
                @for (run, (name, points)) in curves.iter().enumerate() {
                    (line(run, name, points, &x, curves.len()))
                }
            }
            @if curves.values().flatten().any(|point| point.interval.is_some()) {
                p.note {
                    "A vertical line is the bootstrap interval over the layer's heads."
                    @if curves.values().flatten().any(|point| point.null_mean.is_some()) {
                        " A short horizontal line is the mean with properties drawn at random."
                    }
                }
            }
            (values(title, curves, layers))
        }
    }
}

fn y(value: f64) -> f64 {
    HEIGHT - BELOW - (HEIGHT - BELOW - 12.0) * value.clamp(0.0, 1.0)
}

/// One run's line. Its marks stand a little beside those of the other runs, so that whiskers can be told apart.
fn line(run: usize, name: &str, points: &[CurvePoint], x: &dyn Fn(u32) -> f64, runs: usize) -> Markup {
    const APART: f64 = 6.0;
    let beside = APART * (run as f64 - (runs as f64 - 1.0) / 2.0);
    let x = |point: &CurvePoint| x(point.layer) + beside;
    let corners: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point), y(point.value))).collect();
    html! {
        g.(format!("m{}", run % 6)) {
            polyline points=(corners.join(" ")) {}
            @for point in points {
                @if let Some((low, high)) = point.interval {
                    line.whisker x1=(x(point)) x2=(x(point)) y1=(y(low)) y2=(y(high)) {}
                }
                @if let Some(mean) = point.null_mean {
                    line.null x1=(x(point) - 6.0) x2=(x(point) + 6.0) y1=(y(mean)) y2=(y(mean)) {}
                }
                path d=(mark(run, x(point), y(point.value))) { title { (name) ", " (counted(point.layer)) ": " (in_words(point)) } }
            }
        }
    }
}

fn in_words(point: &CurvePoint) -> String {
    let interval = point.interval.map(|(low, high)| format!(" ({low:.3}–{high:.3})")).unwrap_or_default();
    let null = point.null_mean.map(|mean| format!(", random labels {mean:.3}")).unwrap_or_default();
    format!("{:.3}{interval}{null}", point.value)
}

fn values(title: &str, curves: &Curves, layers: u32) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) { table {
            thead { tr { th scope="col" { "model" } @for layer in (0..layers).rev() { th.number scope="col" { (counted(layer)) } } } }
            tbody { @for (run, (name, points)) in curves.iter().enumerate() { tr {
                th scope="row" {
                    svg.key viewBox="0 0 32 12" aria-hidden="true" { g.(format!("m{}", run % 6)) {
                        polyline points="0,6 32,6" {} path d=(mark(run, 16.0, 6.0)) {}
                    } }
                    " " (name)
                }
                @for layer in (0..layers).rev() {
                    @let point = points.iter().find(|point| point.layer == layer);
                    td.number { @if let Some(point) = point { span title=(in_words(point)) { (format!("{:.3}", point.value)) } } @else { "n/a" } }
                }
            } } }
        } }
    }
}

fn counted(layer: u32) -> String {
    if layer == 0 { "last".to_owned() } else { format!("last − {layer}") }
}

/// The shape that stands for a run: circle, square, diamond or triangle.
fn mark(run: usize, x: f64, y: f64) -> String {
    match run % 4 {
        0 => format!("M{:.1} {y:.1}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z", x - 4.5),
        1 => format!("M{:.1} {:.1}h8v8h-8z", x - 4.0, y - 4.0),
        2 => format!("M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z", y - 5.5),
        _ => format!("M{x:.1} {:.1}l5.5 9.5h-11z", y - 6.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(layer: u32, metric: &str, value: Option<f64>, interval: Option<(f64, f64)>) -> MetricRow {
        MetricRow {
            labeller: "lexicon".to_owned(),
            metric: metric.to_owned(),
            scope: "layer".to_owned(),
            layer: Some(layer),
            head: None,
            property: None,
            value,
            ci_low: interval.map(|interval| interval.0),
            ci_high: interval.map(|interval| interval.1),
            n: 4,
        }
    }

    #[test]
    fn points_count_from_the_last_layer_and_carry_interval_and_null() {
        let rows = [
            row(7, "entanglement_repeated", Some(0.5), Some((0.4, 0.6))),
            row(7, "entanglement_repeated_null_mean", Some(0.45), None),
            row(9, "entanglement_repeated", Some(0.25), None),
            row(8, "entanglement_repeated", None, None),
        ];
        let points = curve(&rows, Some("lexicon"), "entanglement_repeated");
        let [last, first] = points[..] else { panic!("{points:?}") };
        assert_eq!((last.layer, last.value, last.interval, last.null_mean), (0, 0.25, None, None));
        assert_eq!((first.layer, first.interval, first.null_mean), (2, Some((0.4, 0.6)), Some(0.45)));
        assert!(curve(&rows, Some("another"), "entanglement_repeated").is_empty());
    }

    #[test]
    fn a_chart_of_many_layers_names_some_and_lists_all() {
        let points =
            |layers: u32| (0..layers).map(|layer| CurvePoint { layer, value: 0.5, interval: None, null_mean: None });
        let curves = Curves::from([("deep".to_owned(), points(48).collect())]);
        let html = curve_chart(&CURVE_METRICS[0], &curves).into_string();
        assert_eq!(html.matches("text-anchor=\"middle\">last").count(), 6);
        assert!(html.contains("last − 47"));
    }
}
