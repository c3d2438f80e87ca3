//! The towers on the CPU without Burn: the same trace as [`BurnVisionTower::trace`], about as fast as the processor can
//! multiply (`docs/decisions/0005-own-cpu-pass.md`).

#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined into pulp's dispatch is compiled without its vectors"
)]

mod attention;
mod attention_pool;
mod bfloat16;
mod blocks;
mod calibration;
mod functions;
mod inner;
mod instructions;
mod packed;
mod pages;
mod pooling;
mod product;
mod rows;
mod scratch;
mod sequences;
#[cfg(test)]
mod tests;
mod text;
mod tiles;
mod tower;
mod weights;

use headspan_headspace::Scalars;
use rayon::prelude::*;

use crate::{
    backends::burn::BurnVisionTower,
    error::{ClipError, Result},
    precision::Precision,
    readout::{ReadoutFolder, ReadoutWeights},
    trace::{HostTrace, TraceRequest, split_heads},
};

use self::{
    packed::Packing,
    scratch::Scratch,
    tower::{Passed, Tower},
};

pub use calibration::Calibration;
pub use instructions::InstructionSet;
pub(crate) use text::CpuText;

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
    /// Reads the weights of a tower from its device and lays them out: as much memory as the tower, or half as much in bfloat16.
    pub fn new(tower: &BurnVisionTower, precision: Precision) -> Result<Self> {
        Self::with_instructions(tower, precision, InstructionSet::Best)
    }

    /// As [`CpuVision::new`], of an instruction set that need not be the widest: to hold processors against each other.
    pub fn with_instructions(
        tower: &BurnVisionTower,
        precision: Precision,
        instructions: InstructionSet,
    ) -> Result<Self> {
        Self::take_over(tower.clone(), precision, instructions)
    }

    /// As [`CpuVision::new`], of a tower that is needed no more: each block is let go once it was read.
    pub(crate) fn of_tower(tower: BurnVisionTower, precision: Precision) -> Result<Self> {
        Self::take_over(tower, precision, InstructionSet::Best)
    }

    fn take_over(tower: BurnVisionTower, precision: Precision, instructions: InstructionSet) -> Result<Self> {
        if precision == Precision::Float16 {
            return Err(ClipError::Precision { precision, why: "CPUs cannot compute with it" });
        }
        let packing = Packing { arch: instructions.arch(), precision, tiles: instructions.tiles() };
        let norm_epsilon = tower.norm_epsilon;
        Ok(Self { tower: weights::read_tower(tower, packing)?, norm_epsilon })
    }

    /// Number of blocks.
    pub fn layers(&self) -> usize {
        self.tower.blocks.blocks.len()
    }

    /// The weights that readouts are folded from; none of a pass in bfloat16, which has them rounded.
    pub fn readout_folder(&self) -> Option<ReadoutFolder> {
        let Tower { blocks, ln_post, projection, projection_bias, .. } = &self.tower;
        let pool = match &self.tower.attention_pool {
            Some(pool) => Some(pool.readout_weights()?),
            None => None,
        };
        let output = |block: &blocks::Block| Some((block.output.weight.to_rows()?, block.output.bias.clone()));
        Some(ReadoutFolder::of_weights(ReadoutWeights {
            heads: blocks.heads,
            norm_weight: ln_post.weight.clone(),
            norm_bias: ln_post.bias.clone(),
            projection: projection.to_rows()?,
            projection_bias: projection_bias.clone(),
            output: blocks.blocks.iter().map(output).collect::<Option<_>>()?,
            pool,
        }))
    }

    /// The forward pass with the outputs of the heads asked for: pixels `[images, 3, side, side]`, normalised, to what
    /// [`BurnVisionTower::trace`] gives after [`HeadTrace::into_host`](crate::burn::HeadTrace::into_host). Images are shared among
    /// the threads of the current rayon pool; of few images, the rows are. An error for a layer that does not exist,
    /// and for pixels that are no whole number of images.
    pub fn trace(&self, pixels: &[f32], request: &TraceRequest) -> Result<HostTrace> {
        self.trace_by(self.default_images(), pixels, request)
    }

    /// As [`CpuVision::trace`], each thread taking at most so many images through the model together.
    pub fn trace_by(&self, images: usize, pixels: &[f32], request: &TraceRequest) -> Result<HostTrace> {
        self.check(pixels, request)?;
        let (length, threads) = (self.tower.image_length(), rayon::current_num_threads());
        let count = pixels.len() / length;
        let arch = self.tower.blocks.arch;
        // Images at once are faster than rows at once, as long as most threads have one.
        if count > 0 && 2 * count <= threads {
            let passed = self.tower.pass(pixels, request, &mut Scratch::new(arch, threads));
            return Ok(self.join(vec![passed]));
        }
        let images = images.min(count.div_ceil(threads)).max(1);
        let passed: Vec<Passed> = pixels
            .par_chunks(images * length)
            .map_init(|| Scratch::new(arch, 1), |scratch, pixels| self.tower.pass(pixels, request, scratch))
            .collect();
        Ok(self.join(passed))
    }

    fn check(&self, pixels: &[f32], request: &TraceRequest) -> Result<()> {
        let last = self.layers() - 1;
        if let Some(&layer) = request.layers.iter().chain(&request.token_layers).find(|layer| **layer > last) {
            return Err(ClipError::NoLayer { layer, last });
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
        // Behind the queries of CoCa rows are of another width.
        let pooled = self.tower.projection.depth();
        let mut all = Passed::default();
        for part in parts {
            all.residual.extend(part.residual);
            all.representation.extend(part.representation);
            all.scales.extend(part.scales);
            all.kept.append(part.kept);
        }
        let images = all.residual.chunks_exact(pooled).zip(all.representation.chunks_exact(d));
        let scalars: Vec<Scalars<f64>> = images
            .enumerate()
            .map(|(image, (residual, r))| match all.scales.get(image) {
                Some(scales) => Scalars::of_scales(*scales, r),
                None => Scalars::of(residual, r, self.norm_epsilon),
            })
            .collect();
        let heads = self.tower.blocks.heads;
        // A contribution of a head has d numbers.
        let are_contributions = self.tower.attention_pool.is_some();
        let shape = [scalars.len(), heads, if are_contributions { d } else { width / heads }];
        HostTrace {
            scalars: scalars.iter().map(|scalars| scalars.stored()).collect(),
            heads: all.kept.z.iter().flat_map(|z| split_heads(z, shape, &scalars, are_contributions)).collect(),
            residual_components: all.kept.components,
            residual: all.residual,
            representation: all.representation,
            tokens: all.kept.tokens,
            mean_attention: all.kept.mean_attention,
        }
    }
}
