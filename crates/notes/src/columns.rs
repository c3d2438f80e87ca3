use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, StringArray, UInt64Array};
use headspan_artifacts::{HeadId, NoteKind};
use serde::{Serialize, Serializer};

use crate::{
    labels::{FirstTexts, state_of},
    standing::{Place, Standing},
    store::Notes,
};

/// One thing that holds, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingRow {
    /// Who said it.
    pub author: String,
    /// What kind of thing.
    pub kind: NoteKind,
    /// The head.
    #[serde(serialize_with = "as_written")]
    pub head: Option<HeadId>,
    /// The label that was shown.
    pub property: Option<String>,
    /// The text, tag, list, comment's number or view's name.
    pub key: Option<String>,
    /// What was said; none for undecided and while there is a conflict.
    pub value: Option<String>,
    /// Whether answers stand that were given without sight of each other.
    pub conflict: bool,
    /// Whether it was said of texts that the head no longer has.
    pub older: bool,
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// Number of its newest row in `notes.parquet`.
    pub revision: u64,
}

/// All that holds, in order of author, kind and head. Comments, tags, lists and views that were taken back are left out.
pub fn standing_rows(notes: &Notes, texts: &FirstTexts) -> Vec<StandingRow> {
    let row = |(place, standing): (Place, Standing)| {
        let taken_back = !matches!(place.kind, NoteKind::Judgement | NoteKind::Name) && standing.last().value.is_none();
        if taken_back && !standing.is_conflict() {
            return None;
        }
        let older = is_older(&place, &standing, texts);
        let last = standing.last();
        Some(StandingRow {
            property: last.property.clone(),
            value: standing.value().map(str::to_owned),
            conflict: standing.is_conflict(),
            older,
            at_ms: last.at_ms,
            revision: last.revision,
            author: place.author,
            kind: place.kind,
            head: place.head,
            key: place.key,
        })
    };
    notes.standing().into_iter().filter_map(row).collect()
}

/// Whether an answer was given about what the head no longer says: a judged text that is gone, or other first texts.
fn is_older(place: &Place, standing: &Standing, texts: &FirstTexts) -> bool {
    let Some(head) = place.head else { return false };
    let now = texts.get(&head);
    if place.kind == NoteKind::Judgement {
        return !now.is_some_and(|now| place.key.as_ref().is_some_and(|text| now.contains(text)));
    }
    let then = standing.last().state.as_deref();
    let now = now.map(|now| state_of(now.iter().map(String::as_str)));
    then.is_some_and(|then| now.is_none_or(|now| now != then))
}

/// The rows as named columns: `author`, `kind`, `head`, `property`, `key`, `value`, `conflict`, `older`, `at_ms`, `revision`.
pub fn standing_columns(rows: &[StandingRow]) -> Vec<(&'static str, ArrayRef)> {
    let text = |of: &dyn Fn(&StandingRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let flag = |of: &dyn Fn(&StandingRow) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<BooleanArray>())
    };
    let number =
        |of: &dyn Fn(&StandingRow) -> u64| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<UInt64Array>()) };
    vec![
        ("author", text(&|row| Some(row.author.clone()))),
        ("kind", text(&|row| Some(row.kind.name().to_owned()))),
        ("head", text(&|row| row.head.map(|head| head.to_string()))),
        ("property", text(&|row| row.property.clone())),
        ("key", text(&|row| row.key.clone())),
        ("value", text(&|row| row.value.clone())),
        ("conflict", flag(&|row| row.conflict)),
        ("older", flag(&|row| row.older)),
        ("at_ms", number(&|row| row.at_ms)),
        ("revision", number(&|row| row.revision)),
    ]
}

/// A head as it is written everywhere, `L3.H1`.
#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn as_written<S: Serializer>(head: &Option<HeadId>, serializer: S) -> Result<S::Ok, S::Error> {
    match head {
        Some(head) => serializer.collect_str(head),
        None => serializer.serialize_none(),
    }
}
