use burn::tensor::{Device, Int, Tensor, TensorData};
use headspan_images::Preprocess;
use headspan_model::{ClipConfig, TokenBatch, Tokenizer};
use headspan_scenes::{Scene, World};
use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{error::Result, recipe::Recipe};

/// Images with a caption each.
pub(crate) struct Batch {
    /// Normalised pixels, `[scenes, 3, side, side]`.
    pub(crate) pixels: Tensor<4>,
    /// Their captions.
    pub(crate) tokens: TokenBatch,
    /// Numbers of the patches that stay in of each image, `[scenes, kept]`; all without it.
    pub(crate) kept: Option<Tensor<2, Int>>,
    /// Class of each image, where captions are made of classes: images of one class belong to the same captions.
    pub(crate) labels: Option<Vec<u32>>,
}

impl Batch {
    /// Renders `count` scenes from `first` on. Which patches stay in follows from the recipe's seed and the scene, so that it
    /// is the same however the batch is parted.
    pub(crate) fn render(
        recipe: &Recipe,
        world: &World,
        first: u64,
        count: usize,
        config: &ClipConfig,
        tokenizer: &Tokenizer,
        device: &Device,
    ) -> Result<Self> {
        let scenes: Vec<_> = (first..first + count as u64).into_par_iter().map(|index| world.scene(index)).collect();
        let side = config.vision.image_size;
        let values = Self::values(&scenes, &config.preprocessing());
        let mut rows = Vec::with_capacity(count);
        for scene in &scenes {
            let text = scene.captions.first().unwrap_or(&scene.full_caption);
            rows.push(tokenizer.encode(text)?.ids);
        }
        let pixels = Tensor::from_data(TensorData::new(values, [count, 3, side, side]), device);
        let patches = config.vision.grid() * config.vision.grid();
        let kept = kept_patches(recipe.patch_dropout, recipe.seed, first, count, patches, device);
        Ok(Self { pixels, tokens: TokenBatch::new(&rows), kept, labels: None })
    }

    /// Normalised pixels of scenes, `[scenes, 3, side, side]`.
    pub(crate) fn values(scenes: &[Scene], preprocess: &Preprocess) -> Vec<f32> {
        let plane = preprocess.size * preprocess.size;
        let mut values = vec![0.0_f32; scenes.len() * 3 * plane];
        for (scene, out) in scenes.iter().zip(values.chunks_exact_mut(3 * plane)) {
            for channel in 0..3 {
                let (mean, std) = (preprocess.mean[channel], preprocess.std[channel]);
                for (pixel, out) in scene.image.chunks_exact(3).zip(&mut out[channel * plane..]) {
                    *out = (f32::from(pixel[channel]) / 255.0 - mean) / std;
                }
            }
        }
        values
    }
}

/// Numbers of the patches that stay in of `count` images from `first` on, `[count, kept]`; none where all do.
pub(crate) fn kept_patches(
    dropout: f32,
    seed: u64,
    first: u64,
    count: usize,
    patches: usize,
    device: &Device,
) -> Option<Tensor<2, Int>> {
    if dropout <= 0.0 {
        return None;
    }
    let kept = (f64::from(1.0 - dropout) * patches as f64).round().max(1.0) as usize;
    let numbers = (first..first + count as u64).flat_map(|image| patches_of(seed, image, patches, kept));
    Some(Tensor::from_data(TensorData::new(numbers.collect(), [count, kept]), device))
}

/// Numbers of the patches that stay in of a scene, in rising order.
fn patches_of(seed: u64, scene: u64, patches: usize, kept: usize) -> Vec<i32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(scene);
    let mut numbers = sample(&mut random, patches, kept).into_vec();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| number as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_others_of_each_scene_and_the_same_again() {
        let drawn: Vec<_> = (0..3).map(|scene| patches_of(1, scene, 64, 16)).collect();
        assert!(
            drawn.iter().all(|some| some.len() == 16 && some.is_sorted() && some.iter().all(|number| *number < 64))
        );
        assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2]);
        assert_eq!(drawn[1], patches_of(1, 1, 64, 16));
    }
}
