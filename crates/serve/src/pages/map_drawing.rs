//! The points of a map, as a picture and as numbers.

use maud::{Markup, html};

use super::{
    map::{Drawn, MapPage, NO_CLASS},
    ticks::Ticks,
};
use crate::ask_map::Color;

/// Height and width of the picture, and what is left and below of it for numbers.
const HEIGHT: f64 = 460.0;
const WIDTH: f64 = 760.0;
const LEFT: f64 = 58.0;
const FOOT: f64 = 44.0;
/// Points of the picture that needs no script.
const SAMPLE: usize = 600;
/// Colours that the style knows.
const COLORS: u16 = 12;
/// Steps of the scale of values.
const STEPS: usize = 6;

/// The points in columns ([`MapPage::bytes`]).
pub(super) fn points(drawn: &Drawn) -> Vec<u8> {
    let count = drawn.map.points.len();
    let mut bytes = Vec::with_capacity(4 + count * 18);
    bytes.extend((count as u32).to_le_bytes());
    for axis in 0..2 {
        bytes.extend(drawn.map.points.iter().flat_map(|point| point[axis].to_le_bytes()));
    }
    bytes.extend(drawn.values.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(drawn.map.images.iter().flat_map(|image| (*image as u32).to_le_bytes()));
    bytes.extend(drawn.class.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// A picture of some of the points, in whose place a script puts one of all of them.
pub(super) fn scatter(shown: &MapPage, path: &str) -> Markup {
    let Some(drawn) = &shown.drawn else { return html! {} };
    let points = &drawn.map.points;
    let range = |axis: usize| {
        let values = || points.iter().map(|point| f64::from(point[axis]));
        Ticks::over(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max), false)
    };
    let (across, up) = (range(0), range(1));
    let ends = |ticks: &Ticks| format!("{} {}", ticks.at[0], ticks.at[ticks.at.len() - 1]);
    let column = |value: f64| LEFT + (WIDTH - LEFT - 12.0) * across.place(value);
    let row = |value: f64| 8.0 + (HEIGHT - 8.0 - FOOT) * (1.0 - up.place(value));
    let step = points.len().div_ceil(SAMPLE).max(1);
    let shades = shades(&drawn.values);
    html! {
        figure.head-map data-points={ (path) ".bin?" (shown.query_without_part()) } data-across=(ends(&across)) data-up=(ends(&up)) data-left=(LEFT) data-foot=(FOOT)
            data-color=(if shown.color == Color::Class { "class" } else { "value" }) data-classes=(serde_json::to_string(&shown.classes).unwrap_or_default()) {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ "Images on the principal components " (shown.across) " and " (shown.up) } {
                @for value in &up.at {
                    line x1=(LEFT) x2=(WIDTH) y1=(place(row(*value))) y2=(place(row(*value))) class="rule" {}
                    text x=(LEFT - 6.0) y=(place(row(*value) + 4.0)) text-anchor="end" { (up.text(*value)) }
                }
                @for value in &across.at {
                    line x1=(place(column(*value))) x2=(place(column(*value))) y1="8" y2=(HEIGHT - FOOT) class="rule" {}
                    text x=(place(column(*value))) y=(HEIGHT - FOOT + 14.0) text-anchor="middle" { (across.text(*value)) }
                }
                text.axis x=(f64::midpoint(LEFT, WIDTH)) y=(HEIGHT - 8.0) text-anchor="middle" { "principal component " (shown.across) }
                text.axis transform={ "translate(12 " (f64::midpoint(8.0, HEIGHT - FOOT)) ") rotate(-90)" } text-anchor="middle" { "principal component " (shown.up) }
                g.points { @for (at, point) in points.iter().enumerate().step_by(step) {
                    circle.dot.(style_of(shown, drawn, &shades, at)) cx=(place(column(f64::from(point[0])))) cy=(place(row(f64::from(point[1])))) r="3" {}
                } }
            }
            figcaption.hint {
                span.drawn { @if step > 1 { "Every " (step) @if step == 2 { "nd" } @else if step == 3 { "rd" } @else { "th" } " image of " (points.len()) } @else { (points.len()) " images" } } ". "
                @if shown.color == Color::Value { "Colour: value along " (shown.along) ", from " span.step.s0 { "small" } " to " span.step.s5 { "large" } "." }
                @else {
                    @if shown.classes.len() > usize::from(COLORS) { "Colour: class; some share a colour. " } @else { "Colour: class. " }
                    @for (number, class) in shown.classes.iter().take(usize::from(COLORS)).enumerate() { span.tag.{ "p" (number) } { (class) } " " }
                }
            }
        }
    }
}

fn place(value: f64) -> String {
    format!("{value:.1}")
}

/// Class of the style that colours a point.
fn style_of(shown: &MapPage, drawn: &Drawn, shades: &[f32], at: usize) -> String {
    match (shown.color, drawn.class[at]) {
        (Color::Class, NO_CLASS) => "p-none".to_owned(),
        (Color::Class, number) => format!("p{}", number % COLORS),
        (Color::Value, _) => format!("s{}", shades.iter().filter(|bound| drawn.values[at] > **bound).count()),
    }
}

/// Bounds between steps of the scale, each with as many values below it.
fn shades(values: &[f32]) -> Vec<f32> {
    let mut ordered: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
    ordered.sort_by(f32::total_cmp);
    (1..STEPS).filter_map(|step| ordered.get(step * ordered.len() / STEPS).copied()).collect()
}
