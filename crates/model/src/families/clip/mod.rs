//! CLIP by OpenAI and OpenCLIP, and `CLIPModel` of Hugging Face transformers.

mod config;
pub(crate) mod expected;
pub(crate) mod huggingface;
mod preprocessor;

pub(crate) use config::check_std;
pub use config::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig};
