//! Figures as SVG.

use maud::{Markup, PreEscaped, html};

use crate::publication::{
    document::{Chart, Line, Point},
    numbers::shown,
    scales::Scale,
};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
/// What is below the points: names of places, the name of the axis.
const BELOW: f64 = 60.0;
/// A line of the legend below it all.
const LEGEND_ROW: f64 = 20.0;
/// Room that a letter takes at most, at the size of the legend.
const LETTER: f64 = 7.2;
/// How far series stand apart at one place, so that their intervals can be told apart.
const APART: f64 = 6.0;
/// Series that differ in colour, dash and shape.
pub(crate) const KINDS: usize = 6;

/// Colours and strokes of a figure that stands alone. A figure within a page has those of the page.
const STYLE: &str = include_str!("figure.css");

/// A figure as a file of its own.
pub(crate) fn svg_file(chart: &Chart) -> String {
    let figure = Figure::new(chart);
    let file = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(figure.view()) width=(WIDTH) height=(figure.height()) {
            title { (chart.caption) }
            style { (PreEscaped(STYLE)) }
            rect.paper x="0" y="0" width=(WIDTH) height=(figure.height()) {}
            (figure.body())
        }
    };
    file.into_string() + "\n"
}

/// A figure within a page.
pub(crate) fn svg(chart: &Chart) -> Markup {
    let figure = Figure::new(chart);
    html! { svg.chart viewBox=(figure.view()) role="img" aria-label=(chart.caption) { (figure.body()) } }
}

struct Figure<'a> {
    chart: &'a Chart,
    x: Scale,
    y: Scale,
    /// Of each series, where its word in the legend begins: row and position.
    legend: Vec<(usize, f64)>,
}

impl<'a> Figure<'a> {
    fn new(chart: &'a Chart) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let ends = points().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            [low, point.y, high]
        });
        Self { chart, x: chart.across(), y: Scale::around(ends, 5), legend: legend(chart) }
    }

    fn height(&self) -> f64 {
        let rows = self.legend.iter().map(|(row, _)| row + 1).max().unwrap_or(0);
        HEIGHT + LEGEND_ROW * rows as f64
    }

    fn view(&self) -> String {
        format!("0 0 {WIDTH} {}", self.height())
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * self.x.share(x)
    }

    fn down(&self, y: f64) -> f64 {
        HEIGHT - BELOW - (HEIGHT - BELOW - TOP) * self.y.share(y)
    }

    fn body(&self) -> Markup {
        let chart = self.chart;
        let named = !chart.names.is_empty();
        // Names lean where they would meet.
        let leans = named
            && chart.names.iter().map(|name| name.chars().count()).sum::<usize>() as f64 * LETTER
                > WIDTH - LEFT - RIGHT - 60.0;
        html! {
            @for mark in &self.y.marks {
                line.rule x1=(LEFT) x2=(WIDTH - RIGHT) y1=(self.down(*mark)) y2=(self.down(*mark)) {}
                text x=(LEFT - 8.0) y=(self.down(*mark) + 4.0) text-anchor="end" { (self.mark(*mark)) }
            }
            @for mark in &self.x.marks {
                @let (x, y) = (self.across(*mark), HEIGHT - BELOW + 18.0);
                @if leans {
                    text.small transform=(format!("translate({x} {}) rotate(-45)", y - 4.0)) text-anchor="end" { (chart.place(*mark)) }
                } @else {
                    text x=(x) y=(y) text-anchor="middle" { (chart.place(*mark)) }
                }
            }
            text.axis x=(f64::midpoint(LEFT, WIDTH - RIGHT)) y=(HEIGHT - 8.0) text-anchor="middle" { (chart.x) }
            text.axis transform=(format!("translate(14 {}) rotate(-90)", f64::midpoint(TOP, HEIGHT - BELOW))) text-anchor="middle" { (chart.y) }
            @for (at, line) in chart.lines.iter().enumerate() { (self.line(at, line)) }
            @for (at, (line, (row, x))) in chart.lines.iter().zip(&self.legend).enumerate() {
                @let y = HEIGHT + LEGEND_ROW * *row as f64 + 8.0;
                g class=(kind(at)) {
                    @if line.joined { polyline points=(format!("{x},{y} {},{y}", x + 28.0)) {} }
                    @if !line.is_reference() { path d=(shape(at, x + 14.0, y)) {} }
                }
                text x=(x + 34.0) y=(y + 4.0) { (line.name) }
            }
        }
    }

    fn mark(&self, value: f64) -> String {
        let unit = self.chart.unit;
        let text = shown(value, unit);
        // Marks are round: what is behind the point says something only if some mark needs it.
        let is_whole = self.y.marks.iter().all(|mark| shown(*mark, unit).ends_with(".0"));
        if is_whole { text.trim_end_matches(".0").to_owned() } else { text }
    }

    fn line(&self, at: usize, line: &Line) -> Markup {
        let beside = APART * (at as f64 - (self.chart.lines.len() as f64 - 1.0) / 2.0);
        let x = |point: &Point| self.across(point.x) + beside;
        let corners: Vec<String> =
            line.points.iter().map(|point| format!("{:.1},{:.1}", x(point), self.down(point.y))).collect();
        html! {
            g class=(kind(at)) {
                @if line.joined { polyline points=(corners.join(" ")) {} }
                @for point in line.points.iter().filter(|_| !line.is_reference()) {
                    @if let Some((low, high)) = point.interval {
                        line.whisker x1=(x(point)) x2=(x(point)) y1=(self.down(low)) y2=(self.down(high)) {}
                    }
                    path d=(shape(at, x(point), self.down(point.y))) { title { (self.chart.told(line, point)) } }
                }
            }
        }
    }
}

