//! What a report says, whatever it is written as.

use crate::publication::{
    matrix::Matrix,
    numbers::{plain, shown},
    scales::Scale,
};

/// The report of one run.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) model: String,
    pub(crate) dataset: String,
    /// What the figures were made with: a name and words.
    pub(crate) made_with: Vec<(String, String)>,
    /// What is wrong with the run itself, a sentence each.
    pub(crate) notices: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// One question and its answer.
#[derive(Debug)]
pub(crate) struct Section {
    /// Anchor in the page.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// The command that writes the table of the run that this section is made from.
    pub(crate) command: String,
    pub(crate) note: String,
    /// What is wrong with the answer, if anything is: the run may have changed since.
    pub(crate) warning: Option<String>,
    pub(crate) tables: Vec<DataTable>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) matrices: Vec<Matrix>,
}

/// A table with all its rows, of which page and paper show the first ones.
#[derive(Debug)]
pub(crate) struct DataTable {
    /// Name of its files; unlike that of any other table or figure of the document.
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    pub(crate) headings: Vec<Heading>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Number of rows that page and paper show.
    pub(crate) shown: usize,
}

/// The head of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heading {
    /// Name of the column in CSV.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Key of its definition.
    pub(crate) term: Option<&'static str>,
}

/// A value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    Number { value: Option<f64>, interval: Option<(f64, f64)>, unit: Unit },
}

/// How a number is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    /// With this many decimals.
    Plain(usize),
    /// A share, shown in percent with one decimal.
    Percent,
}

/// Points over an axis of numbers or of names.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) name: &'static str,
    pub(crate) caption: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) unit: Unit,
    /// Names of the places 0, 1, 2 … of the horizontal axis; without names it is an axis of numbers.
    pub(crate) names: Vec<String>,
    pub(crate) lines: Vec<Line>,
}

/// A series of a chart.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
    /// Whether its points are joined.
    pub(crate) joined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) interval: Option<(f64, f64)>,
}

/// The head of a column without a definition.
pub(crate) fn heading(name: &'static str, title: &'static str) -> Heading {
    Heading { name, title, term: None }
}

/// The head of a column whose title is defined.
pub(crate) fn defined(name: &'static str, title: &'static str, term: &'static str) -> Heading {
    Heading { name, title, term: Some(term) }
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn count(value: f64) -> Self {
        Self::number(Some(value), Unit::Count)
    }

    pub(crate) fn number(value: Option<f64>, unit: Unit) -> Self {
        Self::Number { value, interval: None, unit }
    }

    pub(crate) fn within(value: Option<f64>, interval: Option<(f64, f64)>, unit: Unit) -> Self {
        Self::Number { value, interval, unit }
    }
}

impl Document {
    /// How the figures of a section were made: the command, and what the records of the run say now.
    pub(crate) fn made(&self, section: &Section) -> String {
        format!("Made by {}.{}", section.command, self.run_told())
    }

    /// What the records of the run say that it was made with: nothing, or a sentence after a space.
    pub(crate) fn run_told(&self) -> String {
        let known = |wanted: &&str| {
            let (_, told) = self.made_with.iter().find(|(name, _)| name == wanted)?;
            Some(format!("{wanted} {told}"))
        };
        let known: Vec<String> = ["images", "pool", "k", "labeller"].iter().filter_map(known).collect();
        if known.is_empty() { String::new() } else { format!(" The run: {}.", known.join("; ")) }
    }

    /// Where the data of a table or figure lies, below the folder of the report.
    pub(crate) fn data_file(&self, name: &str) -> String {
        format!("data/{}/{name}.csv", self.model)
    }

    /// Where a figure lies, below the folder of the report.
    pub(crate) fn figure_file(&self, name: &str) -> String {
        format!("figures/{}/{name}.svg", self.model)
    }
}

impl Line {
    /// Whether it is a straight line to compare with, of which no point is a measurement of its own.
    pub(crate) fn is_reference(&self) -> bool {
        self.joined && self.points.len() == 2 && self.points.iter().all(|point| point.interval.is_none())
    }
}

impl DataTable {
    /// Whether a column holds numbers.
    pub(crate) fn is_number(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row[column], Cell::Number { .. }))
    }

    /// Whether some number of a column has an interval.
    pub(crate) fn has_interval(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row[column], Cell::Number { interval: Some(_), .. }))
    }

    /// All rows; a column with intervals has two more.
    pub(crate) fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut header = Vec::new();
        for (column, heading) in self.headings.iter().enumerate() {
            header.push(heading.name.to_owned());
            if self.has_interval(column) {
                header.extend(["low", "high"].map(|end| format!("{}_{end}", heading.name)));
            }
        }
        let rows = self.rows.iter().map(|row| {
            let cells = row.iter().enumerate().flat_map(|(column, cell)| match cell {
                Cell::Text(text) => vec![text.clone()],
                Cell::Number { value, interval, .. } => {
                    let ends = if self.has_interval(column) {
                        vec![interval.map(|ends| ends.0), interval.map(|ends| ends.1)]
                    } else {
                        Vec::new()
                    };
                    std::iter::once(*value).chain(ends).map(|number| number.map_or_else(String::new, plain)).collect()
                }
            });
            cells.collect::<Vec<_>>()
        });
        csv(&header, rows)
    }
}

impl Chart {
    /// A row for each point.
    pub(crate) fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let header = ["series", self.x, self.y, "low", "high"].map(str::to_owned);
        let rows = self.lines.iter().flat_map(|line| {
            line.points.iter().map(|point| {
                let end = |end: Option<f64>| end.map_or_else(String::new, plain);
                let ends = [end(point.interval.map(|ends| ends.0)), end(point.interval.map(|ends| ends.1))];
                let [low, high] = ends;
                vec![line.name.clone(), self.place(point.x), plain(point.y), low, high]
            })
        });
        csv(&header, rows)
    }

    /// The horizontal axis.
    pub(crate) fn across(&self) -> Scale {
        if self.names.is_empty() {
            return Scale::around(self.lines.iter().flat_map(|line| &line.points).map(|point| point.x), 6);
        }
        let places = self.names.len();
        Scale { low: -0.5, high: places as f64 - 0.5, marks: (0..places).map(|place| place as f64).collect() }
    }

    /// The name of a place of the horizontal axis, or its number.
    pub(crate) fn place(&self, x: f64) -> String {
        self.names.get(x as usize).cloned().unwrap_or_else(|| plain(x))
    }

    /// A point in words.
    pub(crate) fn told(&self, line: &Line, point: &Point) -> String {
        let interval = point
            .interval
            .map(|(low, high)| format!(" ({} to {})", shown(low, self.unit), shown(high, self.unit)))
            .unwrap_or_default();
        format!("{}, {}: {}{interval}", line.name, self.place(point.x), shown(point.y, self.unit))
    }
}

/// Rows below a header, as RFC 4180 wants them.
pub(crate) fn csv(header: &[String], rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}
