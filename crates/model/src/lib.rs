//! Model families and the backends that run them, seen head by head.
//!
//! - [`ModelConfig::read`] reads a configuration by one of [`FAMILIES`]; a family's towers stand behind [`VisionTower`] and
//!   [`TextTower`]. CLIP and SigLIP are one ([`ClipConfig`]: `open_clip_config.json`, or the `config.json` of transformers), image
//!   towers without texts another (`DINOv2` and Vision Transformers of timm and transformers). An [`Alignment`] gives such a tower the
//!   texts of a CLIP, through a [`LinearMap`].
//! - [`LoadedModel`] is a model on a device: from a [`Checkpoint`] (safetensors or PyTorch, every tensor checked), with the forward
//!   pass in head space (design section 1) as a [`HostTrace`], by Burn or by passes of our own, on the CPU ([`CpuVision`]) and by CUDA.
//! - [`ReadoutFolder`] folds `W_O`, `ln_post` and the output projection into one readout per head, so that the contribution
//!   of a head is `c = B u`.
//! - [`Tokenizer`] turns texts into what OpenCLIP would feed the model.
//!
//! It uses the types of `headspan-headspace` and the preprocessing of `headspan-images`. Extraction, the analyses, the pipeline and
//! training use it. Burn stays in here: only `headspan-train` looks at its modules, in [`burn`].

mod backends;
mod checkpoint;
mod device;
mod device_memory;
mod error;
mod families;
mod loaded;
mod precision;
mod rates;
mod readout;
mod text_encoder;
mod tokenizer;
mod trace;

pub use backends::{
    cpu::{Calibration, CpuVision, InstructionSet},
    cuda::CudaProblem,
};
pub use checkpoint::{
    Checkpoint, CheckpointFiles, CheckpointLayout, FittingArchitecture, FoundFiles, Notice, SavedPrecision, TextFacts,
    WeightsFacts,
};
pub use device::{DeviceChoice, DeviceDescription, OpenDevice, available_devices, cuda_problem, open_device};
pub use error::{ClipError, DeviceProblem, ForeignFile, Result};
pub use families::{
    Activation, BlockShape, FAMILIES, Family, Member, ModelConfig, ModelOptions, Pooling, Rotary, RotaryPlaces,
    TextLimits, TextStyle, TextTower, TokenStyle, VisionGeometry, VisionShape, VisionTower,
    aligned::{AlignedPart, Alignment, LinearMap, MapFile},
    architectures,
    clip::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig},
};
pub use loaded::{LoadedModel, VisionPass};
pub use precision::Precision;
pub use rates::{PassRate, pass_rates};
pub use readout::ReadoutFolder;
pub use tokenizer::{TextTokens, TokenBatch, Tokenizer, is_tokenized_anew};
pub use trace::{HostTokens, HostTrace, TraceRequest};

/// Burn's modules of the towers, for training. Everything else uses [`LoadedModel`], which hides them.
pub mod burn {
    pub use crate::{
        backends::burn::{
            Attention, AttentionPool, BurnTextTower, BurnVisionTower, Clip, HeadTrace, Mlp, ResidualBlock, TokenTrace,
            Transformer, TransformerConfig,
        },
        text_encoder::TextEncoder,
    };
}
