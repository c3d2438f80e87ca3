//! What people say of a run: judgements of texts, names, comments, tags, lists and saved views.
//!
//! - [`Notes`] is the log `notes.parquet` beside the run's tables. [`Notes::add`] appends to it under a lock and puts the whole file in its place
//!   at once, so that a killed process loses nothing that was answered.
//! - [`Standing`] is what holds of it: an answer replaces those that its author had seen. Two answers that were given without sight of each other both
//!   stay, and are a conflict until somebody chooses.
//! - [`person_labels`] makes a labeller of each person.
//!
//! It uses `artifacts` alone. The explorer writes through it, `pipeline` and the command line read.
//!
//! ```
//! use headspan_artifacts::{HeadId, NoteKind, RunDirectory, RunId};
//! use headspan_notes::{NewNote, Notes};
//!
//! let runs = tempfile::tempdir()?;
//! let run = RunDirectory::create(runs.path(), &RunId::new("photos", "my-clip")?)?;
//! let tag = NewNote::of("anna", NoteKind::Tag).head(HeadId { layer: 3, head: 5 }).key("odd").value("on");
//! Notes::add(&run, vec![tag])?;
//! assert_eq!(Notes::read(&run)?.standing().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod columns;
mod error;
mod labels;
mod names;
mod standing;
mod store;

pub use columns::{StandingRow, standing_columns, standing_rows};
pub use error::NotesError;
pub use labels::{FITS, FITS_NOT, FirstTexts, Judged, judged_labels, judgements, names, person_labels, state_of};
pub use names::{LONGEST_NAME, author_name};
pub use standing::{Place, Standing};
pub use store::{Added, NewNote, Notes};
