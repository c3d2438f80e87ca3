//! The image tower on a card.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    card::Card,
    device::{self, Device},
    memory::Memory,
    traced::trace,
    weights::{Tower, upload},
};
use crate::{
    backends::burn::BurnVisionTower,
    error::Result,
    precision::Precision,
    trace::{HostTrace, TraceRequest},
};

/// The image tower for passes on a card. Its weights are there once; each pass that runs beside others has a stream and memory of its own.
pub(crate) struct CudaVision {
    card: Arc<Card>,
    tower: Tower<device::Memory>,
    /// Streams that no pass runs on.
    idle: Mutex<Vec<Lane>>,
}

/// A stream with the memory of its last pass.
struct Lane {
    device: Device,
    memory: Option<Memory<device::Memory>>,
}

impl CudaVision {
    /// Uploads the weights of a tower that is in main memory.
    pub(crate) fn new(tower: &BurnVisionTower, precision: Precision, card: &Arc<Card>) -> Result<Self> {
        let device = Device::new(card)?;
        let tower = upload(tower, precision, &device)?;
        Ok(Self { card: Arc::clone(card), tower, idle: Mutex::new(vec![Lane { device, memory: None }]) })
    }

    /// The pass over normalised pixels `[images, 3, side, side]`. Two at once keep a card busy: while one computes, the pixels of the other
    /// go there and its results come back. An image's bits may depend on how many others go with it: cuBLASLt chooses its algorithms by size.
    pub(crate) fn trace(&self, pixels: &[f32], request: &TraceRequest) -> Result<HostTrace> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lane = match idle {
            Some(lane) => lane,
            None => Lane { device: Device::new(&self.card)?, memory: None },
        };
        let traced = trace(&mut lane.device, &self.tower, &mut lane.memory, pixels, request);
        // A stream that failed is not used again.
        if traced.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        }
        traced
    }
}
