//! Artifacts of headspan: everything that touches a file of a run.
//!
//! - [`Table`] names the tables of design section 2. A row type ([`Row`]) has its columns; [`read_rows`] and [`write_rows`] move
//!   them, [`PartWriter`] and [`PartReader`] stream activations.
//! - [`RunDirectory`] is the folder of a run: its files, its locks, and the [`StageRecord`] that says a stage is done.
//! - [`Fingerprint`] is the identity of a stage's results. [`write_atomic`] makes a file appear whole or not at all.
//! - Runs lie on a disk or in a store. Whoever reads or writes a file of a run does it through this crate, and need not know which.
//!
//! No mathematics and no machine learning: the crates above compute, this one keeps. Rows of heads convert to and from the types
//! of `headspan-headspace` here and nowhere else. Beside that it uses `headspan-store`, for runs at addresses; every crate
//! that reads or writes tables uses it.
//!
//! ```
//! use headspan_artifacts::{RunDirectory, RunId, Table, TextspanRow, read_rows, write_rows};
//!
//! let root = tempfile::tempdir()?;
//! let run = RunDirectory::create(root.path(), &RunId::new("photos", "ViT-B-32_openai")?)?;
//! let row = TextspanRow {
//!     layer: 11, head: 3, pick: 0, text_index: 7, text: "A red door".into(), category: Some("colors".into()),
//!     std: 0.5, variance_share: 0.25, cumulative_share: 0.25, effective_rank: Some(64),
//! };
//! write_rows(&run.table(Table::Textspan), run.id(), "f00d", &[row.clone()])?;
//! assert_eq!(read_rows::<TextspanRow>(&run.table(Table::Textspan))?, vec![row]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activations;
mod answer;
mod atomic;
mod class_rows;
mod damaged;
mod error;
mod facts;
mod files;
mod fingerprint;
mod frame;
mod kept;
mod listing;
mod locks;
mod names;
mod nodes;
mod note_rows;
mod ranges;
mod rows;
mod run;
mod schema;
mod stage;
mod tables;
mod text_columns;
mod upload;

pub use arrow_schema::{DataType, Field};
pub use headspan_headspace::HeadId;
pub use headspan_store::{Blob, cache_folder, shown};

pub use activations::{
    ActivationBatch, ActivationShape, PartReader, PartWriter, activation_schema, head_column, part_fingerprint,
};
pub use answer::{answer_bytes, made_from, parquet_bytes};
pub use atomic::{AtomicFile, write_atomic};
pub use class_rows::{AblatedRow, ClassRow, ReconstructionRow, ZeroshotRow};
pub use damaged::{Batches, caught};
pub use error::{ArtifactError, CommitError, Result, with_causes};
pub use facts::{Fact, RunFacts, differences};
pub use files::{absolute, check_address, is_file, is_folder, is_remote, names_in, open_file, read, remove};
pub use fingerprint::{Fingerprint, FingerprintBuilder, hash_file};
pub use frame::{Frame, read_frame};
pub use kept::Kept;
pub use locks::RunLock;
pub use names::similar_name;
pub use nodes::SumsRow;
pub use note_rows::{NoteKind, NoteRow};
pub use parquet::errors::ParquetError;
pub use rows::{ImageRow, ImageStatus, LabelRow, MetricRow, MomentsRow, ReadoutRow, Row, TextRow, TextspanRow};
pub use run::{RunDirectory, RunId};
pub use schema::{Table, head_fields, optional, required, table_metadata, table_schema, vector};
pub use stage::{StageRecord, StageState};
pub use tables::{RowsReader, RowsWriter, TableMetadata, read_metadata, read_rows, write_rows};
pub use text_columns::read_text_columns;
