//! CLIP vision transformers, seen head by head.
//!
//! - [`ClipConfig`] reads `open_clip_config.json` (or the `config.json` of Hugging Face transformers) and
//!   [`ClipConfig::init`] makes the Burn modules; [`Checkpoint`] fills them from safetensors or PyTorch files and names
//!   every tensor that is missing, extra or misshapen.
//! - [`VisionTower::trace`] is the forward pass in head space (design section 1): per requested layer the class token's
//!   `z`, and what the three scalars need; no tensor `[tokens, heads, d]` exists anywhere.
//! - [`CpuVision`] is the same trace by products of our own, for the CPU.
//! - [`Readout`] folds `W_O`, `ln_post` and the output projection into one matrix per head, so that the contribution of a
//!   head is `c = B u`.
//! - [`Tokenizer`] turns texts into what OpenCLIP would feed the model.

mod backends;
mod checkpoint;
mod device;
mod device_memory;
mod error;
mod families;
mod feature;
mod precision;
mod readout;
mod text_encoder;
mod tokenizer;

pub use backends::burn::{
    Attention, Clip, HeadScalars, HeadTrace, HostTrace, Mlp, ResidualBlock, TextTower, TokenTrace, TraceRequest,
    Transformer, TransformerConfig, VisionTower,
};
pub use backends::cpu::{Calibration, CpuVision, InstructionSet};
pub use checkpoint::{Checkpoint, CheckpointFiles, CheckpointLayout, SavedPrecision};
pub use device::{DeviceChoice, DeviceDescription, available_devices, open_device};
pub use device_memory::free_device_memory;
pub use error::{ClipError, DeviceProblem, Result};
pub use families::clip::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig};
pub use feature::unit_feature;
pub use precision::Precision;
pub use readout::{Readout, ReadoutFolder};
pub use text_encoder::TextEncoder;
pub use tokenizer::{TokenBatch, Tokenizer};
