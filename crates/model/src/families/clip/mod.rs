//! CLIP by OpenAI and OpenCLIP, and `CLIPModel` of Hugging Face transformers.

pub(crate) mod architectures;
mod config;
pub(crate) mod expected;
pub(crate) mod huggingface;
mod keywords;
mod open_clip;
mod preprocessor;
pub(crate) mod siglip;
mod towers;

use crate::{
    error::Result,
    families::{Family, ModelConfig},
};

pub(crate) use config::check_std;
pub use config::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig};

/// The configuration of an architecture that is known by name.
pub(crate) fn config_of(name: &str) -> Result<ModelConfig> {
    Ok(architectures::config(name)?.into())
}

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "CLIP",
    recognises: |value| value.get("model_cfg").is_some() || value.get("vision_config").is_some(),
    read: |path, value| Ok(ClipConfig::from_json(path, value)?.into()),
    refuses: open_clip::REFUSED,
};
