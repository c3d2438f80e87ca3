//! What a finished model's file may hold.

use std::collections::BTreeMap;

use headspan_clip::ClipError;
use serde::Deserialize;

use crate::error::{Result, TrainError};

/// Bits of float16's exponent: all of them are set in infinities and NaN, and in nothing else.
const EXPONENT: u16 = 0x7c00;

/// A tensor as the header of a safetensors file names it.
#[derive(Deserialize)]
struct Stored {
    /// Its first byte after the header, and the one after its last.
    data_offsets: (usize, usize),
}

/// Errors if a value of these float16 safetensors is not finite.
pub(crate) fn finite(file: &[u8]) -> Result<()> {
    let failed = |message: String| TrainError::Clip(ClipError::Save { message });
    let cut = || failed("the file is cut short".to_owned());
    let (length, rest) = file.split_first_chunk().ok_or_else(cut)?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(cut)?;
    let tensors: BTreeMap<String, Stored> =
        serde_json::from_slice(header).map_err(|error| failed(error.to_string()))?;
    for (tensor, Stored { data_offsets: (first, end) }) in tensors {
        let (values, _rest) = data.get(first..end).ok_or_else(cut)?.as_chunks();
        if values.iter().any(|value| u16::from_le_bytes(*value) & EXPONENT == EXPONENT) {
            return Err(TrainError::Weights { tensor });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use headspan_clip::{Clip, SavedPrecision};

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
