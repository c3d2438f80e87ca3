use clap::Args;

use super::{PlaceArgs, pipeline::count};

/// After the help of `weights`.
pub(crate) const HELP: &str = "\
A head can write only where its readout reaches. The table shows for each head its strongest direction, the direction's share of the squared
singular values, the texts that name it, and the cosine between the direction and their sum. Images play no part, but for the comparison with
TEXTSPAN and the label. docs/science.md defines all figures.

Examples:
  headspan weights my-clip --dataset photos
  headspan weights my-clip --dataset photos --directions 10 --json";

/// Flags of `weights`.
#[derive(Debug, Args)]
pub(crate) struct WeightsArgs {
    /// Run: a model of the data set, or DATASET/MODEL; default: the only one
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Number of directions that are named per head
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(1..=65_536))]
    pub(crate) directions: usize,
    /// Maximum number of texts per direction
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(1..=64))]
    pub(crate) texts_per_direction: usize,
    /// Labeller whose properties are compared; default: the first by name
    #[arg(long, value_name = "NAME")]
    pub(crate) labeller: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
