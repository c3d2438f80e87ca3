//! A report as LaTeX: tables with booktabs, figures with pgfplots, and a document that includes all of them.

use std::fmt::Write as _;

use crate::publication::{
    document::{Cell, Chart, DataTable, Document, Line, Section, Unit},
    numbers::{plain, shown},
};

/// The files of a paper.
#[derive(Debug)]
pub(crate) struct Paper {
    /// Names below the folder of the paper, with the contents.
    pub(crate) files: Vec<(String, String)>,
    /// `main.tex`, which includes all of them.
    pub(crate) main: String,
}

/// Rows that fit on a page, and rows of lines that break. All of them are in the data beside the report.
const ROWS: usize = 30;
const LONG_ROWS: usize = 15;

const PREAMBLE: &str = "\
% Written by headspan report --paper. Copy what you need: every file in tables/ and figures/ stands alone.
\\documentclass{article}
\\usepackage[T1]{fontenc}
\\usepackage[utf8]{inputenc}
\\usepackage[margin=2.4cm]{geometry}
\\usepackage{textcomp}
\\usepackage{booktabs}
\\usepackage{pgfplots}
\\pgfplotsset{compat=1.16}
\\begin{document}
";

impl Paper {
    pub(crate) fn new(documents: &[Document]) -> Self {
        let (mut files, mut main) = (Vec::new(), PREAMBLE.to_owned());
        for document in documents {
            let title = format!("{} over {}", document.model, document.dataset);
            let _ = writeln!(main, "\n\\section{{{}}}", escaped(&title));
            for section in &document.sections {
                for chart in &section.charts {
                    let name = format!("figures/{}-{}.tex", document.model, chart.name);
                    let _ = writeln!(main, "\\input{{\"{name}\"}}");
                    files.push((name, figure(document, section, chart)));
                }
                for matrix in &section.matrices {
                    let name = format!("figures/{}-{}.tex", document.model, matrix.name);
                    let _ = writeln!(main, "\\input{{\"{name}\"}}");
                    files.push((name, matrix.to_tex(&document.made(section), &label(document, "fig", matrix.name))));
                }
                for table in &section.tables {
                    let name = format!("tables/{}-{}.tex", document.model, table.name);
                    let _ = writeln!(main, "\\input{{\"{name}\"}}");
                    files.push((name, tabular(document, table)));
                }
            }
            main.push_str("\\clearpage\n");
        }
        main.push_str("\\end{document}\n");
        Self { files, main }
    }
}

/// Text that stands for itself in LaTeX. A sign that the fonts of the preamble lack becomes a question mark.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for sign in text.chars() {
        match sign {
            // Two in a row, as before a flag, would become a dash.
            '-' if out.ends_with('-') => out.push_str("{}-"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', sign]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '"' => out.push_str("\\textquotedbl{}"),
            '–' => out.push_str("--"),
            '—' => out.push_str("---"),
            '’' => out.push('\''),
            '×' => out.push_str("\\texttimes{}"),
            '→' => out.push_str("$\\rightarrow$"),
            '↓' => out.push_str("$\\downarrow$"),
            '↑' => out.push_str("$\\uparrow$"),
            '…' => out.push_str("\\dots{}"),
            '\n' | '\t' => out.push(' '),
            _ if (' '..='~').contains(&sign) || ('\u{a1}'..='\u{17f}').contains(&sign) => out.push(sign),
            _ => out.push('?'),
        }
    }
    out
}

fn label(document: &Document, kind: &str, name: &str) -> String {
    let plain =
        |text: &str| text.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).collect::<String>();
    format!("\\label{{{kind}:{}-{name}}}", plain(&document.model))
}

/// A number as mathematics, so that its minus is one.
fn number(value: f64, unit: Unit) -> String {
    format!("${}$", shown(value, unit))
}

