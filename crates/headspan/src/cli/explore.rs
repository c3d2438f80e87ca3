//! Flags of the explorer.

use std::{net::SocketAddr, num::NonZeroUsize};

use clap::Args;

use super::PipelineArgs;

/// Flags of `explore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExploreArgs {
    /// Models to show; default: every finished run of the data set. Without any run and any flag: the demo, which is run first
    pub(crate) models: Vec<String>,
    /// Address to listen on; one that is not of this machine alone lets others in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7478", help_heading = "Server")]
    pub(crate) listen: SocketAddr,
    /// Token that every request must carry (`Authorization: Bearer TOKEN`)
    #[arg(long, value_name = "TOKEN", env = "HEADSPAN_TOKEN", hide_env_values = true, help_heading = "Server")]
    pub(crate) token: Option<String>,
    /// Questions answered at once; default: one a core
    #[arg(long, value_name = "N", help_heading = "Server")]
    pub(crate) workers: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}
