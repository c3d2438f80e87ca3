use std::{path::Path, sync::Arc};

use crate::{
    backends::{burn::Clip, cpu::CpuVision},
    checkpoint::Checkpoint,
    device::{DeviceChoice, OpenDevice},
    error::{ClipError, Result},
    families::{ModelConfig, TextTower, Towers, VisionTower, clip::ClipConfig},
    precision::Precision,
    rates::{PassRate, pass_rates},
    readout::ReadoutFolder,
    tokenizer::TokenBatch,
    trace::{HostTrace, TraceRequest},
};

/// The towers of a model on a device.
pub struct LoadedModel {
    vision: Box<dyn VisionTower>,
    text: Option<Box<dyn TextTower>>,
    /// Burn's image tower on the CPU beside the one on a GPU.
    reference: Option<Box<dyn VisionTower>>,
    is_for_queries: bool,
    device: OpenDevice,
}

impl LoadedModel {
    /// Loads a model for extraction: on a GPU the image tower is loaded on the CPU as well ([`LoadedModel::reference_pass`]). An
    /// error names every tensor that does not fit the configuration.
    pub fn load(weights: &Path, config: &ModelConfig, device: OpenDevice) -> Result<Self> {
        Self::of_checkpoint(&Checkpoint::open(weights)?, config, device)
    }

    /// As [`LoadedModel::load`], of a checkpoint that is open.
    pub fn of_checkpoint(checkpoint: &Checkpoint, config: &ModelConfig, device: OpenDevice) -> Result<Self> {
        let towers = config.towers().load(checkpoint, &device)?;
        let mut model = Self::of_towers(towers, device);
        if !model.on_cpu() {
            model.reference = Some(config.towers().load_vision(checkpoint, &OpenDevice::cpu())?);
        }
        Ok(model)
    }

    /// Loads a model for single images and texts: for its device alone, on a CPU by our own passes alone, and with the token embedding
    /// left in the file where it can be ([`Checkpoint::towers_bytes`]). The file must not change while the model is in use.
    pub fn for_queries(checkpoint: &Checkpoint, config: &ModelConfig, device: OpenDevice) -> Result<Self> {
        let towers = config.towers().load_for_queries(checkpoint, &device)?;
        Ok(Self { is_for_queries: true, ..Self::of_towers(towers, device) })
    }

    /// As [`LoadedModel::for_queries`], with weights drawn at random: for measurements.
    pub fn random(config: &ModelConfig, device: OpenDevice) -> Result<Self> {
        let towers = config.towers().draw(&device)?;
        Ok(Self { is_for_queries: true, ..Self::of_towers(towers, device) })
    }

    /// A model that was trained or changed in memory. Its modules are on `device`, without automatic differentiation.
    pub fn of_modules(modules: Clip, config: &ClipConfig, device: OpenDevice) -> Self {
        Self::of_towers(config.towers_in(modules, &device), device)
    }

    fn of_towers(Towers { vision, text }: Towers, device: OpenDevice) -> Self {
        Self { vision, text, reference: None, is_for_queries: false, device }
    }

    /// The device that it is on.
    pub fn device(&self) -> DeviceChoice {
        self.device.choice()
    }

    /// Whether texts are encoded on the CPU.
    pub fn texts_on_cpu(&self) -> bool {
        !matches!(self.device(), DeviceChoice::Wgpu(_))
    }

    /// Whether it is on the CPU.
    pub fn on_cpu(&self) -> bool {
        self.device() == DeviceChoice::Cpu
    }

    /// Bytes that are free on its card, where the driver tells; none for a CPU.
    pub fn free_memory(&self) -> Option<u64> {
        self.device.free_memory()
    }

    /// The image tower: its sizes, and a pass on the device in single precision. It is Burn's, but by CUDA and for queries on a CPU ours.
    pub fn vision(&self) -> &dyn VisionTower {
        &*self.vision
    }

    /// The weights that readouts are folded from, read from the device once.
    pub fn readout_folder(&self) -> Result<ReadoutFolder> {
        self.vision.readout_folder()
    }

    /// The fastest pass of the image tower on the device: ours on a CPU and by CUDA, else Burn's. An error if it cannot compute with the
    /// precision.
    pub fn vision_pass(&self, precision: Precision) -> Result<VisionPass> {
        VisionPass::of(&*self.vision, self.on_cpu(), precision)
    }

    /// How fast passes of a model with this configuration are on the device, in some precisions ([`pass_rates`]).
    pub fn pass_rates(&self, config: &ModelConfig, precisions: &[Precision]) -> Result<Vec<PassRate>> {
        pass_rates(config, &self.device, precisions)
    }

    /// Burn's pass on the CPU in single precision, with which other passes are compared. None if the model is for queries, or on a GPU
    /// and was not loaded by [`LoadedModel::load`].
    pub fn reference_pass(&self) -> Option<&dyn VisionTower> {
        let itself = || (self.on_cpu() && !self.is_for_queries).then(|| self.vision());
        self.reference.as_deref().or_else(itself)
    }

    /// Text features, not normalised, `[texts, d]`. On a CPU, where they are computed for CUDA too, threads of the current rayon pool share the texts. An error where rows of a
    /// token embedding that was left in its file cannot be read, where the device fails, or where the model is an image tower alone.
    pub fn encode_texts(&self, tokens: &TokenBatch) -> Result<Vec<f32>> {
        self.text.as_ref().ok_or(ClipError::NoTexts)?.encode(tokens)
    }
}

/// How many images go through an image tower.
pub struct VisionPass(Pass);

enum Pass {
    /// Our own, on the thread pool that it is called in.
    Own { vision: Arc<CpuVision>, images: usize },
    /// That of a tower, on its device.
    Tower(Box<dyn VisionTower>),
}

impl VisionPass {
    pub(crate) fn of(tower: &dyn VisionTower, on_cpu: bool, precision: Precision) -> Result<Self> {
        if on_cpu && let Some(vision) = tower.cpu_pass(precision)? {
            let images = vision.default_images();
            return Ok(Self(Pass::Own { vision, images }));
        }
        Ok(Self(Pass::Tower(tower.for_passes(precision)?)))
    }

    /// Our own pass on the CPU, if this is it.
    pub fn own(&self) -> Option<&CpuVision> {
        match &self.0 {
            Pass::Own { vision, .. } => Some(vision),
            Pass::Tower(_) => None,
        }
    }

    /// The pass with so many images going through the model together on each thread. On a GPU it takes all that it is given.
    #[must_use]
    pub fn with_images_per_pass(mut self, number: usize) -> Self {
        if let Pass::Own { images, .. } = &mut self.0 {
            *images = number;
        }
        self
    }

    /// The forward pass of normalised pixels `[images, 3, side, side]`. Errors as [`VisionTower::trace`].
    pub fn trace(&self, pixels: Vec<f32>, request: &TraceRequest) -> Result<HostTrace> {
        match &self.0 {
            Pass::Own { vision, images } => vision.trace_by(*images, &pixels, request),
            Pass::Tower(tower) => tower.trace(pixels, request),
        }
    }
}
