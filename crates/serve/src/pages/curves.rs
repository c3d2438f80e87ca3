use std::collections::BTreeMap;

use maud::{Markup, html};

/// Scores by layer, of several runs: each run's points as the layer, counted from the last, and the score.
pub(super) type Curves = BTreeMap<String, Vec<(u32, f64)>>;

/// Height and width of a chart, and what is left of and below the lines.
const HEIGHT: f64 = 260.0;
const WIDTH: f64 = 520.0;
const LEFT: f64 = 58.0;
const BELOW: f64 = 48.0;
/// What the scale of shares is marked at.
const MARKS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Lines over layers, with every value as text beside them for those who do not see lines. Each run has a colour, a dash and
/// a shape of its own. `axis` names what goes up.
pub(super) fn chart(title: &str, axis: &str, curves: &Curves) -> Markup {
    let layers = curves.values().flatten().map(|(layer, _)| layer + 1).max().unwrap_or(1);
    let x = |layer: u32| {
        LEFT + 24.0 + (WIDTH - LEFT - 56.0) * f64::from(layers - 1 - layer) / f64::from((layers - 1).max(1))
    };
    let y = |value: f64| HEIGHT - BELOW - (HEIGHT - BELOW - 12.0) * value.clamp(0.0, 1.0);
    html! {
        section {
            h2 { (title) }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                @for value in MARKS {
                    line x1=(LEFT) x2=(WIDTH) y1=(y(value)) y2=(y(value)) class="rule" {}
                    text x=(LEFT - 6.0) y=(y(value) + 4.0) text-anchor="end" { (format!("{value:.2}")) }
                }
                @for layer in 0..layers {
                    text x=(x(layer)) y=(HEIGHT - BELOW + 16.0) text-anchor="middle" { (counted(layer)) }
                }
                text.axis x=(f64::midpoint(LEFT, WIDTH)) y=(HEIGHT - 8.0) text-anchor="middle" { "layer" }
                text.axis transform={ "translate(12 " (y(0.5)) ") rotate(-90)" } text-anchor="middle" { (axis) }
                @for (run, (name, points)) in curves.iter().enumerate() {
                    g.(format!("m{}", run % 6)) {
                        polyline points=(points.iter().map(|(layer, value)| format!("{:.1},{:.1}", x(*layer), y(*value))).collect::<Vec<_>>().join(" ")) {}
                        @for (layer, value) in points {
                            path d=(mark(run, x(*layer), y(*value))) { title { (name) ", " (counted(*layer)) ": " (format!("{value:.3}")) } }
                        }
                    }
                }
            }
            (values(title, curves, layers))
        }
    }
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
                    @let value = points.iter().find(|(own, _)| *own == layer);
                    td.number { @if let Some((_, value)) = value { (format!("{value:.3}")) } @else { "n/a" } }
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
