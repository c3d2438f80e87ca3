use burn::tensor::{Device, Tensor, TensorData};
use headspan_clip::{Clip, CpuVision, HostTrace, TraceRequest};

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
        /// The model.
        model: &'a Clip,
        /// Its device.
        device: &'a Device,
    },
}

impl ForwardPass<'_> {
    /// Forward pass of decoded pixels `[images, 3, side, side]`.
    pub(crate) fn trace(&self, pixels: Vec<f32>, side: usize, request: &TraceRequest) -> Result<HostTrace> {
        match self {
            Self::Cpu { vision, images } => Ok(vision.trace_by(*images, &pixels, request)?),
            Self::Burn { model, device } => {
                let shape = [pixels.len() / (3 * side * side), 3, side, side];
                let pixels: Tensor<4> = Tensor::from_data(TensorData::new(pixels, shape), *device);
                Ok(model.visual.trace(pixels, request)?.into_host()?)
            }
        }
    }
}
