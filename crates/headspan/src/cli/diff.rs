use std::path::PathBuf;

use clap::Args;
use headspan_metrics::Pairing;

use super::{PlaceArgs, output_file};

/// After the help of `diff`.
pub(crate) const HELP: &str = "\
Both runs must be over the same images. CKA compares what a head puts out over them: 1 is the same but for a rotation and a factor. The
overlap compares the directions in which its readout can write. docs/metrics.md defines all figures.

Examples:
  headspan diff my-clip my-clip-finetuned --dataset photos
  headspan diff seed-1 seed-2 --dataset photos --pair assignment
  headspan diff photos/before photos/after --json";

/// Flags of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Run before: a model of the data set, or DATASET/MODEL
    pub(crate) before: String,
    /// Run after
    pub(crate) after: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How heads find each other: `position`, or `assignment` (one to one, with the largest sum of CKA), for models that were trained apart;
    /// default: by position where both have the same heads
    #[arg(long, value_name = "HOW", value_parser = pairing)]
    pub(crate) pair: Option<Pairing>,
    /// Labeller whose labels are compared; default: the first by name that both have
    #[arg(long, value_name = "NAME")]
    pub(crate) labeller: Option<String>,
    /// File for the report; default: RUNS/DATASET/diff.html
    #[arg(long, value_name = "FILE", value_parser = output_file)]
    pub(crate) html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn pairing(name: &str) -> Result<Pairing, String> {
    match name {
        "position" => Ok(Pairing::Position),
        "assignment" => Ok(Pairing::Assignment),
        _ => Err("expected position or assignment".to_owned()),
    }
}
