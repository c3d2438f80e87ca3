//! Charts and heads as SVG files that stand alone: with their style, and a caption that says how they were made.

use std::collections::BTreeMap;

use headspan_artifacts::Fact;
use headspan_query::RunAccess;
use maud::{Markup, PreEscaped, html};

/// The light colours of the pages, written out: programs that set papers know no variables.
const STYLE: &str = include_str!("assets/figure.css");
/// Characters of a caption in a line of a figure as wide as this.
const PER_LINE: f64 = 5.4;
/// Height of a line of the caption.
const LINE: f64 = 15.0;
const MARGIN: f64 = 16.0;
/// Width of a letter of a title.
const PER_LETTER: f64 = 8.0;
/// Keys of a legend beside each other, and their width.
const KEYS: usize = 3;
const KEY: f64 = 175.0;

/// A figure before it has its caption.
pub(super) struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    pub(super) caption: String,
    /// What is drawn, in units of `width` and `height`.
    pub(super) body: Markup,
}

impl Drawing {
    /// The file.
    pub(super) fn file(&self) -> String {
        let lines = wrapped(&self.caption, ((self.width - 2.0 * MARGIN) / PER_LINE) as usize);
        let height = self.height + LINE * lines.len() as f64 + 2.0 * MARGIN;
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(self.width) height=(height) viewBox={ "0 0 " (self.width) " " (height) } role="img" {
                title { (self.title) }
                desc { (self.caption) }
                style { (PreEscaped(STYLE)) }
                rect width=(self.width) height=(height) fill="#ffffff" {}
                (self.body)
                @for (number, line) in lines.iter().enumerate() {
                    text.caption x=(MARGIN) y=(self.height + MARGIN + LINE * number as f64 + 4.0) { (line) }
                }
            }
        };
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", svg.into_string())
    }

    /// The chart of this number, from 1, on a page; its caption says no more than its title.
    pub(super) fn of_page(html: &str, number: usize) -> Option<Self> {
        let begin = html.match_indices("<svg class=\"chart\"").nth(number.checked_sub(1)?)?.0;
        let chart = &html[begin..begin + html[begin..].find("</svg>")? + "</svg>".len()];
        let title = unescaped(between(chart, "aria-label=\"", "\"")?);
        let size: Vec<f64> =
            between(chart, "viewBox=\"", "\"")?.split(' ').filter_map(|side| side.parse().ok()).collect();
        let [_, _, width, height] = size[..] else { return None };
        let heading = wrapped(&title, ((width - MARGIN) / PER_LETTER) as usize);
        let top = 14.0 + 18.0 * heading.len() as f64;
        let names = legend(chart);
        let place =
            format!("<svg x=\"{MARGIN}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" overflow=\"visible\" ");
        let placed = chart.replacen("<svg ", &place, 1);
        let body = html! {
            @for (line, words) in heading.iter().enumerate() { text.title x=(MARGIN) y=(22.0 + 18.0 * line as f64) { (words) } }
            (PreEscaped(without_links(&placed)))
            @for (number, (class, name)) in names.iter().enumerate() {
                @let x = MARGIN + KEY * (number % KEYS) as f64;
                @let y = top + height + LINE * (number / KEYS) as f64 + 8.0;
                g.(class) {
                    @if class.starts_with('m') { line.key x1=(x) x2=(x + 26.0) y1=(y - 4.0) y2=(y - 4.0) {} }
                    @else { circle.dot cx=(x + 18.0) cy=(y - 4.0) r="5" {} }
                    text.caption x=(x + 32.0) y=(y) { (name) }
                }
            }
        };
        let below = LINE * names.len().div_ceil(KEYS) as f64;
        Some(Self { width: width + 2.0 * MARGIN, height: top + height + below, caption: title.clone(), title, body })
    }
}

/// What figures of some runs were made with, in a sentence each.
pub(super) fn made_with<'a>(runs: impl Iterator<Item = &'a (dyn RunAccess + 'a)>) -> String {
    let one = |access: &dyn RunAccess| {
        let facts = access.facts();
        let known = Fact::ALL.into_iter().filter_map(|fact| Some(format!("{fact} {}", facts.get(fact)?)));
        let known: Vec<String> = known.collect();
        let name = access.run().name();
        if known.is_empty() { format!("{name}.") } else { format!("{name}: {}.", known.join(", ")) }
    };
    let told: Vec<String> = runs.map(one).collect();
    format!("Made with headspan {}. {}", env!("CARGO_PKG_VERSION"), told.join(" "))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// What the colours of a chart stand for, by their classes: runs, which the first mark of each line names, or properties, which each point names.
fn legend(chart: &str) -> Vec<(String, String)> {
    let line = |group: &str| {
        let name = between(group, "<title>", ", last")?;
        Some((format!("m{}", group.split('"').next()?), unescaped(name)))
    };
    let lines: Vec<_> = chart.split("<g class=\"m").skip(1).filter_map(line).collect();
    if !lines.is_empty() {
        return lines;
    }
    let point = |link: &str| {
        let told = between(link, "<title>", "</title>")?.split_once(": ")?.1;
        // Behind the property, which may have commas, stand two numbers.
        let name = told.rsplitn(3, ", ").nth(2)?;
        Some((unescaped(name), format!("p{}", link.split('"').next()?)))
    };
    let points: BTreeMap<String, String> = chart.split("<a class=\"p").skip(1).filter_map(point).collect();
    points.into_iter().map(|(name, class)| (class, name)).collect()
}

/// Links lead to pages that a file does not have beside it.
fn without_links(chart: &str) -> String {
    let mut plain = String::with_capacity(chart.len());
    let mut rest = chart;
    while let Some((before, after)) = rest.split_once(" href=\"") {
        plain.push_str(before);
        rest = after.split_once('"').map_or("", |(_, after)| after);
    }
    plain + rest
}

/// Text of an attribute or an element.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + word.chars().count() >= width.max(10) {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "<p><svg class=\"bar\"></svg><svg class=\"chart\" viewBox=\"0 0 520 300\" role=\"img\" aria-label=\"A &amp; B\">\
        <g class=\"m1\"><path><title>one/two, last: 0.5</title></path></g></svg>";
    const POINTS: &str = "<svg class=\"chart\" viewBox=\"0 0 520 300\" aria-label=\"P\"><a class=\"p3\" href=\"/r/x\"><circle>\
        <title>L1.H2: reds, warm &lt;, 0.10, 0.60</title></circle></a></svg>";

    #[test]
    fn a_chart_stands_alone_with_its_legend() {
        let file = |page: &str| Drawing::of_page(page, 1).map(|drawing| drawing.file()).unwrap_or_default();
        let lines = file(LINES);
        assert!(lines.starts_with("<?xml") && lines.contains("xmlns=") && lines.contains("<style>"), "{lines}");
        assert!(lines.contains("<desc>A &amp; B</desc>") && lines.contains(">one/two</text>"), "{lines}");
        let points = file(POINTS);
        assert!(!points.contains("href") && points.contains(">reds, warm &lt;</text>"), "{points}");
        assert!(Drawing::of_page(LINES, 2).is_none() && Drawing::of_page(LINES, 0).is_none());
    }

    #[test]
    fn captions_are_wrapped_at_blanks() {
        assert_eq!(wrapped("one two three four", 12), ["one two", "three four"]);
        assert_eq!(wrapped("", 12), [""]);
    }
}
