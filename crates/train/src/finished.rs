//! What a finished model's file may hold.

use headspan_model::ClipError;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::error::{Result, TrainError};

/// Bits of float16's exponent: all of them are set in infinities and NaN, and in nothing else.
const EXPONENT: u16 = 0x7c00;

/// The same of float32.
const WIDE_EXPONENT: u32 = 0x7f80_0000;

/// Errors if a value of these float16 or float32 safetensors is not finite.
pub(crate) fn finite(file: &[u8]) -> Result<()> {
    let failed = |error: SafeTensorError| TrainError::Clip(ClipError::Save { source: error });
    let tensors = SafeTensors::deserialize(file).map_err(failed)?;
    let mut names = tensors.names();
    names.sort_unstable();
    for tensor in names {
        let view = tensors.tensor(tensor).map_err(failed)?;
        let is_wrong = if view.dtype() == Dtype::F32 {
            let values = view.data().as_chunks().0;
            values.iter().any(|value| u32::from_le_bytes(*value) & WIDE_EXPONENT == WIDE_EXPONENT)
        } else {
            view.data().as_chunks().0.iter().any(|value| u16::from_le_bytes(*value) & EXPONENT == EXPONENT)
        };
        if is_wrong {
            return Err(TrainError::Weights { tensor: tensor.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use headspan_model::{SavedPrecision, burn::Clip};

    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn a_tensor_that_float16_cannot_hold_is_named() -> Result<()> {
        let model = Recipe::small().config(500).init(&Device::flex());
        let checked = |model: &Clip| finite(&model.to_open_clip(SavedPrecision::Float16)?);
        for (scale, holds) in [
            (65_504.0, true),
            (-65_504.0, true),
            (0.0, true),
            (65_520.0, false),
            (-1e9, false),
            (f32::NAN, false),
            (f32::INFINITY, false),
        ] {
            let mut model = model.clone();
            model.logit_scale = model.logit_scale.map(|scale_was| Tensor::full_like(&scale_was, scale));
            match checked(&model) {
                Ok(()) => assert!(holds, "{scale} was written"),
                Err(TrainError::Weights { tensor }) => assert!(!holds && tensor == "logit_scale", "{scale}: {tensor}"),
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    #[test]
    fn a_file_that_is_cut_short_is_not_finite() -> Result<()> {
        let model = Recipe::small().config(500).init(&Device::flex());
        let file = model.to_open_clip(SavedPrecision::Float16)?;
        assert!(finite(&file).is_ok());
        for length in [0, 7, 100, file.len() - 1] {
            assert!(finite(&file[..length]).is_err(), "{length} bytes");
        }
        Ok(())
    }
}
