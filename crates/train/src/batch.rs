use burn::tensor::{Device, Tensor, TensorData};
use headspan_clip::{ClipConfig, TokenBatch, Tokenizer};
use headspan_scenes::{Scene, World};
use rayon::prelude::*;

use crate::error::Result;

/// Images with a caption each.
pub(crate) struct Batch {
    /// Normalised pixels, `[scenes, 3, side, side]`.
    pub(crate) pixels: Tensor<4>,
    /// Their captions.
    pub(crate) tokens: TokenBatch,
}

impl Batch {
    /// Renders `count` scenes from `first` on.
    pub(crate) fn render(
        world: &World,
        first: u64,
        count: usize,
        config: &ClipConfig,
        tokenizer: &Tokenizer,
        device: &Device,
    ) -> Result<Self> {
        let scenes: Vec<_> = (first..first + count as u64).into_par_iter().map(|index| world.scene(index)).collect();
        let side = config.vision.image_size;
        let values = Self::values(&scenes, config);
        let mut rows = Vec::with_capacity(count);
        for scene in &scenes {
            let text = scene.captions.first().unwrap_or(&scene.full_caption);
            rows.push(tokenizer.encode(text)?.0);
        }
        let pixels = Tensor::from_data(TensorData::new(values, [count, 3, side, side]), device);
        Ok(Self { pixels, tokens: TokenBatch::new(&rows) })
    }

    /// Normalised pixels of scenes, `[scenes, 3, side, side]`.
    pub(crate) fn values(scenes: &[Scene], config: &ClipConfig) -> Vec<f32> {
        let plane = config.vision.image_size * config.vision.image_size;
        let mut values = vec![0.0_f32; scenes.len() * 3 * plane];
        for (scene, out) in scenes.iter().zip(values.chunks_exact_mut(3 * plane)) {
            for channel in 0..3 {
                let (mean, std) = (config.preprocess.mean[channel], config.preprocess.std[channel]);
                for (pixel, out) in scene.image.chunks_exact(3).zip(&mut out[channel * plane..]) {
                    *out = (f32::from(pixel[channel]) / 255.0 - mean) / std;
                }
            }
        }
        values
    }
}
