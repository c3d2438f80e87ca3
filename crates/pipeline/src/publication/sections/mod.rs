//! The questions that a report answers, each from a table of the run.

mod accuracy;
mod changed;
mod heads;
mod removed;
mod scores;
mod trust;

use std::collections::BTreeSet;

use headspan_artifacts::{Fact, Frame, LabelRow, MetricRow, RunDirectory, read_frame};

use crate::{
    answers::{MadeAnswer, answers, told},
    error::Result,
    facts::facts,
    publication::document::{DataTable, Document, Heading, Section},
    settings::Settings,
};

/// Rows of long tables that page and paper show.
const SHOWN: usize = 15;

/// Everything that is known of a run.
pub(super) fn document(settings: &Settings, run: &RunDirectory) -> Result<Document> {
    let metrics: Vec<MetricRow> = run.rows_if_there()?;
    let labels: Vec<LabelRow> = run.rows_if_there()?;
    let question = Question { settings, run };
    let mut sections = vec![
        scores::scores(&question, &metrics),
        accuracy::zeroshot(&question)?,
        removed::ablations(&question)?,
        removed::reconstruction(&question)?,
        removed::pruning(&question)?,
        removed::repair(&question)?,
        trust::stability(&question)?,
        trust::agreement(&question)?,
        heads::weights(&question)?,
        heads::heads(&question, &labels)?,
    ];
    for MadeAnswer { answer, changed } in answers(run)? {
        for section in sections.iter_mut().filter(|section| section.id == answer.name) {
            section.warning = told(&changed);
        }
    }
    sections.extend(changed::diff(&question)?);
    let made_with = made_with(run, &labels)?;
    let (model, dataset) = (run.id().model().to_owned(), run.id().dataset().to_owned());
    Ok(Document { model, dataset, made_with, notices: Vec::new(), sections })
}

/// What the run was made with, in words; of several labellers all.
fn made_with(run: &RunDirectory, labels: &[LabelRow]) -> Result<Vec<(String, String)>> {
    let labellers: BTreeSet<&str> = labels.iter().map(|row| row.labeller.as_str()).collect();
    let found = labellers.into_iter().map(|labeller| facts(run, labeller)).collect::<Result<Vec<_>>>()?;
    let known = |fact: Fact| {
        let words: BTreeSet<&str> = found.iter().filter_map(|facts| facts.get(fact)).collect();
        let words: Vec<&str> = words.into_iter().collect();
        (!words.is_empty()).then(|| (fact.name().to_owned(), words.join(", ")))
    };
    Ok(Fact::ALL.into_iter().filter_map(known).collect())
}

/// What sections are made from.
struct Question<'a> {
    settings: &'a Settings,
    run: &'a RunDirectory,
}

impl Question<'_> {
    /// Columns of one of the run's tables; none if nobody made it.
    fn frame(&self, file: &str, columns: &[&str]) -> Result<Option<Frame>> {
        let path = self.run.path().join(file);
        Ok(if self.run.has(&path)? { Some(read_frame(&path, columns)?) } else { None })
    }

    /// A command about this run.
    fn command(&self, name: &str, flags: &str) -> String {
        let (model, dataset) = (self.run.id().model(), self.run.id().dataset());
        let flags = if flags.is_empty() { String::new() } else { format!(" {flags}") };
        format!("headspan {name} {model} --dataset {dataset}{flags}")
    }
}

/// A section that answers nothing yet.
fn section(id: &'static str, title: &'static str, command: String, note: &str) -> Section {
    Section {
        id,
        title,
        command,
        note: note.to_owned(),
        warning: None,
        tables: Vec::new(),
        charts: Vec::new(),
        matrices: Vec::new(),
    }
}

/// A table, unless it has no rows.
fn table(
    name: &'static str,
    caption: &str,
    headings: Vec<Heading>,
    rows: Vec<Vec<crate::publication::document::Cell>>,
) -> Option<DataTable> {
    (!rows.is_empty()).then(|| DataTable { name, caption: caption.to_owned(), headings, rows, shown: SHOWN })
}

/// Both ends of an interval, if both are there.
fn interval(frame: &Frame, [low, high]: [&str; 2], row: usize) -> Option<(f64, f64)> {
    frame.number(low, row).zip(frame.number(high, row))
}
