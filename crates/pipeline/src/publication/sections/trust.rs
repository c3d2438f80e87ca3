//! How far picks and labels can be trusted.

use headspan_metrics::About;

use crate::{
    error::Result,
    people::agreement as agreement_of,
    publication::{
        document::{Cell, Section, Unit, defined, heading},
        sections::{Question, interval, section, table},
    },
};

/// Means over heads of what comes out the same again.
pub(super) fn stability(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "stability",
        "Would it come out the same again?",
        question.command("stability", ""),
        "First texts and labels over halves of the images, in other runs, and by other labellers; means over heads.",
    );
    let columns = ["kind", "compared", "layer", "metric", "value", "ci_low", "ci_high", "n"];
    let Some(frame) = question.frame("stability.parquet", &columns)? else { return Ok(section) };
    let of_all = (0..frame.rows()).filter(|row| frame.number("layer", *row).is_none());
    let cells = |row: usize| {
        let text = |column: &str| Cell::text(frame.text(column, row).unwrap_or_default().replace('_', " "));
        let value =
            Cell::within(frame.number("value", row), interval(&frame, ["ci_low", "ci_high"], row), Unit::Plain(3));
        vec![text("kind"), text("compared"), text("metric"), value, Cell::number(frame.number("n", row), Unit::Count)]
    };
    let headings = vec![
        heading("kind", "between"),
        heading("compared", "compared"),
        heading("figure", "figure"),
        heading("value", "value"),
        heading("n", "n"),
    ];
    section.tables.extend(table(
        "stability",
        "Stability of first texts and labels",
        headings,
        of_all.map(cells).collect(),
    ));
    Ok(section)
}

/// How far labellers and people agree.
pub(super) fn agreement(question: &Question<'_>) -> Result<Section> {
    let mut section = section(
        "agreement",
        "How far labellers agree",
        question.command("review", ""),
        "Every two labellers, and people who judged texts or named heads without sight of a label.",
    );
    let found = agreement_of(question.settings, question.run)?;
    let rows = found.agreements.iter().map(|row| {
        vec![
            Cell::text(row.labellers.join(", ")),
            Cell::text(match row.about {
                About::Texts => "texts that fit",
                About::Names => "names of heads",
            }),
            Cell::within(row.kappa, row.interval, Unit::Plain(2)),
            Cell::number(Some(row.share), Unit::Percent),
            Cell::count(row.n as f64),
        ]
    });
    let headings = vec![
        heading("labellers", "labellers"),
        heading("about", "about"),
        defined("kappa", "kappa", "kappa"),
        heading("same", "the same (%)"),
        heading("n", "n"),
    ];
    section.tables.extend(table("agreement", "Agreement of labellers", headings, rows.collect()));
    Ok(section)
}
