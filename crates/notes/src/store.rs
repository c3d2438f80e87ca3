use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use headspan_artifacts::{
    ArtifactError, Fingerprint, HeadId, NoteKind, NoteRow, RunDirectory, RunLock, Table, is_file, read_rows, write_rows,
};

use crate::{
    NotesError,
    standing::{Place, Standing},
};

/// How long a process waits for others to add theirs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// What is to be said.
#[derive(Debug, Clone)]
pub struct NewNote {
    author: String,
    kind: NoteKind,
    head: Option<HeadId>,
    pick: Option<u32>,
    property: Option<String>,
    key: Option<String>,
    value: Option<String>,
    state: Option<String>,
    /// None: it replaces whatever stands.
    seen: Option<u64>,
}

impl NewNote {
    /// A note that says nothing yet, and replaces whatever its author has said about the same.
    pub fn of(author: &str, kind: NoteKind) -> Self {
        let author = author.to_owned();
        Self { author, kind, head: None, pick: None, property: None, key: None, value: None, state: None, seen: None }
    }

    /// About a head.
    #[must_use]
    pub fn head(mut self, head: HeadId) -> Self {
        self.head = Some(head);
        self
    }

    /// About the text at this place among the head's picks.
    #[must_use]
    pub fn pick(mut self, pick: u32) -> Self {
        self.pick = Some(pick);
        self
    }

    /// The label that was shown.
    #[must_use]
    pub fn property(mut self, property: Option<&str>) -> Self {
        self.property = property.map(str::to_owned);
        self
    }

    /// The text, tag, list or view.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// What is said; without it, it is undecided or taken back.
    #[must_use]
    pub fn value(mut self, value: &str) -> Self {
        self.value = Some(value.to_owned());
        self
    }

    /// The head's texts when it is said.
    #[must_use]
    pub fn state(mut self, state: &str) -> Self {
        self.state = Some(state.to_owned());
        self
    }

    /// The newest row about the same that the author has seen, 0 for none. What was said since stays beside it.
    #[must_use]
    pub fn seen(mut self, revision: u64) -> Self {
        self.seen = Some(revision);
        self
    }

    fn row(self, revision: u64, at_ms: u64) -> NoteRow {
        // Comments have no name of their own.
        let numbered = self.kind == NoteKind::Comment && self.key.is_none();
        NoteRow {
            revision,
            after: self.seen.map_or(revision - 1, |seen| seen.min(revision - 1)),
            author: self.author,
            at_ms,
            kind: self.kind,
            layer: self.head.map(|head| head.layer),
            head: self.head.map(|head| head.head),
            pick: self.pick,
            property: self.property,
            key: if numbered { Some(revision.to_string()) } else { self.key },
            value: self.value,
            state: self.state,
        }
    }
}

/// All that was said of a run, in the order in which it was said.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    rows: Vec<NoteRow>,
}

/// What adding did.
#[derive(Debug)]
pub struct Added {
    /// All notes, the new ones among them.
    pub notes: Notes,
    /// Places of the new ones at which different things stand now.
    pub conflicts: Vec<Place>,
}

impl Notes {
    /// Reads the notes of a run; none where nobody has said anything.
    pub fn read(run: &RunDirectory) -> Result<Self, NotesError> {
        let path = run.table(Table::Notes);
        let there = is_file(&path).map_err(ArtifactError::from)?;
        Ok(Self { rows: if there { read_rows(&path)? } else { Vec::new() } })
    }

    /// Notes that were read from elsewhere.
    pub fn of_rows(rows: Vec<NoteRow>) -> Self {
        Self { rows }
    }

    /// Adds what is said; when this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// If the notes that are there cannot be read, which are then left as they are, or the new ones cannot be written.
    pub fn add(run: &RunDirectory, said: Vec<NewNote>) -> Result<Added, NotesError> {
        let _held = held(run)?;
        let mut notes = Self::read(run)?;
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut places = Vec::new();
        for note in said {
            let row = note.row(notes.revision() + 1, at_ms);
            places.push(Place::of(&row));
            notes.rows.push(row);
        }
        let last = notes.rows.last().map(serde_json::to_value).transpose();
        let last = last.ok().flatten().unwrap_or_default();
        let fingerprint = Fingerprint::builder(Table::Notes.name(), Table::Notes.version()).config(&last).finish();
        write_rows(&run.table(Table::Notes), run.id(), fingerprint.as_str(), &notes.rows)?;
        let standing = notes.standing();
        let is_conflict = |place: &Place| standing.get(place).is_some_and(Standing::is_conflict);
        let conflicts = places.into_iter().filter(is_conflict).collect();
        Ok(Added { notes, conflicts })
    }

    /// Rows in the order in which they were said.
    pub fn rows(&self) -> &[NoteRow] {
        &self.rows
    }

