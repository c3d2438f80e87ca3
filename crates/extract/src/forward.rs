use burn::tensor::{Device, Tensor, TensorData};
use headspan_model::{CpuVision, HostTrace, TraceRequest, VisionTower};

use crate::error::Result;

/// How images go through the model.
pub(crate) enum ForwardPass<'a> {
    /// Our own pass, on the thread pool that it is called in.
    Cpu {
        /// The model, laid out for it.
        vision: Box<CpuVision>,
        /// Images that go through the model together.
        images: usize,
    },
    /// Burn's, on the model's device.
    Burn {
        /// The image tower.
        tower: Box<VisionTower>,
        /// Its device.
        device: &'a Device,
    },
}

impl ForwardPass<'_> {
    /// Forward pass of decoded pixels `[images, 3, side, side]`.
    pub(crate) fn trace(&self, pixels: Vec<f32>, side: usize, request: &TraceRequest) -> Result<HostTrace> {
        match self {
            Self::Cpu { vision, images } => Ok(vision.trace_by(*images, &pixels, request)?),
            Self::Burn { tower, device } => {
                let shape = [pixels.len() / (3 * side * side), 3, side, side];
                let mut pixels = TensorData::new(pixels, shape);
                // Into memory that the device can copy from by itself, where it has such.
                device.staging(std::iter::once(&mut pixels));
                Ok(tower.trace(Tensor::from_data(pixels, *device), request)?.into_host()?)
            }
        }
    }
}
