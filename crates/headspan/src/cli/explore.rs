//! Flags of the explorer.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf};

use clap::Args;

use super::PipelineArgs;

const EXPLORE_HELP: &str = "\
Examples:
  headspan explore                                       the demo, which is run first if it has not been
  headspan explore --dataset imagenet-val                every finished run of the data set
  headspan explore --dataset imagenet-val --save appendix --page '/r/imagenet-val/ViT-L-14_openai/head/L23.H7'";

/// Flags of `explore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLORE_HELP)]
pub(crate) struct ExploreArgs {
    /// Models to show; default: every finished run of the data set, or the demo if there are no runs
    pub(crate) models: Vec<String>,
    /// Address to listen on; a non-loopback address is reachable from other machines
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7478", help_heading = "Server")]
    pub(crate) listen: SocketAddr,
    /// Token that every request must carry: `Authorization: Bearer TOKEN`, or the password in a browser (any user name)
    #[arg(long, value_name = "TOKEN", env = "HEADSPAN_TOKEN", hide_env_values = true, help_heading = "Server")]
    pub(crate) token: Option<String>,
    /// Number of questions answered at once; default: one per core
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Write pages with everything that they show to this folder, instead of serving them
    #[arg(long, value_name = "DIR", requires = "page", help_heading = "Static pages")]
    pub(crate) save: Option<PathBuf>,
    /// Page to write: its address without the server; may be given several times
    #[arg(long, value_name = "PATH", requires = "save", help_heading = "Static pages")]
    pub(crate) page: Vec<String>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}
