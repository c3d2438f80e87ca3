use headspan_artifacts::{HeadId, NoteKind, NoteRow};

/// What one person can say one thing about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Who says it.
    pub author: String,
    /// What kind of thing.
    pub kind: NoteKind,
    /// The head, if it is about one.
    pub head: Option<HeadId>,
    /// The label that a text is judged against; none of other kinds.
    pub property: Option<String>,
    /// The text, tag, list, comment or view.
    pub key: Option<String>,
}

impl Place {
    /// Where a row stands.
    pub fn of(row: &NoteRow) -> Self {
        Self {
            author: row.author.clone(),
            kind: row.kind,
            head: row.head_id(),
            property: row.property.clone().filter(|_| row.kind == NoteKind::Judgement),
            key: row.key.clone(),
        }
    }
}

/// What holds of one place: the rows that no later row of an author who had seen them replaces, oldest first; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// One, or several that were said without sight of each other.
    pub rows: Vec<NoteRow>,
}

impl Standing {
    /// Takes a later row in.
    pub(crate) fn add(&mut self, row: &NoteRow) {
        self.rows.retain(|earlier| earlier.revision > row.after);
        self.rows.push(row.clone());
    }

    /// The newest row.
    pub fn last(&self) -> &NoteRow {
        // A standing is made of a row, and adding leaves at least the one that was added.
        &self.rows[self.rows.len() - 1]
    }

    /// Revision of the newest row: who answers after it has seen all that stands.
    pub fn revision(&self) -> u64 {
        self.last().revision
    }

    /// Whether rows stand that say different things.
    pub fn is_conflict(&self) -> bool {
        self.rows.iter().any(|row| row.value != self.last().value)
    }

    /// What was said; none for undecided, for what was taken back, and while there is a conflict.
    pub fn value(&self) -> Option<&str> {
        if self.is_conflict() { None } else { self.last().value.as_deref() }
    }
}
