use std::path::PathBuf;

use clap::Args;
use headspan_model::ModelOptions;

use super::DEFAULT_CONFIGS;

/// After the help of `inspect`.
pub(crate) const HELP: &str = "\
The table says where each fact comes from: the shapes of the weights, the configuration, or an assumption. Without a configuration, inspect
names the architectures that have these tensors. It loads no weights and writes nothing. Exit code 1: headspan cannot use the checkpoint as it is.

Examples:
  headspan inspect my-clip
  headspan inspect model.pt
  headspan inspect model.pt --architecture ViT-B-16 --quick-gelu
  headspan inspect ViT-L-14_openai";

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Checkpoint: a folder, its file of weights, or the id of a model that is fetched
    pub(crate) checkpoint: PathBuf,
    /// Architecture of weights without a configuration, such as ViT-B-32
    #[arg(long, value_name = "NAME")]
    architecture: Option<String>,
    /// Activation is QuickGELU, as in OpenAI's weights; `=false` for GELU
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    quick_gelu: Option<bool>,
    /// Image size in pixels; position embeddings of other sizes are interpolated
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// Folder of configuration, with more models in `models/`
    #[arg(long, value_name = "DIR", default_value = DEFAULT_CONFIGS)]
    pub(crate) configs: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl InspectArgs {
    /// What the user says of the model.
    pub(crate) fn options(&self) -> ModelOptions {
        ModelOptions {
            architecture: self.architecture.clone(),
            quick_gelu: self.quick_gelu,
            image_size: self.image_size,
        }
    }
}
