//! Image towers on a card by CUDA.

use std::sync::{Arc, Mutex, PoisonError};

use headspan_images::Preprocess;

use crate::{
    backends::{
        burn::BurnVisionTower,
        cpu::CpuVision,
        cuda::{Card, CudaVision},
    },
    error::Result,
    families::{VisionGeometry, VisionTower},
    precision::Precision,
    readout::ReadoutFolder,
    trace::{HostTrace, TraceRequest},
};

/// The image tower on a card by CUDA, with the weights in main memory too.
pub(super) struct CardVision {
    tower: BurnVisionTower,
    precision: Precision,
    card: Arc<Card>,
    /// The weights on the card, from the first pass on: a tower that only makes others needs none.
    pass: Mutex<Option<Arc<CudaVision>>>,
    geometry: VisionGeometry,
    preprocess: Preprocess,
}

impl CardVision {
    /// A tower whose weights are in main memory.
    pub(super) fn new(
        tower: BurnVisionTower,
        card: Arc<Card>,
        geometry: VisionGeometry,
        preprocess: Preprocess,
    ) -> Self {
        Self { tower, precision: Precision::Float32, card, pass: Mutex::new(None), geometry, preprocess }
    }

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