/// A floating table. A column with intervals is two: numbers at the right, intervals beside them.
fn tabular(document: &Document, table: &DataTable) -> String {
    let mut columns = String::new();
    let mut headings = Vec::new();
    for (column, heading) in table.headings.iter().enumerate() {
        let title = escaped(heading.title);
        if table.has_interval(column) {
            columns.push_str("r@{\\,}l");
            headings.push(format!("\\multicolumn{{2}}{{c}}{{{title}}}"));
        } else if table.is_number(column) {
            columns.push('r');
            headings.push(format!("\\multicolumn{{1}}{{r}}{{{title}}}"));
        } else {
            columns.push_str(if is_long(table, column) { "p{7.4cm}" } else { "l" });
            headings.push(title);
        }
    }
    let is_long = (0..table.headings.len()).any(|column| is_long(table, column));
    let shown = table.shown.min(if is_long { LONG_ROWS } else { ROWS }).min(table.rows.len());
    let rest = table.rows.len() - shown;
    let more = if rest > 0 { format!(" ({shown} of {} rows)", table.rows.len()) } else { String::new() };
    let mut out = String::from("\\begin{table}[htbp]\n\\centering\\small\n");
    let _ = writeln!(out, "\\caption{{{}{more}}}{}", escaped(&table.caption), label(document, "tab", table.name));
    let _ =
        writeln!(out, "\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule\n{} \\\\\n\\midrule", headings.join(" & "));
    for row in table.rows.iter().take(shown) {
        let cells = row.iter().enumerate().flat_map(|(column, cell)| cells(cell, table.has_interval(column)));
        let _ = writeln!(out, "{} \\\\", cells.collect::<Vec<_>>().join(" & "));
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
    out
}

/// Whether a column of texts needs lines to break.
fn is_long(table: &DataTable, column: usize) -> bool {
    table.rows.iter().take(table.shown).any(|row| matches!(&row[column], Cell::Text(text) if text.chars().count() > 36))
}

fn cells(cell: &Cell, with_interval: bool) -> Vec<String> {
    match cell {
        Cell::Text(text) => vec![escaped(text)],
        Cell::Number { value, interval, unit } => {
            let own = value.map_or_else(|| "--".to_owned(), |value| number(value, *unit));
            if !with_interval {
                return vec![own];
            }
            let ends =
                interval.map(|(low, high)| format!("\\scriptsize({} to {})", number(low, *unit), number(high, *unit)));
            vec![own, ends.unwrap_or_default()]
        }
    }
}

/// A floating figure with its numbers in it.
fn figure(document: &Document, section: &Section, chart: &Chart) -> String {
    let mut out = String::from("\\begin{figure}[htbp]\n\\centering\n\\begin{tikzpicture}\n");
    let _ = writeln!(out, "\\begin{{axis}}[{}]", axis(chart).join(", "));
    for line in &chart.lines {
        let marks = match line {
            line if line.is_reference() => "mark=none, ",
            Line { joined: false, .. } => "only marks, ",
            _ => "",
        };
        let _ = writeln!(out, "\\addplot+[{marks}error bars/.cd, y dir=both, y explicit]");
        out.push_str(&coordinates(chart, line));
        if chart.lines.len() > 1 {
            let _ = writeln!(out, "\\addlegendentry{{{}}}", escaped(&line.name));
        }
    }
    let _ = writeln!(
        out,
        "\\end{{axis}}\n\\end{{tikzpicture}}\n\\caption{{{} {}}}{}\n\\end{{figure}}",
        escaped(&chart.caption),
        escaped(&document.made(section)),
        label(document, "fig", chart.name)
    );
    out
}

fn axis(chart: &Chart) -> Vec<String> {
    let mut options = vec![
        "width=0.9\\linewidth, height=6.4cm".to_owned(),
        format!("xlabel={{{}}}, ylabel={{{}}}", escaped(chart.x), escaped(chart.y)),
        "ymajorgrids, axis lines*=left".to_owned(),
    ];
    let x = chart.across();
    let marks: Vec<String> = x.marks.iter().map(|mark| plain(*mark)).collect();
    options.push(format!("xmin={}, xmax={}, xtick={{{}}}", plain(x.low), plain(x.high), marks.join(",")));
    if !chart.names.is_empty() {
        let names: Vec<String> = chart.names.iter().map(|name| format!("{{{}}}", escaped(name))).collect();
        options.push(format!("xticklabels={{{}}}", names.join(",")));
        options.push("x tick label style={rotate=45, anchor=east, font=\\scriptsize}".to_owned());
    }
    if chart.lines.len() > 1 {
        options.push("legend columns=2, legend cell align=left, legend style={at={(0.5,1.03)}, anchor=south, draw=none, font=\\small}".to_owned());
    }
    options
}

/// Points with what their intervals have above and below.
fn coordinates(chart: &Chart, line: &Line) -> String {
    let factor = if chart.unit == Unit::Percent { 100.0 } else { 1.0 };
    let mut out = String::from("  coordinates {\n");
    for point in &line.points {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        let of = |value: f64| format!("{:.4}", factor * value);
        let (up, down) = (of((high - point.y).max(0.0)), of((point.y - low).max(0.0)));
        let _ = writeln!(out, "    ({}, {}) += (0, {up}) -= (0, {down})", plain(point.x), of(point.y));
    }
    out + "  };\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::document::{Point, heading};

    #[test]
    fn text_stands_for_itself() {
        assert_eq!(escaped("50 % of #1_a & {b} $c"), "50 \\% of \\#1\\_a \\& \\{b\\} \\$c");
        assert_eq!(
            escaped("a\\b ~ ^ <x> \"q\""),
            "a\\textbackslash{}b \\textasciitilde{} \\textasciicircum{} \\textless{}x\\textgreater{} \\textquotedbl{}q\\textquotedbl{}"
        );
        assert_eq!(escaped("a --flag – b"), "a -{}-flag -- b");
        assert_eq!(escaped("café 5×2 – 图"), "café 5\\texttimes{}2 -- ?");
    }

    fn document() -> Document {
        Document { model: "ViT-B_16".to_owned(), dataset: "photos".to_owned(), ..Document::default() }
    }

    #[test]
    fn a_column_with_intervals_is_two() {
        let table = DataTable {
            name: "scores",
            caption: "Scores of 5 % & more".to_owned(),
            headings: vec![heading("name", "name"), heading("value", "value"), heading("n", "n")],
            rows: vec![
                vec![
                    Cell::text("a_b"),
                    Cell::within(Some(-0.5), Some((-0.75, 0.25)), Unit::Percent),
                    Cell::count(12.0),
                ],
                vec![Cell::text("c"), Cell::number(None, Unit::Percent), Cell::count(3.0)],
            ],
            shown: 9,
        };
        let tex = tabular(&document(), &table);
        assert!(tex.contains("{@{}lr@{\\,}lr@{}}"), "{tex}");
        assert!(
            tex.contains("a\\_b & $-50.0$ & \\scriptsize($-75.0$ to $25.0$) & $12$ \\\\\nc & -- &  & $3$ \\\\"),
            "{tex}"
        );
        assert!(tex.contains("\\caption{Scores of 5 \\% \\& more}\\label{tab:ViT-B-16-scores}"), "{tex}");
    }

    #[test]
    fn a_figure_has_its_points_with_what_is_above_and_below() {
        let points =
            vec![Point { x: 5.0, y: 0.5, interval: Some((0.25, 0.625)) }, Point { x: 10.0, y: 0.75, interval: None }];
        let chart = Chart {
            name: "curve",
            caption: "A curve".to_owned(),
            x: "k",
            y: "accuracy (%)",
            unit: Unit::Percent,
            names: Vec::new(),
            lines: vec![Line { name: "texts".to_owned(), points, joined: true }],
        };
        let section = Section {
            id: "ablations",
            title: "Ablations",
            command: "headspan ablate a_b".to_owned(),
            note: String::new(),
            warning: None,
            tables: Vec::new(),
            charts: Vec::new(),
            matrices: Vec::new(),
        };
        let tex = figure(&document(), &section, &chart);
        assert!(tex.contains("\\caption{A curve Made by headspan ablate a\\_b.}"), "{tex}");
        assert!(
            tex.contains(
                "(5, 50.0000) += (0, 12.5000) -= (0, 25.0000)\n    (10, 75.0000) += (0, 0.0000) -= (0, 0.0000)"
            ),
            "{tex}"
        );
        assert!(tex.contains("ylabel={accuracy (\\%)}") && !tex.contains("addlegendentry"), "{tex}");
    }
}
