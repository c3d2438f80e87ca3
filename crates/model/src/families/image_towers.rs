//! Image towers of any family as the rest of the workspace sees them: Burn's module, and our own passes.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use headspan_images::Preprocess;

use crate::{
    backends::{burn::BurnVisionTower, cpu::CpuVision},
    device::{DeviceChoice, OpenDevice},
    error::{ClipError, Result},
    families::{VisionGeometry, VisionTower, card_tower::CardVision},
    precision::Precision,
    readout::ReadoutFolder,
    trace::{HostTrace, TraceRequest},
};

/// Burn's module on a device, or our own pass on a card by CUDA.
pub(crate) fn on_device(
    tower: BurnVisionTower,
    device: &OpenDevice,
    geometry: VisionGeometry,
    preprocess: Preprocess,
) -> Box<dyn VisionTower> {
    if let Some(card) = device.card() {
        return Box::new(CardVision::new(tower, Arc::clone(card), geometry, preprocess));
    }
    Box::new(BurnVision { tower, device: device.burn().clone(), geometry, preprocess, staged: false })
}

/// For single images: on a CPU our own pass alone, and the module is let go.
pub(crate) fn for_queries(
    tower: BurnVisionTower,
    device: &OpenDevice,
    geometry: VisionGeometry,
    preprocess: Preprocess,
) -> Result<Box<dyn VisionTower>> {
    if device.choice() != DeviceChoice::Cpu {
        return Ok(on_device(tower, device, geometry, preprocess));
    }
    let pass = Arc::new(CpuVision::of_tower(tower, Precision::Float32)?);
    Ok(Box::new(OwnVision { pass, geometry, preprocess }))
}

struct BurnVision {
    tower: BurnVisionTower,
    device: Device,
    geometry: VisionGeometry,
    preprocess: Preprocess,
    /// Whether pixels go through memory that the device can copy from by itself, where it has such: worth it for many.
    staged: bool,
}

/// Our own pass of the image tower on the CPU, without Burn's.
struct OwnVision {
    pass: Arc<CpuVision>,
    geometry: VisionGeometry,
    preprocess: Preprocess,
}

impl VisionTower for BurnVision {
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
