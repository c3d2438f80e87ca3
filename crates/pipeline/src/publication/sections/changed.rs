//! What another training changed.

use std::collections::BTreeMap;

use headspan_artifacts::{RunDirectory, RunId, is_file, made_from, read_frame};

use crate::{
    answers::{changed, records},
    diff::{AFTER, BEFORE},
    error::Result,
    publication::{
        document::{Cell, Section, Unit, defined, heading},
        sections::{Question, interval, section, table},
    },
};

/// Pairs of heads of this run and the one that it was compared with last, those that changed most first; nothing of a run that was compared as the one
/// after: the pairs stand once.
pub(super) fn diff(question: &Question<'_>) -> Result<Option<Section>> {
    let columns = [
        "before",
        "after",
        "layer_before",
        "head_before",
        "layer_after",
        "head_after",
        "cka",
        "cka_low",
        "cka_high",
        "readout_overlap",
        "texts_kept",
        "property_before",
        "property_after",
    ];
    let own = question.run.id().model();
    // The table lies beside the runs, where no listing of the run has it.
    let path = question.run.path().with_file_name("diff.parquet");
    if !is_file(&path)? {
        return Ok(Some(empty(question.command("diff", "OTHER"))));
    }
    let frame = read_frame(&path, &columns)?;
    let name = |column: &str| frame.text(column, 0).unwrap_or_default();
    // Names of runs of two data sets have both parts: only the end is the model's.
    let is = |name: &str| name == own || name == format!("{}/{own}", question.run.id().dataset());
    if is(name("after")) {
        return Ok(None);
    }
    if !is(name("before")) {
        return Ok(Some(empty(question.command("diff", "OTHER"))));
    }
    let mut rows: Vec<usize> = (0..frame.rows()).collect();
    let cka = |row: usize| frame.number("cka", row).unwrap_or(1.0);
    rows.sort_by(|one, other| cka(*one).total_cmp(&cka(*other)));
    let head = |side: &str, row: usize| {
        let number = |what: &str| frame.number(&format!("{what}_{side}"), row);
        let head = number("layer").zip(number("head")).map(|(layer, head)| format!("L{layer}.H{head}"));
        Cell::text(head.unwrap_or_default())
    };
    let text = |column: &str, row: usize| Cell::text(frame.text(column, row).unwrap_or("no label"));
    let cells = |row: &usize| {
        vec![
            head("before", *row),
            head("after", *row),
            Cell::within(frame.number("cka", *row), interval(&frame, ["cka_low", "cka_high"], *row), Unit::Plain(3)),
            Cell::number(frame.number("readout_overlap", *row), Unit::Plain(3)),
            Cell::number(frame.number("texts_kept", *row), Unit::Percent),
            text("property_before", *row),
            text("property_after", *row),
        ]
    };
    let headings = vec![
        defined("head_before", "head", "head"),
        defined("head_after", "partner", "head"),
        defined("cka", "CKA", "cka"),
        defined("overlap", "overlap", "overlap"),
        heading("texts_kept", "texts kept (%)"),
        defined("property_before", "property", "property"),
        defined("property_after", "partner's property", "property"),
    ];
    let mut section = empty(question.command("diff", name("after")));
    section.warning = warning(question, &made_from(&path)?, name("after"))?;
    let caption =
        format!("Heads of {} beside those of {}, those that changed most first", name("before"), name("after"));
    section.tables.extend(table("diff", &caption, headings, rows.iter().map(cells).collect()));
    Ok(Some(section))
}

/// What changed of either run since they were compared.
fn warning(question: &Question<'_>, inputs: &BTreeMap<String, String>, after: &str) -> Result<Option<String>> {
    let own = question.run;
    let (dataset, model) = after.split_once('/').unwrap_or((own.id().dataset(), after));
    let other = RunId::new(dataset, model).ok().map(|id| RunDirectory::at(&question.settings.runs, &id));
    let of = |run: &RunDirectory, side: &str| -> Result<Option<String>> {
        let changed = changed(&records(run)?, inputs, side);
        let told = format!("The runs were compared before {} of {} changed.", changed.join(", "), run.id().model());
        Ok((!changed.is_empty()).then_some(told))
    };
    let own = of(own, BEFORE)?;
    Ok(if own.is_some() { own } else { other.map(|run| of(&run, AFTER)).transpose()?.flatten() })
}

fn empty(command: String) -> Section {
    let note = "Two runs over the same images, head by head. Positions of heads mean nothing between models that were trained apart; then heads are paired by what they put out.";
    section("diff", "Beside another run", command, note)
}
