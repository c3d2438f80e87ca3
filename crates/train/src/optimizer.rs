//! What both kinds of training share: the optimiser and its learning rate.

use std::f64::consts::PI;

use burn::{
    grad_clipping::GradientClippingConfig,
    optim::{AdamWConfig, ModuleOptimizer},
};

/// `AdamW` with CLIP's epsilon.
pub(crate) fn optimizer(beta_2: f32, weight_decay: f32, clip_norm: f32) -> ModuleOptimizer {
    AdamWConfig::new()
        .with_beta_2(beta_2)
        .with_epsilon(1e-6)
        .with_weight_decay(weight_decay)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(clip_norm)))
        .init()
}

/// Linear warm-up, then half a cosine down to zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Highest learning rate, at the end of the warm-up.
    pub(crate) peak: f64,
    /// Steps of the warm-up.
    pub(crate) warmup: u64,
    /// Steps of the whole training.
    pub(crate) steps: u64,
}

impl Schedule {
    /// Learning rate of a step, counted from 0.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / (self.steps - self.warmup).max(1) as f64;
        self.peak * 0.5 * (1.0 + (PI * progress).cos())
    }
}
