use std::sync::Arc;

use headspan_images::Preprocess;

use crate::{
    backends::cpu::CpuVision,
    error::Result,
    families::VisionGeometry,
    precision::Precision,
    readout::ReadoutFolder,
    tokenizer::TokenBatch,
    trace::{HostTrace, TraceRequest},
};

/// An image tower on its device. Pixels come from main memory and results go there.
pub trait VisionTower: Send + Sync {
    /// Its sizes.
    fn geometry(&self) -> &VisionGeometry;

    /// How images become pixels.
    fn preprocess(&self) -> &Preprocess;

    /// The forward pass with the outputs of the heads asked for (design section 1), of normalised pixels
    /// `[images, 3, side, side]`. An error if a layer does not exist, or if pixels are not a whole number of images.
    fn trace(&self, pixels: Vec<f32>, request: &TraceRequest) -> Result<HostTrace>;

    /// Image features `r`, not normalised, `[images, d]`, of pixels as for [`VisionTower::trace`].
    fn encode(&self, pixels: Vec<f32>) -> Result<Vec<f32>> {
        Ok(self.trace(pixels, &TraceRequest::default())?.representation)
    }

    /// The weights that readouts are folded from, read from the device once.
    fn readout_folder(&self) -> Result<ReadoutFolder>;

    /// The tower for many passes on its device in a precision: what its linear layers multiply. An error if the device cannot compute
    /// with it.
    fn for_passes(&self, precision: Precision) -> Result<Box<dyn VisionTower>>;

    /// Our own pass of the tower on the CPU, with a copy of the weights unless the tower is that pass; none for a tower that we have no
    /// such pass of. An error if it cannot compute with the precision.
    fn cpu_pass(&self, precision: Precision) -> Result<Option<Arc<CpuVision>>> {
        let _ = precision;
        Ok(None)
    }
}

/// A text tower on its device.
pub trait TextTower: Send + Sync {
    /// Text features, not normalised, `[texts, d]`, in main memory.
    fn encode(&self, tokens: &TokenBatch) -> Result<Vec<f32>>;
}

/// Both towers of a model.
pub(crate) struct Towers {
    pub(crate) vision: Box<dyn VisionTower>,
    /// None for an image tower alone.
    pub(crate) text: Option<Box<dyn TextTower>>,
}