/// Words of the legend, one after another, in as many rows as they need; nothing for a single series.
fn legend(chart: &Chart) -> Vec<(usize, f64)> {
    if chart.lines.len() < 2 {
        return Vec::new();
    }
    let (mut row, mut x) = (0, LEFT);
    let mut places = Vec::new();
    for line in &chart.lines {
        let width = 34.0 + LETTER * line.name.chars().count() as f64 + 20.0;
        if x > LEFT && x + width > WIDTH {
            (row, x) = (row + 1, LEFT);
        }
        places.push((row, x));
        x += width;
    }
    places
}

fn kind(at: usize) -> String {
    format!("m{}", at % KINDS)
}

/// Circle, square, diamond or triangle.
fn shape(at: usize, x: f64, y: f64) -> String {
    match at % 4 {
        0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", x - 4.0),
        1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        2 => format!("M{x:.1} {:.1}l5 5l-5 5l-5 -5z", y - 5.0),
        _ => format!("M{x:.1} {:.1}l5 9h-10z", y - 5.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::document::Unit;

    fn chart(names: &[&str], series: &[&str]) -> Chart {
        let points: Vec<Point> =
            (0..5).map(|at| Point { x: f64::from(at), y: 0.1 * f64::from(at), interval: Some((0.0, 0.9)) }).collect();
        Chart {
            name: "test",
            caption: "A <test> & more".to_owned(),
            x: "head",
            y: "accuracy (%)",
            unit: Unit::Percent,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            lines: series
                .iter()
                .map(|name| Line { name: (*name).to_owned(), points: points.clone(), joined: true })
                .collect(),
        }
    }

    /// All numbers of an attribute.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let before = format!(" {attribute}=\"");
        let pieces = svg.split(&before).skip(1);
        pieces.filter_map(|piece| piece.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn a_figure_is_whole_xml_and_nothing_lies_outside() -> Result<(), quick_xml::Error> {
        let names = ["L10.H10", "L10.H11", "a property that is long", "L3.H5", "L0.H0"];
        let series =
            ["texts that span the head", "as many texts drawn at random", "principal directions", "yet another one"];
        for (names, series) in [(&names[..], &series[..]), (&[][..], &series[..1])] {
            let svg = svg_file(&chart(names, series));
            let mut reader = quick_xml::Reader::from_str(&svg);
            while reader.read_event()? != quick_xml::events::Event::Eof {}
            let height = numbers(&svg, "height")[0];
            for (attribute, most) in
                [("x", WIDTH), ("x1", WIDTH), ("x2", WIDTH), ("y", height), ("y1", height), ("y2", height)]
            {
                let found = numbers(&svg, attribute);
                assert!(
                    !found.is_empty() && found.iter().all(|at| (0.0..=most).contains(at)),
                    "{attribute}: {found:?}"
                );
            }
            assert!(svg.contains("A &lt;test&gt; &amp; more") && svg.contains("20.0 (0.0 to 90.0)"), "{svg}");
            assert_eq!(svg.matches(".0</text>").count(), 0, "marks are whole");
        }
        Ok(())
    }

    #[test]
    fn long_legends_take_another_row() {
        let series =
            ["texts that span the head", "as many texts drawn at random", "principal directions", "yet another one"];
        let places = legend(&chart(&[], &series));
        assert_eq!(places.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert!(legend(&chart(&[], &series[..1])).is_empty());
    }
}
