use burn::{
    module::{Initializer, Module, Param},
    tensor::{Device, Tensor},
};

use crate::{
    backends::burn::{BurnTextTower, BurnVisionTower},
    families::clip::ClipConfig,
};

/// A CLIP model: two towers and the learned temperature.
#[derive(Module, Debug)]
pub struct Clip {
    /// Image tower.
    pub visual: BurnVisionTower,
    /// Text tower.
    pub text: BurnTextTower,
    /// Logarithm of the factor on cosine similarities, shape `[1]`.
    pub logit_scale: Param<Tensor<1>>,
}

impl Clip {
    /// The model with its products in halves: as exact as float32 where a device's matrix units round what they multiply to fewer
    /// bits, for three products instead of one.
    #[must_use]
    pub fn with_split_products(mut self) -> Self {
        self.visual = self.visual.with_split_products();
        self.text.split = true;
        self.text.transformer.split_products();
        self
    }
}

impl ClipConfig {
    /// Makes the modules. Parameters are drawn lazily at first use, so loading a checkpoint over them costs no draw.
    pub fn init(&self, device: &Device) -> Clip {
        Clip {
            visual: BurnVisionTower::new(&self.vision, self.embed_dim, self.quick_gelu, device),
            text: BurnTextTower::new(&self.text, self.embed_dim, self.quick_gelu, device),
            // CLIP starts at a temperature of 0.07.
            logit_scale: Initializer::Constant { value: (1.0_f64 / 0.07).ln() }.init([1], device),
        }
    }
}
