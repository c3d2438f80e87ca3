use std::path::PathBuf;

use headspan_model::{ClipConfig, PreprocessConfig, TextConfig, TextStyle, VisionConfig, VisionShape};
use headspan_scenes::World;
use serde::{Deserialize, Serialize};

use crate::optimizer::Schedule;

/// Everything that fixes a training: the same recipe on the same device gives the same weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Seed of the initial weights.
    pub seed: u64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Scenes of one step; every step sees new ones.
    pub batch_size: usize,
    /// Parts of a batch that go through the model side by side, a thread each: 1 on a GPU, the number of cores elsewhere.
    /// The parts are summed in order, so the weights depend on it by rounding.
    pub parts: usize,
    /// Highest learning rate, reached at the end of the warm-up.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from zero; then it falls to zero along a cosine.
    pub warmup_steps: u64,
    /// Steps over which the share of plain scenes falls from all to none. Without them a small model learns skies and colours
    /// first and then stands still: shapes, hidden among ten other things that vary, pull too weakly.
    pub easy_steps: u64,
    /// `AdamW`'s decay of the weights.
    pub weight_decay: f32,
    /// `AdamW`'s second decay rate.
    pub beta_2: f32,
    /// Share of the patches that a step leaves out, others of each scene (arXiv 2212.00794): what a text says must then be read off
    /// every patch that shows it, not off the one that tells most.
    #[serde(default)]
    pub patch_dropout: f32,
    /// Largest norm of one tensor's gradient.
    pub clip_norm: f32,
    /// Steps between two checkpoints.
    pub checkpoint_steps: u64,
    /// Most tokens of the tokenizer, its two special ones included. A model to begin with brings its own.
    pub vocabulary: usize,
    /// Folder of a trained model of this geometry to go on from, instead of weights drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_with: Option<PathBuf>,
    /// The scenes. `pixels` is the model's image size.
    pub world: World,
    /// The towers.
    pub model: Architecture,
}

/// Geometry of both towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Length `d` of the joint embedding.
    pub embed_dim: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Blocks of the image tower.
    pub layers: usize,
    /// Width of its residual stream.
    pub width: usize,
    /// Width of one of its heads.
    pub head_width: usize,
    /// Blocks of the text tower.
    pub text_layers: usize,
    /// Width of its residual stream.
    pub text_width: usize,
    /// Heads of one of its blocks.
    pub text_heads: usize,
    /// Most tokens of a text.
    pub context_length: usize,
    /// `x · sigmoid(1.702 x)` in the blocks, as in OpenAI's models, instead of GELU. A step on the CPU is the cheaper for it.
    #[serde(default)]
    pub quick_gelu: bool,
}

impl Recipe {
    /// The model's configuration with a tokenizer of so many tokens.
    pub fn config(&self, vocab_size: usize) -> ClipConfig {
        let model = &self.model;
        ClipConfig {
            embed_dim: model.embed_dim,
            vision: VisionConfig {
                image_size: self.world.pixels as usize,
                patch_size: model.patch_size,
                layers: model.layers,
                width: model.width,
                head_width: model.head_width,
                mlp_width: 4 * model.width,
                norm_epsilon: 1e-5,
                shape: VisionShape::default(),
            },
            text: TextConfig {
                context_length: model.context_length,
                vocab_size,
                width: model.text_width,
                heads: model.text_heads,
                layers: model.text_layers,
                mlp_width: 4 * model.text_width,
                norm_epsilon: 1e-5,
                style: TextStyle::default(),
            },
            quick_gelu: model.quick_gelu,
            activation_is_stated: true,
            interpolated: false,
            preprocess: PreprocessConfig { mean: [0.5; 3], std: [0.5; 3], ..PreprocessConfig::default() },
        }
    }

    /// The world of a step, counted from 0: plain scenes give way to all.
    pub(crate) fn world_at(&self, step: u64) -> World {
        let ease = if step < self.easy_steps { 1.0 - step as f32 / self.easy_steps as f32 } else { 0.0 };
        World { ease, captions: 1, ..self.world }
    }

    /// Learning rate of a step, counted from 0: linear warm-up, then half a cosine down to zero.
    pub fn learning_rate(&self, step: u64) -> f64 {
        Schedule { peak: self.learning_rate, warmup: self.warmup_steps, steps: self.steps }.rate(step)
    }
}

#[cfg(test)]
impl Recipe {
    /// A recipe for tests: seconds to train.
    pub(crate) fn small() -> Self {
        Self {
            seed: 1,
            steps: 6,
            batch_size: 8,
            parts: 2,
            learning_rate: 1e-3,
            warmup_steps: 2,
            easy_steps: 3,
            weight_decay: 0.01,
            beta_2: 0.98,
            patch_dropout: 0.0,
            clip_norm: 1.0,
            checkpoint_steps: 2,
            vocabulary: 700,
            begin_with: None,
            world: World { seed: 1, pixels: 32, ..World::default() },
            model: Architecture {
                embed_dim: 16,
                patch_size: 16,
                layers: 2,
                width: 32,
                head_width: 8,
                text_layers: 1,
                text_width: 32,
                text_heads: 4,
                context_length: 48,
                quick_gelu: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let recipe = Recipe { steps: 100, warmup_steps: 10, learning_rate: 1.0, ..Recipe::small() };
        let rate = |step| recipe.learning_rate(step);
        assert!((rate(0) - 0.1).abs() < 1e-12 && (rate(9) - 1.0).abs() < 1e-12 && (rate(10) - 1.0).abs() < 1e-12);
        assert!((rate(55) - 0.5).abs() < 1e-12, "half way down the cosine");
        assert!(rate(99) < 1e-3);
    }
}
