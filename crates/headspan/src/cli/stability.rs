use clap::Args;

use super::PlaceArgs;

/// After the help of `stability`.
pub(crate) const HELP: &str = "\
Random halves of the images give TEXTSPAN and the lexicon anew: how many of a head's first texts do both halves pick, and is the property the same?
With --with, the same heads of other runs: with another pool, other prompts, another language model or temperature. Between the labellers of the run and the
people who reviewed it: Krippendorff's alpha and Cohen's kappa. Writes stability.parquet into the run. docs/science.md defines all figures.

Examples:
  headspan stability my-clip --dataset photos
  headspan stability my-clip --dataset photos --with photos-own-pool/my-clip --with photos-hot/my-clip --json";

/// Flags of `stability`.
#[derive(Debug, Args)]
pub(crate) struct StabilityArgs {
    /// Run: a model of the data set, or DATASET/MODEL; default: the only one
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Number of random splits of the images into halves; 0 leaves the halves out
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) splits: usize,
    /// Seed of the splits
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Another run of the same heads: a model of the data set, or DATASET/MODEL; may be given several times
    #[arg(long, value_name = "RUN", alias = "against")]
    pub(crate) with: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
