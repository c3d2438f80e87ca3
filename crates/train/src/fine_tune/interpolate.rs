//! A model between two models (`WiSE-FT`, arXiv 2109.01903).

use std::collections::BTreeMap;

use headspan_model::ClipError;
use safetensors::{Dtype, SafeTensorError, SafeTensors, serialize, tensor::TensorView};

use crate::error::{Result, TrainError};

/// Weights `share` of the way from one model to another, both as float32 safetensors with the same tensors.
pub(crate) fn between(before: &[u8], after: &[u8], share: f64) -> Result<Vec<u8>> {
    let failed = |error: SafeTensorError| TrainError::Clip(ClipError::Save { source: error });
    let [before, after] = [before, after].map(|bytes| SafeTensors::deserialize(bytes).map_err(failed));
    let (before, after) = (before?, after?);
    let mut mixed: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, one) in before.tensors() {
        let other = after.tensor(&name).map_err(failed)?;
        let numbers = |view: &TensorView<'_>| -> Vec<f32> {
            view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let mix = |(one, other): (f32, f32)| (f64::from(one) + share * (f64::from(other) - f64::from(one))) as f32;
        let values = numbers(&one).into_iter().zip(numbers(&other)).map(mix);
        mixed.insert(name, (one.shape().to_vec(), values.flat_map(f32::to_le_bytes).collect()));
    }
    let views = mixed.iter().map(|(name, (shape, bytes))| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(failed)?))
    });
    serialize(views.collect::<Result<Vec<_>>>()?, None).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(value: f32) -> Vec<u8> {
        let bytes: Vec<u8> = [value, 2.0 * value].into_iter().flat_map(f32::to_le_bytes).collect();
        let view = TensorView::new(Dtype::F32, vec![2], &bytes).expect("two numbers");
        serialize([("weight", view)], None).expect("one tensor")
    }

    #[test]
    fn the_ends_are_the_models_and_the_middle_is_their_mean() -> Result<()> {
        let (before, after) = (file(1.0), file(3.0));
        assert_eq!(between(&before, &after, 0.0)?, before);
        assert_eq!(between(&before, &after, 1.0)?, after);
        assert_eq!(between(&before, &after, 0.5)?, file(2.0));
        Ok(())
    }
}
