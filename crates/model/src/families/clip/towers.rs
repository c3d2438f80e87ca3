//! CLIP's towers as the rest of the workspace sees them, on Burn's modules.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_images::Preprocess;

use crate::{
    backends::{
        burn::{BurnVisionTower, Clip},
        cpu::{CpuText, CpuVision},
        cuda::{Card, CudaVision},
    },
    checkpoint::{Checkpoint, Notice},
    device::{DeviceChoice, OpenDevice},
    error::{ClipError, Result},
    families::{
        Activation, FamilyTowers, ModelConfig, ModelOptions, TextLimits, TextTower, Towers, VisionGeometry,
        VisionTower,
        clip::{ClipConfig, VisionConfig},
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

/// Our own pass of the image tower on the CPU, without Burn's.
struct OwnVision {
    pass: Arc<CpuVision>,
    geometry: VisionGeometry,
    preprocess: Preprocess,
}

/// The image tower on a card by CUDA, with the weights in main memory too.
struct CardVision {
    tower: BurnVisionTower,
    precision: Precision,
    card: Arc<Card>,
    /// The weights on the card, from the first pass on: a tower that only makes others needs none.
    pass: Mutex<Option<Arc<CudaVision>>>,
    geometry: VisionGeometry,
    preprocess: Preprocess,
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

    fn cpu_pass(&self, precision: Precision) -> Result<Option<Arc<CpuVision>>> {
        Ok(Some(Arc::new(CpuVision::new(&self.tower, precision)?)))
    }
}

impl OwnVision {
    /// Its weights are there in single precision alone.
    fn check(precision: Precision) -> Result<()> {
        match precision {
            Precision::Float32 => Ok(()),
            _ => Err(ClipError::Precision { precision, why: "the model was loaded for single images" }),
        }
    }
}

impl VisionTower for OwnVision {
    fn geometry(&self) -> &VisionGeometry {
        &self.geometry
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn trace(&self, pixels: Vec<f32>, request: &TraceRequest) -> Result<HostTrace> {
        self.pass.trace(&pixels, request)
    }

    fn readout_folder(&self) -> Result<ReadoutFolder> {
        let rounded = || ClipError::Precision { precision: Precision::Bfloat16, why: "readouts need exact weights" };
        self.pass.readout_folder().ok_or_else(rounded)
    }

    fn for_passes(&self, precision: Precision) -> Result<Box<dyn VisionTower>> {
        Self::check(precision)?;
        let pass = Arc::clone(&self.pass);
        Ok(Box::new(Self { pass, geometry: self.geometry, preprocess: self.preprocess }))
    }

    fn cpu_pass(&self, precision: Precision) -> Result<Option<Arc<CpuVision>>> {
        Self::check(precision)?;
        Ok(Some(Arc::clone(&self.pass)))
    }
}

impl CardVision {
    fn pass(&self) -> Result<Arc<CudaVision>> {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pass) = &*pass {
            return Ok(Arc::clone(pass));
        }
        let uploaded = Arc::new(CudaVision::new(&self.tower, self.precision, &self.card)?);
        Ok(Arc::clone(pass.insert(uploaded)))
    }
}

impl VisionTower for CardVision {
    fn geometry(&self) -> &VisionGeometry {
        &self.geometry
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn trace(&self, pixels: Vec<f32>, request: &TraceRequest) -> Result<HostTrace> {
        self.pass()?.trace(&pixels, request)
    }

    fn readout_folder(&self) -> Result<ReadoutFolder> {
        ReadoutFolder::new(&self.tower)
    }

    fn for_passes(&self, precision: Precision) -> Result<Box<dyn VisionTower>> {
        self.card.check(precision)?;
        let (tower, card) = (self.tower.clone(), Arc::clone(&self.card));
        let pass = if precision == self.precision { Some(self.pass()?) } else { None };
        Ok(Box::new(Self {
            tower,
            precision,
            card,
            pass: Mutex::new(pass),
            geometry: self.geometry,
            preprocess: self.preprocess,
        }))
    }

    fn cpu_pass(&self, precision: Precision) -> Result<Option<Arc<CpuVision>>> {
        Ok(Some(Arc::new(CpuVision::new(&self.tower, precision)?)))
    }
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
        if let Some(card) = device.card() {
            return Box::new(CardVision {
                tower,
                precision: Precision::Float32,
                card: Arc::clone(card),
                pass: Mutex::new(None),
                geometry: self.geometry(),
                preprocess: self.preprocessing(),
            });
        }
        Box::new(ClipVision {
            tower,
            device: device.burn().clone(),
            geometry: self.geometry(),
            preprocess: self.preprocessing(),
            staged: false,
        })
    }

    fn towers_of(&self, (vision, text): (BurnVisionTower, TextEncoder), device: &OpenDevice) -> Towers {
        Towers { vision: self.vision_of(vision, device), text: burn_text(text, device) }
    }

    /// On a CPU our own passes alone.
    fn towers_for_queries(
        &self,
        (vision, text): (BurnVisionTower, TextEncoder),
        device: &OpenDevice,
    ) -> Result<Towers> {
        let vision = match device.choice() {
            DeviceChoice::Cpu => self.own_vision(vision)?,
            _ => self.vision_of(vision, device),
        };
        Ok(Towers { vision, text: text_of(text, device)? })
    }

    /// Our own pass of an image tower, which is let go.
    fn own_vision(&self, tower: BurnVisionTower) -> Result<Box<dyn VisionTower>> {
        let pass = Arc::new(CpuVision::of_tower(tower, Precision::Float32)?);
        Ok(Box::new(OwnVision { pass, geometry: self.geometry(), preprocess: self.preprocessing() }))
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
        let Clip { visual, text, .. } = checkpoint.load(self, device.burn())?;
        Ok(Towers { vision: self.vision_of(visual, device), text: text_of(text.into(), device)? })
    }

    fn load_for_queries(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        self.towers_for_queries(checkpoint.load_towers(self, device.burn())?, device)
    }

    fn load_vision(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        Ok(self.vision_of(checkpoint.load(self, device.burn())?.visual, device))
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
        let text = TextLimits { context_length: config.text.context_length, vocab_size: config.text.vocab_size };
        Self::new(config.geometry(), text, config.preprocessing(), Arc::new(config))
    }
}
