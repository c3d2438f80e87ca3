//! Rows about what people say of a run.

use arrow_schema::{DataType, Field};
use headspan_headspace::HeadId;
use serde::{Deserialize, Serialize};

use crate::{
    rows::Row,
    schema::{Table, optional, required},
};

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Whether a text of a head fits a label: `fits`, `not`, or no value for undecided.
    Judgement,
    /// A property for a head whose label was hidden; no value for undecided.
    Name,
    /// A property for a head whose label was shown: the same confirms it, another renames the head.
    Label,
    /// A comment on a head.
    Comment,
    /// A tag of a head: `on`, or no value once it is taken off.
    Tag,
    /// A list that a head is on: `on`, or no value once it is taken off.
    List,
    /// An address of the explorer under a name.
    View,
}

impl NoteKind {
    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Judgement => "judgement",
            Self::Name => "name",
            Self::Label => "label",
            Self::Comment => "comment",
            Self::Tag => "tag",
            Self::List => "list",
            Self::View => "view",
        }
    }
}

/// One thing that somebody said (`notes.parquet`). Rows are only ever added: what somebody says anew is another row, which names the row that it
/// was said after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRow {
    /// Number of the row, from 1.
    pub revision: u64,
    /// Newest row that the author had seen of what the note is about: it replaces that row and all before it, and none after it. 0: none.
    pub after: u64,
    /// Who said it.
    pub author: String,
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// What it is about.
    pub kind: NoteKind,
    /// Block, of notes about a head.
    pub layer: Option<u32>,
    /// Head, of notes about a head.
    pub head: Option<u32>,
    /// Place of the judged text among the head's picks when it was judged, from 0.
    pub pick: Option<u32>,
    /// The label that was shown.
    pub property: Option<String>,
    /// The text that was judged, the tag, the list, the comment's number, or the view's name.
    pub key: Option<String>,
    /// What was said; none for undecided, and for what was taken back.
    pub value: Option<String>,
    /// Hash of the head's first texts when it was said.
    pub state: Option<String>,
}

impl NoteRow {
    /// The head that the note is about, if it is about one.
    pub fn head_id(&self) -> Option<HeadId> {
        Some(HeadId { layer: self.layer?, head: self.head? })
    }
}

impl Row for NoteRow {
    const TABLE: Table = Table::Notes;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        vec![
            required("revision", DataType::UInt64),
            required("after", DataType::UInt64),
            required("author", DataType::Utf8),
            required("at_ms", DataType::UInt64),
            required("kind", DataType::Utf8),
            optional("layer", DataType::UInt32),
            optional("head", DataType::UInt32),
            optional("pick", DataType::UInt32),
            optional("property", DataType::Utf8),
            optional("key", DataType::Utf8),
            optional("value", DataType::Utf8),
            optional("state", DataType::Utf8),
        ]
    }
}
