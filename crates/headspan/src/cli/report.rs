use std::path::PathBuf;

use clap::Args;

use super::{PlaceArgs, local_folder};

/// After the help of `report`.
pub(crate) const HELP: &str = "\
Writes index.html, a page for each run, data/ with every table and figure as CSV, and figures/ with SVG. A section is made from a table of the run; the page says
which command measures what is missing. With --paper also paper/: LaTeX tables (booktabs), figures (pgfplots), and main.tex, which includes all of them.

Examples:
  headspan report --dataset photos
  headspan report my-clip my-clip-tuned --dataset photos --paper --out report";

/// Flags of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Runs: models of the data set; default: all that have metrics
    #[arg(value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Folder for the report; default: RUNS/DATASET/report
    #[arg(long, value_name = "DIR", value_parser = local_folder)]
    pub(crate) out: Option<PathBuf>,
    /// Also write LaTeX tables and figures
    #[arg(long)]
    pub(crate) paper: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
