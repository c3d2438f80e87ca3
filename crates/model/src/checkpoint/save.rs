use std::{collections::BTreeMap, error::Error};

use burn::tensor::DType;
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, burn_pack::Tensor as StoredTensor};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensorError, tensor::TensorView};

use super::weights::ValueType;

use crate::{
    backends::burn::Clip,
    error::{ClipError, Result},
    families::clip::ClipConfig,
};

/// Float type of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedPrecision {
    /// As they are in memory.
    Float32,
    /// Half the bytes; each weight rounded to 11 significant bits.
    Float16,
}

impl Clip {
    /// The weights as the bytes of `open_clip_model.safetensors`: OpenCLIP's names and PyTorch's layout, so that OpenCLIP
    /// loads them too. The same weights give the same bytes.
    pub fn to_open_clip(&self, precision: SavedPrecision) -> Result<Vec<u8>> {
        let mut saved = BTreeMap::new();
        for tensor in self.collect(None, Some(Box::new(BurnToPyTorchAdapter)), false) {
            let name = open_clip_name(&tensor.name);
            let shape: Vec<usize> = if name == "logit_scale" { Vec::new() } else { tensor.shape.to_vec() };
            let values = float32(&name, tensor)?;
            let stored_as = match precision {
                SavedPrecision::Float32 => ValueType::Float32,
                SavedPrecision::Float16 => ValueType::Float16,
            };
            saved.insert(name, SavedTensor::new(shape, &values, &stored_as));
        }
        serialised(&saved)
    }
}

/// A tensor as safetensors have it.
pub(crate) struct SavedTensor {
    shape: Vec<usize>,
    dtype: Dtype,
    /// Little-endian.
    bytes: Vec<u8>,
}

impl SavedTensor {
    /// Values in a type; those of float64 as float32, which is all that a model computes with.
    pub(crate) fn new(shape: Vec<usize>, values: &[f32], stored_as: &ValueType) -> Self {
        let (dtype, bytes) = match stored_as {
            ValueType::Float16 => {
                (Dtype::F16, values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect())
            }
            ValueType::Bfloat16 => {
                (Dtype::BF16, values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect())
            }
            ValueType::Float64 | ValueType::Float32 | ValueType::Other(_) => {
                (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        Self { shape, dtype, bytes }
    }
}

/// The bytes of a file of safetensors.
pub(crate) fn serialised(saved: &BTreeMap<String, SavedTensor>) -> Result<Vec<u8>> {
    let views: BTreeMap<&String, TensorView<'_>> = saved
        .iter()
        .map(|(name, SavedTensor { shape, dtype, bytes })| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<_, SafeTensorError>>()
        .map_err(|source| ClipError::Save { source })?;
    safetensors::serialize(views, None).map_err(|source| ClipError::Save { source })
}

fn float32(name: &str, tensor: StoredTensor) -> Result<Vec<f32>> {
    let failed = |source: Box<dyn Error + Send + Sync>| ClipError::SaveTensor { tensor: name.to_owned(), source };
    if tensor.dtype != DType::F32 {
        return Err(failed(format!("it has type {:?}; only float32 modules are saved", tensor.dtype).into()));
    }
    let bytes = tensor.into_bytes().map_err(|error| failed(error.into()))?;
    let (values, _rest) = bytes.as_chunks::<4>();
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// Our module's name to OpenCLIP's: the reverse of what loading does.
fn open_clip_name(name: &str) -> String {
    let name = name.strip_prefix("text.").unwrap_or(name);
    let name =
        name.replace("attn.in_proj.weight", "attn.in_proj_weight").replace("attn.in_proj.bias", "attn.in_proj_bias");
    if name.ends_with("conv1") { format!("{name}.weight") } else { name }
}

impl ClipConfig {
    /// The architecture as `open_clip_config.json`.
    pub fn to_open_clip(&self) -> serde_json::Value {
        let (vision, text) = (&self.vision, &self.text);
        let ratio = |mlp_width: usize, width: usize| mlp_width as f64 / width as f64;
        serde_json::json!({
            "model_cfg": {
                "embed_dim": self.embed_dim,
                "quick_gelu": self.quick_gelu,
                "vision_cfg": {
                    "image_size": vision.image_size,
                    "layers": vision.layers,
                    "width": vision.width,
                    "head_width": vision.head_width,
                    "patch_size": vision.patch_size,
                    "mlp_ratio": ratio(vision.mlp_width, vision.width),
                },
                "text_cfg": {
                    "context_length": text.context_length,
                    "vocab_size": text.vocab_size,
                    "width": text.width,
                    "heads": text.heads,
                    "layers": text.layers,
                    "mlp_ratio": ratio(text.mlp_width, text.width),
                },
            },
            "preprocess_cfg": { "mean": self.preprocess.mean, "std": self.preprocess.std },
        })
    }
}
