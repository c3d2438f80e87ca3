use std::fmt;

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use crate::error::{ClipError, Result};

/// What the products of a pass multiply; they are always added up in single precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Float32,
    /// Weights and inputs of the blocks' linear layers rounded to 8 significant bits. Norms, residual stream, patch embedding and output
    /// projection stay in single precision, and attention does but on AMX, where its products' inputs are rounded too. On a CPU faster only with
    /// AVX-512 BF16 or AMX.
    Bfloat16,
    /// The same with 11 significant bits and values up to 65,504, on GPUs alone. Burn rounds outputs of the linear layers too; by CUDA they
    /// stay in single precision.
    Float16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
        })
    }
}

impl Precision {
    /// Burn's name.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::Float32 => DType::F32,
            Self::Bfloat16 => DType::BF16,
            Self::Float16 => DType::F16,
        }
    }

    /// An error if Burn cannot multiply so on a device.
    pub(crate) fn check(self, device: &Device) -> Result<()> {
        if device.supports_dtype(self.dtype()) {
            return Ok(());
        }
        Err(ClipError::Precision { precision: self, why: "this device cannot compute with it" })
    }
}
