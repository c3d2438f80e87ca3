use std::path::PathBuf;

use clap::Args;

use super::{
    PipelineArgs, PlaceArgs,
    pipeline::{DataArgs, DeviceArgs, LabelArgs},
};

/// After the help of `replicate`.
pub(crate) const HELP: &str = "\
A paper's file holds the setting of its runs and the figures that it published. Runs that have images are brought up to date as by `run-all`; then
zeroshot, ablate, repair and prune measure what the figures need. The table has published and measured figures side by side; below it, what is
defined differently, what a run was made with otherwise, and what was not measured and why. Known papers: 2310.05916, 2409.06579, 2503.11103; a file
papers/NAME.toml in the configuration folder replaces one of them or adds one. docs/science.md says how a file of your own is written.

Examples:
  headspan replicate 2310.05916 --dry-run
  headspan replicate 2310.05916 --images imagenet-val=imagenet/val --images waterbirds=waterbirds/test.csv
  headspan replicate 2409.06579 --images imagenet/val --labeller lexicon --limit 5000 --json
  headspan replicate my-paper.toml --runs runs";

/// Flags of `replicate`.
#[derive(Debug, Args)]
pub(crate) struct ReplicateArgs {
    /// Name of a paper, or the file of one of your own, which ends in .toml
    pub(crate) paper: String,
    /// Images of a data set of the paper; without a name, of its first; without images, runs must be there already
    #[arg(long, value_name = "[DATA=]PATH", help_heading = "Model and data")]
    pub(crate) images: Vec<String>,
    /// Class file of a data set of the paper; without a name, of its first
    #[arg(long, value_name = "[DATA=]FILE", help_heading = "Model and data")]
    pub(crate) classes: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    label: LabelArgs,
    /// Show what would run, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ReplicateArgs {
    /// The flags as those of a run over some images.
    pub(crate) fn pipeline(&self, images: Option<PathBuf>, classes: Option<PathBuf>) -> PipelineArgs {
        let mut own = PipelineArgs {
            data: self.data.clone(),
            device: self.device.clone(),
            label: self.label.clone(),
            ..self.place.alone()
        };
        own.images.images = images;
        own.images.classes = classes;
        own
    }

    /// The folder of configuration.
    pub(crate) fn configs(&self) -> &PathBuf {
        &self.place.configs
    }

    /// Whether the data set's name was given.
    pub(crate) fn names_dataset(&self) -> bool {
        self.place.dataset.is_some()
    }
}
