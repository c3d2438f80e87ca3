//! A number for each head, as squares by layer and head: SVG, CSV and LaTeX.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::publication::{
    document::{Unit, csv},
    latex::escaped,
    numbers::{plain, shown},
};

/// A number for each head.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    /// What the number is: its column in CSV.
    pub(crate) value: &'static str,
    pub(crate) unit: Unit,
    pub(crate) squares: Vec<Square>,
}

/// The number of one head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Square {
    pub(crate) layer: u32,
    pub(crate) head: u32,
    pub(crate) value: f64,
}

const WIDTH: f64 = 640.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 24.0;
const ROW: f64 = 26.0;
/// A number stands in its square where it fits.
const NARROWEST: f64 = 30.0;
const STYLE: &str = include_str!("figure.css");
/// The strongest colour. Ink on it keeps a contrast that people can read, on light and on dark.
const STRONGEST: f64 = 0.45;

impl Matrix {
    /// Layers that have heads here, from the first.
    fn layers(&self) -> Vec<u32> {
        let mut layers: Vec<u32> = self.squares.iter().map(|square| square.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        layers
    }

    /// Number of columns.
    fn heads(&self) -> u32 {
        self.squares.iter().map(|square| square.head + 1).max().unwrap_or(1)
    }

    /// How strong the colour of a value is, 0 to 1: a loss below zero has none.
    fn strength(&self, value: f64) -> f64 {
        let most = self.squares.iter().map(|square| square.value).fold(0.0, f64::max);
        if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn height(&self) -> f64 {
        TOP + ROW * self.layers().len() as f64 + 4.0
    }

    fn view(&self) -> String {
        format!("0 0 {WIDTH} {}", self.height())
    }

    /// A figure within a page.
    pub(crate) fn svg(&self) -> Markup {
        html! { svg.chart viewBox=(self.view()) role="img" aria-label=(self.caption) { (self.body()) } }
    }

    /// A figure as a file of its own.
    pub(crate) fn svg_file(&self) -> String {
        let file = html! {
            (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(self.view()) width=(WIDTH) height=(self.height()) {
                title { (self.caption) }
                style { (PreEscaped(STYLE)) }
                rect.paper x="0" y="0" width=(WIDTH) height=(self.height()) {}
                (self.body())
            }
        };
        file.into_string() + "\n"
    }

    fn body(&self) -> Markup {
        let width = (WIDTH - LEFT) / f64::from(self.heads());
        let x = |head: u32| LEFT + width * f64::from(head);
        let layers = self.layers();
        let y = |layer: u32| TOP + ROW * layers.iter().position(|own| *own == layer).unwrap_or(0) as f64;
        // Names of columns leave out some where they would meet.
        let step = (NARROWEST / width).ceil().max(1.0) as usize;
        html! {
            @for head in (0..self.heads()).step_by(step) {
                text x=(x(head) + width / 2.0) y=(TOP - 8.0) text-anchor="middle" { "H" (head) }
            }
            @for layer in &layers {
                text x=(LEFT - 8.0) y=(y(*layer) + ROW / 2.0 + 4.0) text-anchor="end" { "L" (layer) }
            }
            @for square in &self.squares {
                @let told = format!("L{}.H{}: {}", square.layer, square.head, shown(square.value, self.unit));
                g.m0 {
                    rect.square x=(x(square.head)) y=(y(square.layer)) width=(width - 1.0) height=(ROW - 1.0)
                        fill="currentColor" fill-opacity=(format!("{:.3}", STRONGEST * self.strength(square.value))) { title { (told) } }
                }
                @if width >= NARROWEST {
                    text.axis x=(x(square.head) + width / 2.0) y=(y(square.layer) + ROW / 2.0 + 4.0) text-anchor="middle" pointer-events="none" {
                        (shown(square.value, self.unit))
                    }
                }
            }
        }
    }

    /// A row for each head.
    pub(crate) fn to_csv(&self) -> Result<Vec<u8>, ::csv::Error> {
        let header = ["layer", "head", self.value].map(str::to_owned);
        let rows = self.squares.iter();
        csv(&header, rows.map(|square| vec![square.layer.to_string(), square.head.to_string(), plain(square.value)]))
    }

    /// A floating figure of squares; `made` and `label` stand below it.
    pub(crate) fn to_tex(&self, made: &str, label: &str) -> String {
        let layers = self.layers();
        let mut out = String::from("\\begin{figure}[htbp]\n\\centering\n");
        let _ =
            writeln!(out, "\\begin{{tikzpicture}}[x={{0.9\\linewidth/{}}}, y=0.55cm, font=\\scriptsize]", self.heads());
        for head in 0..self.heads() {
            let _ = writeln!(out, "\\node at ({head}, 1) {{H{head}}};");
        }
        for (row, layer) in layers.iter().enumerate() {
            let _ = writeln!(out, "\\node at (-1, -{row}) {{L{layer}}};");
            for square in self.squares.iter().filter(|square| square.layer == *layer) {
                let strength = (100.0 * STRONGEST * self.strength(square.value)).round();
                let _ = writeln!(
                    out,
                    "\\fill[blue!{strength}] ({left}, {low}) rectangle ({right}, {high}); \\node at ({head}, -{row}) {{${value}$}};",
                    left = f64::from(square.head) - 0.48,
                    right = f64::from(square.head) + 0.48,
                    low = -(row as f64) - 0.46,
                    high = -(row as f64) + 0.46,
                    head = square.head,
                    value = shown(square.value, self.unit),
                );
            }
        }
        let _ = writeln!(
            out,
            "\\end{{tikzpicture}}\n\\caption{{{} {}}}{label}\n\\end{{figure}}",
            escaped(&self.caption),
            escaped(made)
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(heads: u32) -> Matrix {
        let squares = (0..heads)
            .flat_map(|head| [4, 11].map(|layer| Square { layer, head, value: f64::from(head) / 100.0 - 0.01 }))
            .collect();
        Matrix { name: "m", caption: "Losses & gains".to_owned(), value: "loss", unit: Unit::Percent, squares }
    }

    #[test]
    fn squares_are_whole_xml_and_lie_inside() -> Result<(), quick_xml::Error> {
        for heads in [2, 16, 40] {
            let svg = matrix(heads).svg_file();
            let mut reader = quick_xml::Reader::from_str(&svg);
            while reader.read_event()? != quick_xml::events::Event::Eof {}
            let matrix = matrix(heads);
            let width = (WIDTH - LEFT) / f64::from(heads);
            assert_eq!(svg.matches("class=\"square\"").count(), 2 * heads as usize);
            assert!(LEFT + width * f64::from(heads) <= WIDTH && TOP + 2.0 * ROW <= matrix.height());
            assert!(svg.contains("Losses &amp; gains") && svg.contains("L11.H1: 0.0"), "{svg}");
            // Numbers stand in squares alone that are wide enough.
            assert_eq!(svg.contains(">-1.0</text>"), width >= NARROWEST, "{heads}");
        }
        Ok(())
    }

    #[test]
    fn the_largest_value_is_the_strongest_and_a_gain_has_no_colour() {
        let matrix = matrix(3);
        assert!((matrix.strength(0.01) - 1.0).abs() < 1e-12 && matrix.strength(-0.01).abs() < 1e-12);
        let tex = matrix.to_tex("Made by a_b.", "\\label{fig:m}");
        assert!(
            tex.contains("\\fill[blue!45] (1.52, -0.46) rectangle (2.48, 0.46)") && tex.contains("{$1.0$}"),
            "{tex}"
        );
        assert!(tex.contains("\\caption{Losses \\& gains Made by a\\_b.}\\label{fig:m}"), "{tex}");
        let none = Matrix { squares: vec![Square { layer: 0, head: 0, value: 0.0 }], ..matrix };
        assert!(none.strength(0.0).abs() < 1e-12);
    }
}
