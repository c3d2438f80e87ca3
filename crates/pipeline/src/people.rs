//! What people say of a run, beside what its labellers say.

use std::path::Path;

use headspan_artifacts::{LabelRow, NoteRow, RunDirectory, read_metadata, read_rows};
use headspan_metrics::{AgreementRow, Association, agreements, associations};
use headspan_notes::{FirstTexts, Notes, StandingRow, judged_labels, person_labels, standing_rows};
use serde::Serialize;

use crate::{error::Result, settings::Settings, stability::first_texts, stages::synonyms};

/// How far the labellers of a run and the people who said something of it agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Cohen's kappa of every two.
    pub agreements: Vec<AgreementRow>,
    /// Association of each, with the disagreement of the others in its interval.
    pub associations: Vec<Association>,
}

/// The first texts of each head of a run, as many as the scores look at.
pub fn texts_of(settings: &Settings, run: &RunDirectory) -> Result<FirstTexts> {
    Ok(first_texts(run.rows_if_there()?, settings.metrics.scores.texts))
}

/// What holds of the notes of a run.
pub fn standing(settings: &Settings, run: &RunDirectory) -> Result<Vec<StandingRow>> {
    Ok(standing_rows(&Notes::read(run)?, &texts_of(settings, run)?))
}

/// Compares the labellers of a run and the people who said something of it.
pub fn agreement(settings: &Settings, run: &RunDirectory) -> Result<Agreement> {
    let (scores, synonyms) = (&settings.metrics.scores, synonyms(settings)?);
    let (texts, notes) = (texts_of(settings, run)?, Notes::read(run)?);
    let own: Vec<LabelRow> = run.rows_if_there()?;
    let agreements = agreements(&own, &texts, &notes, scores, &synonyms);
    let mut labels = own;
    labels.extend(judged_labels(&notes, Some(&texts)));
    let associations = associations(&labels, scores, &synonyms);
    Ok(Agreement { agreements, associations })
}

/// The labels of people in a file of notes, with the model that they are of; none if the file is another.
pub(crate) fn labels_in_notes(file: &Path) -> Option<Vec<(String, LabelRow)>> {
    let is_table = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    let rows: Vec<NoteRow> = is_table.then(|| read_rows(file).ok())??;
    let model = read_metadata(file).ok()?.model;
    Some(person_labels(&Notes::of_rows(rows), None).into_iter().map(|row| (model.clone(), row)).collect())
}
