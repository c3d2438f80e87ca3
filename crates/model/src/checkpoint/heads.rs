//! Heads scaled in the weights, so that every pass of every backend sees them scaled: what a head writes into the residual stream, and so everything
//! that later blocks make of it (the total effect).

use std::collections::BTreeMap;

use headspan_headspace::HeadId;

use super::{
    Checkpoint, CheckpointLayout,
    save::{SavedTensor, serialised},
    weights::Weights,
};
use crate::{
    error::{ClipError, Result},
    families::{ModelConfig, clip::expected},
};

impl Checkpoint {
    /// The same weights with heads of the image tower scaled: 0 removes a head, 1 leaves it. The columns of the output projection `W_O` that
    /// read a head's `head_dim` numbers are multiplied; its bias, which belongs to no head, stays. An error for a head that the model does not
    /// have, and for a model that normalises all heads' outputs together: its projection reads a head with the mean of all.
    pub fn with_scaled_heads(&self, config: &ModelConfig, scales: &BTreeMap<HeadId, f32>) -> Result<Self> {
        let vision = &config.vision;
        let mut by_layer: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        for (head, scale) in scales {
            let is_there = (head.layer as usize) < vision.layers && (head.head as usize) < vision.heads;
            if !is_there || !scale.is_finite() {
                return Err(ClipError::ScaledHead { head: *head, scale: *scale });
            }
            by_layer.entry(head.layer).or_insert_with(|| vec![1.0; vision.heads])[head.head as usize] = *scale;
        }
        if let Some(head) = scales.keys().next()
            && self.tensors.keys().any(|name| name.ends_with(".attn.ln_inner.weight"))
        {
            return Err(ClipError::ScaledNorm { head: *head });
        }
        let mut scaled = self.clone();
        for (layer, scales) in by_layer {
            let name = format!("visual.transformer.resblocks.{layer}.attn.out_proj.weight");
            let Some(weights) = scaled.tensors.get_mut(&name) else {
                return Err(ClipError::ScaledHead { head: HeadId { layer, head: 0 }, scale: scales[0] });
            };
            *weights = columns_scaled(weights.clone(), scales);
        }
        Ok(scaled)
    }

    /// The weights as the bytes of `open_clip_model.safetensors`, each tensor in the type that it was stored in. An error for names that OpenCLIP would
    /// not load under: only checkpoints with its names and layout, and `CLIPModel` of transformers, become such a file.
    pub fn to_open_clip(&self) -> Result<Vec<u8>> {
        if !matches!(self.layout, CheckpointLayout::OpenClip | CheckpointLayout::HuggingFace) {
            return Err(ClipError::SavedLayout { path: self.path.clone(), layout: self.layout });
        }
        let mut saved = BTreeMap::new();
        let own = self.tensors.iter().filter(|(name, _)| !expected::is_buffer(name));
        for (name, weights) in own {
            let failed = |error: burn_store::burn_pack::Error| ClipError::SaveTensor {
                tensor: name.clone(),
                source: error.to_string().into(),
            };
            let values = weights.values().map_err(failed)?;
            saved.insert(name.clone(), SavedTensor::new(weights.shape.clone(), &values, &weights.stored_as));
        }
        serialised(&saved)
    }
}

/// A matrix `[outputs, heads · head_dim]` whose columns of each head are multiplied.
fn columns_scaled(weights: Weights, scales: Vec<f32>) -> Weights {
    let (shape, stored_as) = (weights.shape.clone(), weights.stored_as.clone());
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let of_head = (columns / scales.len().max(1)).max(1);
    let scaled = Weights::computed(shape, move || {
        let mut values = weights.values()?;
        for row in values.chunks_mut(columns) {
            for (own, scale) in row.chunks_mut(of_head).zip(&scales) {
                // A head that is removed is removed, whatever its weights are.
                for value in own.iter_mut() {
                    *value = if *scale == 0.0 { 0.0 } else { *value * scale };
                }
            }
        }
        Ok(values)
    });
    scaled.of_type(stored_as)
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::checkpoint::weights::ValueType;

    #[test]
    fn the_columns_of_a_head_are_scaled() {
        let bytes: Vec<u8> = (0..8).flat_map(|value: u8| f16::from_f32(f32::from(value)).to_le_bytes()).collect();
        let weights = Weights::whole(vec![2, 4], ValueType::Float16, move || Ok(bytes.clone()));
        let scaled = columns_scaled(weights, vec![0.0, 0.5]);
        assert_eq!((scaled.shape.clone(), &scaled.stored_as), (vec![2, 4], &ValueType::Float16));
        assert_eq!(scaled.values().expect("values"), [0.0, 0.0, 1.0, 1.5, 0.0, 0.0, 3.0, 3.5]);
    }
}
