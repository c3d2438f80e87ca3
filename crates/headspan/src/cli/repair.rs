use std::path::PathBuf;

use clap::Args;
use headspan_metrics::Replacement;
use headspan_pipeline::Templates;

use super::{RunArgs, pipeline::count};

/// After the help of `repair`.
pub(crate) const HELP: &str = "\
A cue is spurious if it goes with the class in some images and not in others, as water does with water birds. The table shows the accuracy of the
worst group before and after heads are removed, beside as many random heads. Heads are those of --heads or --head-file, those whose ablation raises
the accuracy of the worst group most (the default), or those that vary most along a text. Means and choices come from one part of the images, accuracy
from the other. Writes repair.parquet into the run. docs/science.md has the definitions.

Examples:
  headspan repair ViT-L-14_openai --dataset waterbirds --group y --group place --test split=2
  headspan repair my-clip --dataset celeba --cue Male --heads hair --text 'a photo of a man' --text 'a photo of a woman'
  headspan repair my-clip --dataset photos --groups table.csv --learn --class side --cue ground --correlation 0.95 --heads backgrounds";

/// Flags of `repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Texts of a class, as for `zeroshot`; default: as `zeroshot` made them
    #[arg(long, value_name = "TEMPLATES", help_heading = "Question")]
    pub(crate) templates: Option<Templates>,
    /// Column with the groups of the images; may be given several times, for combinations of their values
    #[arg(long, value_name = "COLUMN", help_heading = "Question")]
    pub(crate) group: Vec<String>,
    /// Table of all columns that are named here, with the images' paths or `image_id`; default: the manifest of the run
    #[arg(long, value_name = "FILE", help_heading = "Question")]
    pub(crate) groups: Option<PathBuf>,
    /// Column with the cue; without --group, groups are each class with each value of the cue, and without both the column `group`
    #[arg(long, value_name = "COLUMN", help_heading = "Question")]
    pub(crate) cue: Option<String>,
    /// Images that give accuracy, all others give means and choices; default: two halves by image id
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = assignment, help_heading = "Question")]
    pub(crate) test: Option<(String, String)>,
    /// Classify by the nearest mean representation of the classes, learned from the images, and not by the classes' texts
    #[arg(long, conflicts_with = "templates", help_heading = "Question")]
    pub(crate) learn: bool,
    /// Column with the classes that are learned; default: the classes of the images
    #[arg(long, value_name = "COLUMN", requires = "learn", help_heading = "Question")]
    pub(crate) class: Option<String>,
    /// Share of each class's weight, in learning, that images have whose cue is the class; default: images weigh the same
    #[arg(long, value_name = "SHARE", requires_all = ["learn", "cue"], help_heading = "Question")]
    pub(crate) correlation: Option<f64>,
    /// Heads that are removed together: a property, a list such as L3.H5,L3.H6, or a layer; may be given several times
    #[arg(long, value_name = "HEADS", help_heading = "Question")]
    pub(crate) heads: Vec<String>,
    /// File of heads that are removed together, one a line
    #[arg(long, value_name = "FILE", help_heading = "Question")]
    pub(crate) head_file: Option<PathBuf>,
    /// Remove the heads whose ablation raises the accuracy of the worst group most; this is the default if no heads are named
    #[arg(long, help_heading = "Question")]
    pub(crate) by_ablation: bool,
    /// Remove the heads that vary most along this text; may be given several times, for texts that differ in the cue alone
    #[arg(long, value_name = "TEXT", help_heading = "Question")]
    pub(crate) text: Vec<String>,
    /// Number of heads that texts choose, and maximum that ablation chooses
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count(1..=65_536), help_heading = "Question")]
    pub(crate) count: usize,
    /// What takes their place: mean, zero, or scale:FACTOR; may be given several times
    #[arg(long, value_name = "HOW", default_value = "mean", help_heading = "Question")]
    pub(crate) replace: Vec<Replacement>,
    /// Number of random sets of as many heads
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Question")]
    pub(crate) permutations: usize,
    /// Seed of the halves of the images and of the random sets
    #[arg(long, default_value_t = 0, help_heading = "Question")]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long, help_heading = "Answer")]
    pub(crate) json: bool,
}

/// `split=2`.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() && !value.is_empty() => Ok((column.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not COLUMN=VALUE, such as split=2")),
    }
}
