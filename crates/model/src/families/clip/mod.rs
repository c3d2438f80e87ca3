//! CLIP by OpenAI and OpenCLIP, and `CLIPModel` of Hugging Face transformers.

mod config;
pub(crate) mod expected;
pub(crate) mod huggingface;
mod preprocessor;
mod towers;

use crate::families::Family;

pub(crate) use config::check_std;
pub use config::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig};

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "CLIP",
    recognises: |value| value.get("model_cfg").is_some() || value.get("vision_config").is_some(),
    read: |path, value| Ok(ClipConfig::from_json(path, value)?.into()),
    refuses: config::REFUSED,
};
