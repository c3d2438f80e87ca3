//! Flags of the review and of notes.

use clap::Args;

use super::{PipelineArgs, PlaceArgs, SourceArgs, explore::ServerArgs};

/// After the help of `review`.
pub(crate) const REVIEW_HELP: &str = "\
Opens the explorer's page /r/DATASET/MODEL/review. There a person judges the first texts of each head against the head's label (keys: 1 fits, 0 does
not fit, u undecided, Backspace or left goes back), or names heads with their labels hidden (--blind). Each answer is saved at once in notes.parquet beside
the run; the run's own tables are never changed. The person is a labeller: `--table` compares it with the others, `headspan stability` too, and
`headspan metrics --labels RUNS/DATASET/MODEL/notes.parquet` scores it.

Examples:
  headspan review my-clip --dataset photos --as anna
  headspan review my-clip --dataset photos --as ben --blind --listen 0.0.0.0 --token SECRET     on a phone, too
  headspan review my-clip --dataset photos --table";

/// After the help of `notes`.
pub(crate) const NOTES_HELP: &str = "\
Lists what people said of a run's heads in the explorer: confirmed and renamed labels, blind names, comments, tags, lists, judged texts, saved views.

Examples:
  headspan notes my-clip --dataset photos
  headspan notes my-clip --dataset photos --kind comment --json";

/// Flags of `review`.
#[derive(Debug, Args)]
pub(crate) struct ReviewArgs {
    /// Run: a model of the data set, or DATASET/MODEL; default: the only one
    pub(crate) model: Option<String>,
    /// Name under which answers are kept; default: the page asks
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Name heads, with their labels hidden
    #[arg(long)]
    pub(crate) blind: bool,
    /// Print how far labellers and people agree, instead of serving the page
    #[arg(long)]
    pub(crate) table: bool,
    /// Print JSON
    #[arg(long, requires = "table")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl ReviewArgs {
    pub(crate) fn pipeline(&self) -> PipelineArgs {
        self.source.at(&self.place)
    }
}

/// Flags of `notes`.
#[derive(Debug, Args)]
pub(crate) struct NotesArgs {
    /// Run: a model of the data set, or DATASET/MODEL; default: the only one
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only notes of this person
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Only notes of this kind: judgement, name, label, comment, tag, list or view
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
