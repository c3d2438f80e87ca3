use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;
use headspan_pipeline::ccs_level;

use super::{RunArgs, classification::ClassesArgs, pipeline::local_folder};

/// After the help of `prune`.
pub(crate) const HELP: &str = "\
Heads are scaled in the forward pass, so that later layers see the change (the total effect; `ablate` measures the direct effect). The images go
through the model again. Writes pruning.parquet into the run. --save writes a checkpoint with the heads scaled, which OpenCLIP loads; with --scales, which
gives each head a factor of its own (`head,factor` a line), nothing else is done, and with --checkpoint no run is needed.

Examples:
  headspan prune my-clip --dataset photos --ccs 5 --ccs 0-1 --random 3
  headspan prune my-clip --dataset photos --heads L11.H3,L11.H7 --factor 0.5 --save my-clip-softer
  headspan prune --checkpoint my-clip --scales heads.csv --save my-clip-steered";

/// Flags of `prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) classes: ClassesArgs,
    /// Heads that are scaled together: L3.H5,L3.H6 (a list), L3 (a layer), or a property
    #[arg(long, value_name = "HEADS", help_heading = "Question")]
    pub(crate) heads: Vec<String>,
    /// File of heads that are scaled together, one a line
    #[arg(long, value_name = "FILE", help_heading = "Question")]
    pub(crate) head_file: Option<PathBuf>,
    /// Heads with this number of consistent texts, such as 5 or 0-1; may be given several times
    #[arg(long, value_name = "LEVEL", value_parser = ccs_level, help_heading = "Question")]
    pub(crate) ccs: Vec<RangeInclusive<u32>>,
    /// What the heads' outputs are multiplied by: 0 removes them
    #[arg(
        long,
        value_name = "FACTOR",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Question"
    )]
    pub(crate) factor: f32,
    /// File with a factor for each head (`head,factor` a line), for --save alone
    #[arg(long, value_name = "FILE", requires = "save", conflicts_with_all = ["heads", "head_file", "ccs", "factor"], help_heading = "Question")]
    pub(crate) scales: Option<PathBuf>,
    /// Maximum number of images, spread evenly over the run's; default: all
    #[arg(long, value_name = "N", help_heading = "Question")]
    pub(crate) limit: Option<usize>,
    /// Number of random sets of as many heads beside each set; each sends the images through the model once more
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Question")]
    pub(crate) random: usize,
    /// Seed of the random sets
    #[arg(long, default_value_t = 0, help_heading = "Question")]
    pub(crate) seed: u64,
    /// Folder for a checkpoint with the heads scaled
    #[arg(long, value_name = "DIR", value_parser = local_folder, help_heading = "Answer")]
    pub(crate) save: Option<PathBuf>,
    /// Print JSON
    #[arg(long, help_heading = "Answer")]
    pub(crate) json: bool,
}
