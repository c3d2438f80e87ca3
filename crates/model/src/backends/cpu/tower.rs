//! The image tower over a few images.

use super::{
    blocks::{Kept, Stack},
    product::{Packed, Product, Rows},
    rows::{Norm, Normalise},
    scratch::Scratch,
    sequences::{Chosen, Sequences},
};
use crate::trace::TraceRequest;

/// Weights and geometry of the tower.
#[derive(Debug)]
pub(super) struct Tower {
    pub(super) side: usize,
    pub(super) patch: usize,
    /// Patch embedding, `[3·patch², width]`.
    pub(super) patches: Packed,
    /// Position embeddings, the class token's with the class embedding, `[tokens, width]`.
    pub(super) positions: Vec<f32>,
    pub(super) ln_pre: Norm,
    pub(super) blocks: Stack,
    pub(super) ln_post: Norm,
    /// Output projection, `[width, d]`.
    pub(super) projection: Packed,
}

/// What a pass over some images found.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) kept: Kept,
    /// `[images, width]`.
    pub(super) residual: Vec<f32>,
    /// `[images, d]`.
    pub(super) representation: Vec<f32>,
}

impl Tower {
    pub(super) fn width(&self) -> usize {
        self.ln_pre.weight.len()
    }

    pub(super) fn tokens(&self) -> usize {
        self.positions.len() / self.width()
    }

    pub(super) fn dimensions(&self) -> usize {
        self.projection.columns()
    }

    /// Values of one image.
    pub(super) fn image_length(&self) -> usize {
        3 * self.side * self.side
    }

    /// The forward pass over `pixels` `[images, 3, side, side]`.
    pub(super) fn pass(&self, pixels: &[f32], request: &TraceRequest, scratch: &mut Scratch) -> Passed {
        let sequences = self.sequences(pixels.len() / self.image_length());
        self.embed(pixels, scratch);
        let kept = self.blocks.run(&sequences, request, scratch);
        let residual = scratch.residual.clone();
        let representation = project(&residual, &self.ln_post, &self.projection);
        Passed { kept, residual, representation }
    }

    /// The first block over some images, whatever stands in `scratch`: the work of a pass without its result, to time it.
    pub(super) fn first_block(&self, images: usize, scratch: &mut Scratch) {
        self.blocks.run_first(&self.sequences(images), scratch);
    }

    fn sequences(&self, images: usize) -> Sequences {
        Sequences::new(std::iter::repeat_n(self.tokens(), images), Chosen::First)
    }

    /// Patches, class token, positions and `ln_pre` into `scratch.residual`.
    fn embed(&self, pixels: &[f32], scratch: &mut Scratch) {
        let (tokens, width) = (self.tokens(), self.width());
        let rows = pixels.len() / self.image_length() * tokens;
        let depth = 3 * self.patch * self.patch;
        scratch.resize(rows, width, self.blocks.widest().max(depth));
        self.unfold(pixels, depth, &mut scratch.wide);
        for image in scratch.narrow.chunks_exact_mut(self.positions.len()) {
            image.copy_from_slice(&self.positions);
        }
        // The class token has no patch: its row of `wide` is zero.
        let unfolded = Rows { values: scratch.wide.as_slice(), stride: depth };
        let embedded = Rows { values: scratch.narrow.as_mut_slice(), stride: width };
        let product = Product::new(rows, unfolded, &self.patches, embedded);
        product.accumulate().run(&mut scratch.pairs, scratch.threads);
        Normalise { input: &scratch.narrow, output: &mut scratch.residual, norm: &self.ln_pre }
            .run(self.blocks.arch, scratch.threads);
    }

    /// One row `[3, patch, patch]` for every token, that of the class token zero.
    fn unfold(&self, pixels: &[f32], depth: usize, out: &mut [f32]) {
        let (side, patch) = (self.side, self.patch);
        let grid = side / patch;
        let images = pixels.chunks_exact(self.image_length()).zip(out.chunks_exact_mut(self.tokens() * depth));
        for (image, rows) in images {
            let (class, rows) = rows.split_at_mut(depth);
            class.fill(0.0);
            for (token, row) in rows.chunks_exact_mut(depth).enumerate() {
                let corner = token / grid * patch * side + token % grid * patch;
                for (line, row) in row.chunks_exact_mut(patch).enumerate() {
                    let (channel, y) = (line / patch, line % patch);
                    row.copy_from_slice(&image[channel * side * side + corner + y * side..][..patch]);
                }
            }
        }
    }
}

/// Norm and projection of some rows, `[rows, width]` to `[rows, d]`.
pub(super) fn project(rows: &[f32], norm: &Norm, projection: &Packed) -> Vec<f32> {
    let (width, d) = (norm.weight.len(), projection.columns());
    let mut normed = vec![0.0; rows.len()];
    let mut projected = vec![0.0; rows.len() / width * d];
    Normalise { input: rows, output: &mut normed, norm }.run(projection.arch(), 1);
    let target = Rows { values: projected.as_mut_slice(), stride: d };
    let normed = Rows { values: normed.as_slice(), stride: width };
    Product::new(rows.len() / width, normed, projection, target).run(&mut Vec::new(), 1);
    projected
}
