//! What people say of a run: read for pages, and taken in from forms.

mod author;
mod items;
mod post;
mod time;

use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, LabelRow, NoteKind};
use headspan_notes::{FirstTexts, Notes, Place, Standing, StandingRow, standing_rows};
use headspan_query::ExploreRun;

use crate::{app::Shared, error::WebError};

pub(super) use author::author_in;
pub(super) use items::{Item, Items, Mode};
pub(super) use post::{on_head, on_run};
pub(super) use time::when;

/// The notes of a run, as its pages need them.
pub(super) struct People {
    pub(super) notes: Notes,
    pub(super) standing: BTreeMap<Place, Standing>,
    /// The first texts of each head, as many as scores look at.
    pub(super) texts: FirstTexts,
}

impl People {
    pub(super) fn of(shared: &Shared, run: &ExploreRun) -> Result<Self, WebError> {
        let notes = Notes::read(run.directory())?;
        let standing = notes.standing();
        Ok(Self { notes, standing, texts: first_texts(shared, run) })
    }

    /// What holds, as lists show it.
    pub(super) fn rows(&self) -> Vec<StandingRow> {
        standing_rows(&self.notes, &self.texts)
    }

    /// What holds of a judged text.
    pub(super) fn judgement(&self, author: &str, head: HeadId, property: &str, text: &str) -> Option<&Standing> {
        self.standing.get(&Place {
            author: author.to_owned(),
            kind: NoteKind::Judgement,
            head: Some(head),
            property: Some(property.to_owned()),
            key: Some(text.to_owned()),
        })
    }

    /// What somebody called a head, of this kind.
    pub(super) fn called(&self, author: &str, kind: NoteKind, head: HeadId) -> Option<&Standing> {
        self.standing.get(&Place { author: author.to_owned(), kind, head: Some(head), property: None, key: None })
    }
}

/// The first texts of each head of a run, as many as scores look at.
pub(super) fn first_texts(shared: &Shared, run: &ExploreRun) -> FirstTexts {
    let count = shared.settings.scores.texts;
    let texts = |head| run.textspan(head).iter().take(count).map(|row| row.text.clone()).collect();
    run.heads().map(|head| (head, texts(head))).collect()
}

/// Labels of all labellers of a run.
pub(super) fn labels(run: &ExploreRun) -> Result<Vec<LabelRow>, WebError> {
    run.directory().rows_if_there().map_err(|error| headspan_query::ExploreError::from(error).into())
}