    /// Number of the newest row, 0 if there is none.
    pub fn revision(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.revision)
    }

    /// What holds, by what it is about.
    pub fn standing(&self) -> BTreeMap<Place, Standing> {
        let mut standing: BTreeMap<Place, Standing> = BTreeMap::new();
        for row in &self.rows {
            standing.entry(Place::of(row)).or_insert_with(|| Standing { rows: Vec::new() }).add(row);
        }
        standing
    }
}

/// Waits for the lock: others hold it for milliseconds.
fn held(run: &RunDirectory) -> Result<RunLock, NotesError> {
    let began = Instant::now();
    loop {
        match run.lock_notes() {
            Ok(lock) => return Ok(lock),
            Err(ArtifactError::Locked { .. }) if began.elapsed() < PATIENCE => thread::sleep(PAUSE),
            Err(source @ ArtifactError::Locked { .. }) => {
                let name = format!("{}/{}", run.id().dataset(), run.id().model());
                return Err(NotesError::Busy { run: name, seconds: PATIENCE.as_secs(), source: Box::new(source) });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::RunId;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const HEAD: HeadId = HeadId { layer: 1, head: 2 };

    fn run(folder: &tempfile::TempDir) -> Result<RunDirectory, ArtifactError> {
        RunDirectory::create(folder.path(), &RunId::new("photos", "clip")?)
    }

    fn judgement(value: &str, seen: u64) -> NewNote {
        let note = NewNote::of("anna", NoteKind::Judgement).head(HEAD).property(Some("colors")).key("a red boat");
        note.value(value).seen(seen)
    }

    #[test]
    fn a_later_answer_replaces_what_its_author_saw() -> Outcome {
        let folder = tempfile::tempdir()?;
        let run = run(&folder)?;
        Notes::add(&run, vec![judgement("fits", 0)])?;
        let added = Notes::add(&run, vec![judgement("not", 1)])?;
        assert!(added.conflicts.is_empty());
        let standing = Notes::read(&run)?.standing();
        assert_eq!(standing.values().next().and_then(Standing::value), Some("not"));
        assert_eq!(Notes::read(&run)?.rows().len(), 2, "what was said before is kept");
        Ok(())
    }

    #[test]
    fn answers_without_sight_of_each_other_both_stand_until_one_is_chosen() -> Outcome {
        let folder = tempfile::tempdir()?;
        let run = run(&folder)?;
        Notes::add(&run, vec![judgement("fits", 0)])?;
        let added = Notes::add(&run, vec![judgement("not", 0)])?;
        assert_eq!(added.conflicts.len(), 1);
        let standing = added.notes.standing();
        let only = standing.values().next().ok_or("nothing stands")?;
        assert_eq!((only.rows.len(), only.value(), only.revision()), (2, None, 2));
        let added = Notes::add(&run, vec![judgement("fits", 2)])?;
        assert!(added.conflicts.is_empty());
        assert_eq!(added.notes.standing().values().next().and_then(Standing::value), Some("fits"));
        Ok(())
    }

    #[test]
    fn the_same_answer_twice_is_no_conflict() -> Outcome {
        let folder = tempfile::tempdir()?;
        let run = run(&folder)?;
        Notes::add(&run, vec![judgement("fits", 0)])?;
        let added = Notes::add(&run, vec![judgement("fits", 0)])?;
        assert!(added.conflicts.is_empty());
        assert_eq!(added.notes.standing().values().next().and_then(Standing::value), Some("fits"));
        Ok(())
    }

    #[test]
    fn many_at_once_lose_nothing() -> Outcome {
        let folder = tempfile::tempdir()?;
        let run = run(&folder)?;
        let tag =
            |who: usize, what: usize| NewNote::of(&format!("p{who}"), NoteKind::Tag).key(&what.to_string()).value("on");
        let all = thread::scope(|scope| {
            let people: Vec<_> = (0..4)
                .map(|who| {
                    scope.spawn({
                        let run = &run;
                        move || (0..10).all(|what| Notes::add(run, vec![tag(who, what)]).is_ok())
                    })
                })
                .collect();
            people.into_iter().all(|person| person.join().unwrap_or(false))
        });
        let notes = Notes::read(&run)?;
        assert!(all && notes.standing().len() == 40);
        assert!(notes.rows().iter().zip(1..).all(|(row, number)| row.revision == number));
        Ok(())
    }

    #[test]
    fn notes_that_cannot_be_read_are_not_replaced() -> Outcome {
        let folder = tempfile::tempdir()?;
        let run = run(&folder)?;
        let table = run.table(Table::Notes);
        fs_err::write(&table, b"damaged")?;
        assert!(Notes::add(&run, vec![judgement("fits", 0)]).is_err());
        assert_eq!(fs_err::read(&table)?, b"damaged");
        Ok(())
    }
}
