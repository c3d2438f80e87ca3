use std::sync::Arc;

use burn::tensor::Device;

use super::VitConfig;
use crate::{
    backends::burn::BurnVisionTower,
    checkpoint::{Checkpoint, Notice},
    device::OpenDevice,
    error::Result,
    families::{
        Activation, FamilyTowers, ModelConfig, ModelOptions, Towers, VisionTower, clip::VisionConfig, image_towers,
    },
};

impl VitConfig {
    fn for_queries(&self, tower: BurnVisionTower, device: &OpenDevice) -> Result<Towers> {
        let vision = image_towers::for_queries(tower, device, self.parts().geometry(), self.preprocessing())?;
        Ok(Towers { vision, text: None })
    }
}

impl FamilyTowers for VitConfig {
    fn family(&self) -> &'static str {
        "ViT without texts"
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.check_parts(&self.parts())
    }

    fn with(&self, options: &ModelOptions) -> Result<ModelConfig> {
        Ok(self.clone().with(options)?.into())
    }

    fn activation(&self) -> Activation {
        // The name of an architecture says it, and transformers' default is the only one.
        Activation { quick_gelu: self.quick_gelu, tanh: self.vision.shape.gelu_tanh, is_stated: true }
    }

    fn notices(&self, checkpoint: &Checkpoint) -> Vec<Notice> {
        checkpoint.notices_of(&self.parts())
    }

    fn load(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        Ok(Towers { vision: self.load_vision(checkpoint, device)?, text: None })
    }

    fn load_for_queries(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        self.for_queries(checkpoint.load_vision(&self.parts(), device.burn())?, device)
    }

    fn load_vision(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        let tower = self.load_module(checkpoint, device.burn())?;
        Ok(image_towers::on_device(tower, device, self.parts().geometry(), self.preprocessing()))
    }

    fn load_module(&self, checkpoint: &Checkpoint, device: &Device) -> Result<BurnVisionTower> {
        checkpoint.load_vision(&self.parts(), device)
    }

    fn draw_vision(&self, blocks: usize, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        let short = Self { vision: VisionConfig { layers: blocks, ..self.vision.clone() }, ..self.clone() };
        let parts = short.parts();
        let tower = BurnVisionTower::new(parts.vision, parts.embed_dim, parts.quick_gelu, device.burn());
        Ok(image_towers::on_device(tower, device, parts.geometry(), short.preprocessing()))
    }

    fn draw(&self, device: &OpenDevice) -> Result<Towers> {
        let parts = self.parts();
        let tower = BurnVisionTower::new(parts.vision, parts.embed_dim, parts.quick_gelu, device.burn());
        self.for_queries(tower, device)
    }
}

impl From<VitConfig> for ModelConfig {
    fn from(config: VitConfig) -> Self {
        Self::new(config.parts().geometry(), None, config.preprocessing(), Arc::new(config))
    }
}
