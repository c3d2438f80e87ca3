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
    /// Models to show; default: every finished run of the data set. Without any run and any flag: the demo, which is run first
    pub(crate) models: Vec<String>,
    /// Address to listen on; one that is not of this machine alone lets others in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7478", help_heading = "Server")]
    pub(crate) listen: SocketAddr,
    /// Token that every request must carry (`Authorization: Bearer TOKEN`; in a browser as the password, with any name)
    #[arg(long, value_name = "TOKEN", env = "HEADSPAN_TOKEN", hide_env_values = true, help_heading = "Server")]
    pub(crate) token: Option<String>,
    /// Questions answered at once; default: one a core
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Instead of serving: write pages and all that they show to this folder, for a browser without a server
    #[arg(long, value_name = "DIR", requires = "page", help_heading = "Static pages")]
    pub(crate) save: Option<PathBuf>,
    /// Page to write, as its address stands after the server's; may be given several times
    #[arg(long, value_name = "PATH", requires = "save", help_heading = "Static pages")]
    pub(crate) page: Vec<String>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}
