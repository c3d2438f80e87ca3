//! CLIP's towers as the rest of the workspace sees them, on Burn's modules.

use std::sync::Arc;

use burn::tensor::Device;

use crate::{
    backends::{
        burn::{BurnVisionTower, Clip},
        cpu::CpuText,
    },
    checkpoint::{Checkpoint, Notice},
    device::{DeviceChoice, OpenDevice},
    error::{ClipError, Result},
    families::{
        Activation, FamilyTowers, ModelConfig, ModelOptions, TextLimits, TextStyle, TextTower, TokenStyle, Towers,
        VisionShape, VisionTower,
        clip::{ClipConfig, TextConfig, VisionConfig},
        image_towers,
    },
    text_encoder::TextEncoder,
    tokenizer::TokenBatch,
};

struct ClipText {
    encoder: TextEncoder,
    device: Device,
}

impl TextTower for CpuText {
    fn encode(&self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        CpuText::encode(self, tokens)
    }
}

impl TextTower for ClipText {
    fn encode(&self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ClipError::Device {
            doing: "reading text features back",
            source,
        };
        let features = self.encoder.encode(tokens, &self.device)?;
        let data = features.try_into_data().map_err(|error| failed(error.into()))?;
        data.try_into_vec::<f32>().map_err(|error| failed(error.into()))
    }
}

impl ClipConfig {
    fn vision_of(&self, tower: BurnVisionTower, device: &OpenDevice) -> Box<dyn VisionTower> {
        image_towers::on_device(tower, device, self.parts().geometry(), self.preprocessing())
    }

    fn towers_of(&self, (vision, text): (BurnVisionTower, TextEncoder), device: &OpenDevice) -> Towers {
        Towers { vision: self.vision_of(vision, device), text: Some(burn_text(text, device)) }
    }

    /// On a CPU our own passes alone.
    fn towers_for_queries(
        &self,
        (vision, text): (BurnVisionTower, TextEncoder),
        device: &OpenDevice,
    ) -> Result<Towers> {
        let vision = image_towers::for_queries(vision, device, self.parts().geometry(), self.preprocessing())?;
        Ok(Towers { vision, text: Some(text_of(text, device)?) })
    }

    /// The towers of a model that is in memory, which is on `device`.
    pub(crate) fn towers_in(&self, Clip { visual, text, .. }: Clip, device: &OpenDevice) -> Towers {
        self.towers_of((visual, text.into()), device)
    }
}

/// The text tower for inference: ours on a CPU, which also encodes the texts of a card by CUDA; Burn's on other GPUs.
fn text_of(text: TextEncoder, device: &OpenDevice) -> Result<Box<dyn TextTower>> {
    if let DeviceChoice::Wgpu(_) = device.choice() {
        return Ok(burn_text(text, device));
    }
    let (tower, rows) = text.into_parts();
    Ok(Box::new(CpuText::new(tower, rows)?))
}

fn burn_text(encoder: TextEncoder, device: &OpenDevice) -> Box<dyn TextTower> {
    Box::new(ClipText { encoder, device: device.burn().clone() })
}

impl FamilyTowers for ClipConfig {
    fn family(&self) -> &'static str {
        match self.text.style.tokens {
            TokenStyle::Siglip => "SigLIP",
            TokenStyle::Clip | TokenStyle::Unknown => "CLIP",
        }
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        checkpoint.check_parts(&self.parts())
    }

    fn open_clip(&self) -> Option<serde_json::Value> {
        let is_plain = self.vision.shape == VisionShape::default() && self.text.style == TextStyle::default();
        is_plain.then(|| self.to_open_clip())
    }

    fn with(&self, options: &ModelOptions) -> Result<ModelConfig> {
        Ok(self.clone().with(options)?.into())
    }

    fn activation(&self) -> Activation {
        // GELU's approximation is never assumed.
        let tanh = self.vision.shape.gelu_tanh;
        Activation { quick_gelu: self.quick_gelu, tanh, is_stated: self.activation_is_stated || tanh }
    }

    fn notices(&self, checkpoint: &Checkpoint) -> Vec<Notice> {
        checkpoint.notices(self)
    }

    fn load(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        let Clip { visual, text, .. } = checkpoint.load(self, device.burn())?;
        Ok(Towers { vision: self.vision_of(visual, device), text: Some(text_of(text.into(), device)?) })
    }

    fn load_for_queries(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        self.towers_for_queries(checkpoint.load_towers(self, device.burn())?, device)
    }

    fn load_vision(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        Ok(self.vision_of(self.load_module(checkpoint, device.burn())?, device))
    }

    fn load_module(&self, checkpoint: &Checkpoint, device: &Device) -> Result<BurnVisionTower> {
        Ok(checkpoint.load(self, device)?.visual)
    }

    fn draw_vision(&self, blocks: usize, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        let vision = VisionConfig { layers: blocks, ..self.vision.clone() };
        let tower = BurnVisionTower::new(&vision, self.embed_dim, self.quick_gelu, device.burn());
        Ok(Self { vision, ..self.clone() }.vision_of(tower, device))
    }

    fn draw(&self, device: &OpenDevice) -> Result<Towers> {
        let Clip { visual, text, .. } = self.init(device.burn());
        self.towers_for_queries((visual, text.into()), device)
    }
}

impl From<ClipConfig> for ModelConfig {
    fn from(config: ClipConfig) -> Self {
        let TextConfig { context_length, vocab_size, ref style, .. } = config.text;
        let text = TextLimits { context_length, vocab_size, tokens: style.tokens };
        Self::new(config.parts().geometry(), Some(text), config.preprocessing(), Arc::new(config))
    }
}
