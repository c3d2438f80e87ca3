//! CLIP's towers as the rest of the workspace sees them, on Burn's modules.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use headspan_images::Preprocess;

use crate::{
    backends::{
        burn::{BurnVisionTower, Clip},
        cpu::CpuVision,
    },
    checkpoint::{Checkpoint, Notice},
    device::OpenDevice,
    error::{ClipError, Result},
    families::{
        Activation, FamilyTowers, ModelConfig, ModelOptions, TextLimits, TextTower, Towers, VisionGeometry,
        VisionTower, clip::ClipConfig,
    },
    precision::Precision,
    readout::ReadoutFolder,
    text_encoder::TextEncoder,
    tokenizer::TokenBatch,
    trace::{HostTrace, TraceRequest},
};

struct ClipVision {
    tower: BurnVisionTower,
    device: Device,
    geometry: VisionGeometry,
    preprocess: Preprocess,
    /// Whether pixels go through memory that the device can copy from by itself, where it has such: worth it for many.
    staged: bool,
}

struct ClipText {
    encoder: TextEncoder,
    device: Device,
}

impl VisionTower for ClipVision {
    fn geometry(&self) -> &VisionGeometry {
        &self.geometry
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn trace(&self, pixels: Vec<f32>, request: &TraceRequest) -> Result<HostTrace> {
        let side = self.geometry.image_size;
        let (values, image) = (pixels.len(), 3 * side * side);
        if !values.is_multiple_of(image) {
            return Err(ClipError::Pixels { values, image });
        }
        let mut pixels = TensorData::new(pixels, [values / image, 3, side, side]);
        if self.staged {
            self.device.staging(std::iter::once(&mut pixels));
        }
        self.tower.trace(Tensor::from_data(pixels, &self.device), request)?.into_host()
    }

    fn readout_folder(&self) -> Result<ReadoutFolder> {
        ReadoutFolder::new(&self.tower)
    }

    fn for_passes(&self, precision: Precision) -> Result<Box<dyn VisionTower>> {
        Ok(Box::new(Self {
            tower: self.tower.clone().in_precision(precision)?,
            device: self.device.clone(),
            geometry: self.geometry,
            preprocess: self.preprocess,
            staged: true,
        }))
    }

    fn cpu_pass(&self, precision: Precision) -> Result<Option<CpuVision>> {
        CpuVision::new(&self.tower, precision).map(Some)
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
        Box::new(ClipVision {
            tower,
            device: device.burn().clone(),
            geometry: self.geometry(),
            preprocess: self.preprocessing(),
            staged: false,
        })
    }

    fn towers_of(&self, (vision, text): (BurnVisionTower, TextEncoder), device: &OpenDevice) -> Towers {
        let text = Box::new(ClipText { encoder: text, device: device.burn().clone() });
        Towers { vision: self.vision_of(vision, device), text }
    }

    /// The towers of a model that is in memory, which is on `device`.
    pub(crate) fn towers_in(&self, Clip { visual, text, .. }: Clip, device: &OpenDevice) -> Towers {
        self.towers_of((visual, text.into()), device)
    }

    fn geometry(&self) -> VisionGeometry {
        let vision = &self.vision;
        VisionGeometry {
            layers: vision.layers,
            heads: vision.heads(),
            head_dim: vision.head_width,
            width: vision.width,
            mlp_width: vision.mlp_width,
            d: self.embed_dim,
            image_size: vision.image_size,
            grid: vision.grid(),
        }
    }
}

impl FamilyTowers for ClipConfig {
    fn with(&self, options: &ModelOptions) -> Result<ModelConfig> {
        Ok(self.clone().with(options)?.into())
    }

    fn activation(&self) -> Activation {
        Activation { quick_gelu: self.quick_gelu, is_stated: self.activation_is_stated }
    }

    fn notices(&self, checkpoint: &Checkpoint) -> Vec<Notice> {
        checkpoint.notices(self)
    }

    fn load(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        Ok(self.towers_in(checkpoint.load(self, device.burn())?, device))
    }

    fn load_for_queries(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        Ok(self.towers_of(checkpoint.load_towers(self, device.burn())?, device))
    }

    fn load_vision(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        Ok(self.vision_of(checkpoint.load(self, device.burn())?.visual, device))
    }

    fn draw(&self, device: &OpenDevice) -> Towers {
        self.towers_in(self.init(device.burn()), device)
    }
}

impl From<ClipConfig> for ModelConfig {
    fn from(config: ClipConfig) -> Self {
        let text = TextLimits { context_length: config.text.context_length, vocab_size: config.text.vocab_size };
        Self::new(config.geometry(), text, config.preprocessing(), Arc::new(config))
    }
}
