//! The image tower on the CPU without Burn: the same trace as [`BurnVisionTower::trace`], about as fast as the processor can
//! multiply (`docs/decisions/0005-own-cpu-pass.md`).

#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined into pulp's dispatch is compiled without its vectors"
)]

mod bfloat16;
mod calibration;
mod functions;
mod instructions;
mod product;
mod rows;
#[cfg(test)]
mod tests;
mod tower;
mod weights;

use headspan_headspace::Scalars;
use rayon::prelude::*;

use crate::{
    backends::burn::BurnVisionTower,
    error::{ClipError, Result},
    precision::Precision,
    trace::{HostTrace, TraceRequest, split_heads},
};

use self::{
    product::Packing,
    tower::{Passed, Scratch, Tower},
};

pub(crate) use bfloat16::is_native as has_bfloat16;
pub use calibration::Calibration;
pub use instructions::InstructionSet;

/// Tokens of a pass that was not calibrated.
const ROWS: usize = 400;

/// The image tower for passes on the CPU, with its own copy of the weights, laid out for its products.
///
/// An image's result is bit-equal whatever the batch and the number of threads.
#[derive(Debug)]
pub struct CpuVision {
    tower: Tower,
    norm_epsilon: f64,
}

impl CpuVision {
    /// Reads the weights of a tower from its device, one tensor at a time, and lays them out: as much memory as the tower, or half
    /// as much in bfloat16.
    pub fn new(tower: &BurnVisionTower, precision: Precision) -> Result<Self> {
        Self::with_instructions(tower, precision, InstructionSet::Best)
    }

    /// As [`CpuVision::new`], of an instruction set that need not be the widest: to hold processors against each other.
    pub fn with_instructions(
        tower: &BurnVisionTower,
        precision: Precision,
        instructions: InstructionSet,
    ) -> Result<Self> {
        if precision == Precision::Float16 {
            return Err(ClipError::Precision { precision, why: "CPUs cannot compute with it" });
        }
        let packing = Packing { arch: instructions.arch(), precision };
        Ok(Self { tower: weights::read_tower(tower, packing)?, norm_epsilon: tower.norm_epsilon })
    }

    /// Number of blocks.
    pub fn layers(&self) -> usize {
        self.tower.blocks.len()
    }

    /// The forward pass with the outputs of the heads asked for: pixels `[images, 3, side, side]`, normalised, to what
    /// [`BurnVisionTower::trace`] gives after [`HeadTrace::into_host`](crate::burn::HeadTrace::into_host). Images are shared among
    /// the threads of the current rayon pool; within an image there is one thread. Requests for token layers or for mean
    /// attention are refused, for pixels that are no whole number of images too.
    pub fn trace(&self, pixels: &[f32], request: &TraceRequest) -> Result<HostTrace> {
        self.trace_by(self.default_images(), pixels, request)
    }

    /// As [`CpuVision::trace`], each thread taking at most so many images through the model together.
    pub fn trace_by(&self, images: usize, pixels: &[f32], request: &TraceRequest) -> Result<HostTrace> {
        self.check(pixels, request)?;
        let length = self.tower.image_length();
        let share = (pixels.len() / length).div_ceil(rayon::current_num_threads());
        let images = images.min(share).max(1);
        let passed: Vec<Passed> = pixels
            .par_chunks(images * length)
            .map_init(
                || Scratch::new(self.tower.arch),
                |scratch, pixels| self.tower.pass(pixels, &request.layers, request.residual_components, scratch),
            )
            .collect();
        Ok(self.join(passed))
    }

    fn check(&self, pixels: &[f32], request: &TraceRequest) -> Result<()> {
        let last = self.layers() - 1;
        if let Some(&layer) = request.layers.iter().find(|layer| **layer > last) {
            return Err(ClipError::NoLayer { layer, last });
        }
        if !request.token_layers.is_empty() || request.mean_attention {
            return Err(ClipError::NotTraced { what: "attention of single tokens" });
        }
        let image = self.tower.image_length();
        if !pixels.len().is_multiple_of(image) {
            return Err(ClipError::Pixels { values: pixels.len(), image });
        }
        Ok(())
    }

    /// One trace of all images from those of a few each.
    fn join(&self, parts: Vec<Passed>) -> HostTrace {
        let (width, d) = (self.tower.width(), self.tower.dimensions());
        let mut all = Passed::default();
        for part in parts {
            all.residual.extend(part.residual);
            all.representation.extend(part.representation);
            append(&mut all.z, part.z);
            append(&mut all.components, part.components);
        }
        let images = all.residual.chunks_exact(width).zip(all.representation.chunks_exact(d));
        let scalars: Vec<Scalars<f64>> =
            images.map(|(residual, r)| Scalars::of(residual, r, self.norm_epsilon)).collect();
        let shape = [scalars.len(), self.tower.heads, width / self.tower.heads];
        HostTrace {
            scalars: scalars.iter().map(|scalars| scalars.stored()).collect(),
            heads: all.z.iter().flat_map(|z| split_heads(z, shape, &scalars)).collect(),
            residual_components: all.components,
            residual: all.residual,
            representation: all.representation,
            ..HostTrace::default()
        }
    }
}

/// Appends column by column; the first part makes the columns.
fn append(columns: &mut Vec<Vec<f32>>, part: Vec<Vec<f32>>) {
    if columns.is_empty() {
        *columns = part;
    } else {
        columns.iter_mut().zip(part).for_each(|(column, part)| column.extend(part));
    }
}
