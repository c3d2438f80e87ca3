use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, LabelRow, TextspanRow};

use crate::{
    error::Result,
    publication::{
        document::{Cell, DataTable, Section, Unit, defined, heading},
        matrix::{Matrix, Square},
        sections::{Question, section, table},
    },
};

/// Texts that stand beside a head.
const TEXTS: usize = 5;

/// Where each head can write, from weights alone: its strongest direction, the clearest names first.
pub(super) fn weights(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "weights",
        "Where heads can write",
        question.command("weights", ""),
        "The strongest singular vector of each head's readout, as a sparse sum of texts. No image was needed.",
    );
    let columns = ["layer", "head", "direction", "share", "fidelity", "texts"];
    let Some(frame) = question.frame("weights.parquet", &columns)? else { return Ok(section) };
    let first = (0..frame.rows()).filter(|row| frame.number("direction", *row) == Some(0.0));
    let mut first: Vec<usize> = first.collect();
    let fidelity = |row: usize| frame.number("fidelity", row);
    first.sort_by(|one, other| fidelity(*other).unwrap_or(0.0).total_cmp(&fidelity(*one).unwrap_or(0.0)));
    let cells = |row: &usize| {
        let number = |column: &str| frame.number(column, *row);
        let head = number("layer").zip(number("head")).map(|(layer, head)| format!("L{layer}.H{head}"));
        vec![
            Cell::text(head.unwrap_or_default()),
            Cell::number(number("share"), Unit::Percent),
            Cell::number(fidelity(*row), Unit::Plain(3)),
            Cell::text(frame.text("texts", *row).unwrap_or_default()),
        ]
    };
    let headings = vec![
        defined("head", "head", "head"),
        heading("share", "share of squares (%)"),
        defined("fidelity", "fidelity", "fidelity"),
        heading("texts", "texts"),
    ];
    let caption = "The strongest direction of each head, the clearest names first";
    section.tables.extend(table("weights", caption, headings, first.iter().map(cells).collect()));
    Ok(section)
}

/// How much of each head its first texts say.
fn shares(texts: &BTreeMap<HeadId, Vec<&TextspanRow>>) -> Option<Matrix> {
    let square = |(id, rows): (&HeadId, &Vec<&TextspanRow>)| {
        Some(Square { layer: id.layer, head: id.head, value: rows.last()?.cumulative_share })
    };
    let squares: Vec<Square> = texts.iter().filter_map(square).collect();
    (squares.len() > 1).then(|| Matrix {
        name: "variance-by-head",
        caption: format!(
            "Share of each head's variance along its first {TEXTS} texts, in percent: the more, the stronger the colour."
        ),
        value: "share",
        unit: Unit::Percent,
        squares,
    })
}

/// Every head with its property and its first texts.
pub(super) fn heads(question: &Question<'_>, labels: &[LabelRow]) -> Result<Section> {
    let mut section = section(
        "heads",
        "The heads",
        question.command("label", ""),
        "The property of each head as a labeller named it, the first texts that span its output, and the share of its variance that lies along them.",
    );
    let spans: Vec<TextspanRow> = question.run.rows_if_there()?;
    let mut texts: BTreeMap<HeadId, Vec<&TextspanRow>> = BTreeMap::new();
    for row in &spans {
        if (row.pick as usize) < TEXTS {
            texts.entry(row.head_id()).or_default().push(row);
        }
    }
    let cells = |label: &LabelRow| {
        let own = texts.get(&label.head_id()).map_or(&[][..], Vec::as_slice);
        let texts: Vec<&str> = own.iter().map(|row| row.text.as_str()).collect();
        let share = own.last().map(|row| row.cumulative_share);
        vec![
            Cell::text(label.head_id().to_string()),
            Cell::text(&label.labeller),
            Cell::text(label.property.as_deref().unwrap_or("no label")),
            Cell::number(share, Unit::Percent),
            Cell::text(texts.join("; ")),
        ]
    };
    let headings = vec![
        defined("head", "head", "head"),
        defined("labeller", "labeller", "labels-by"),
        defined("property", "property", "property"),
        heading("variance_of_texts", "variance (%)"),
        heading("texts", "first texts"),
    ];
    let made =
        table("heads", "Heads, their properties and their first texts", headings, labels.iter().map(cells).collect());
    section.matrices.extend(shares(&texts));
    // All of them belong into the page: they are what the run is for.
    section.tables.extend(made.map(|made| DataTable { shown: labels.len().min(64), ..made }));
    Ok(section)
}
