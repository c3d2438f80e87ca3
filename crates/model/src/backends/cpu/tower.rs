//! The image tower over a few images.

use super::{
    attention_pool::AttentionPool,
    blocks::{Kept, Stack},
    packed::Packed,
    product::{Product, ProductScratch, Rows},
    rows::{Norm, Normalise},
    scratch::Scratch,
    sequences::{Chosen, Sequences},
};
use crate::{families::Pooling, trace::TraceRequest};

/// Weights and geometry of the tower.
#[derive(Debug)]
pub(super) struct Tower {
    pub(super) side: usize,
    pub(super) patch: usize,
    /// Tokens before the patches.
    pub(super) prefix: usize,
    pub(super) pooling: Pooling,
    pub(super) attention_pool: Option<AttentionPool>,
    /// Patch embedding, `[3·patch², width]`.
    pub(super) patches: Packed,
    /// Position embeddings, those of tokens without a patch with their own embeddings, `[tokens, width]`.
    pub(super) positions: Vec<f32>,
    pub(super) ln_pre: Option<Norm>,
    pub(super) blocks: Stack,
    pub(super) ln_post: Norm,
    /// Output projection, `[width, d]`.
    pub(super) projection: Packed,
    /// Its bias, `[d]`.
    pub(super) projection_bias: Option<Vec<f32>>,
}

/// What a pass over some images found.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub(super) kept: Kept,
    /// `[images, width]`.
    pub(super) residual: Vec<f32>,
    /// `[images, d]`.
    pub(super) representation: Vec<f32>,
    /// What stands for `1/σ` and `m/σ` of each image; empty where they are the residual's own.
    pub(super) scales: Vec<[f64; 2]>,
}

impl Tower {
    pub(super) fn width(&self) -> usize {
        self.ln_post.weight.len()
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
        if let Some(pool) = &self.attention_pool {
            return self.pool_by_attention(pool, &residual, kept, request);
        }
        if let Pooling::Mean { norm_first, .. } = self.pooling {
            return self.pool_means(&residual, kept, norm_first);
        }
        let representation = project(&residual, &self.ln_post, &self.projection, self.projection_bias.as_deref());
        Passed { kept, residual, representation, scales: Vec::new() }
    }

    /// The first block over some images, whatever stands in `scratch`: the work of a pass without its result, to time it.
    pub(super) fn first_block(&self, images: usize, scratch: &mut Scratch) {
        self.blocks.run_first(&self.sequences(images), scratch);
    }

    fn sequences(&self, images: usize) -> Sequences {
        let chosen = if self.pooling == Pooling::ClassToken { Chosen::First } else { Chosen::All };
        Sequences::new(std::iter::repeat_n(self.tokens(), images), chosen)
    }

    /// Patches, class token, positions and `ln_pre` into `scratch.residual`.
    fn embed(&self, pixels: &[f32], scratch: &mut Scratch) {
        let (tokens, width) = (self.tokens(), self.width());
        let rows = pixels.len() / self.image_length() * tokens;
        let depth = 3 * self.patch * self.patch;
        scratch.resize(rows, width, self.blocks.widest().max(depth));
        self.unfold(pixels, depth, &mut scratch.wide);
        let start = if self.ln_pre.is_some() { &mut scratch.narrow } else { &mut scratch.residual };
        for image in start.chunks_exact_mut(self.positions.len()) {
            image.copy_from_slice(&self.positions);
        }
        // Class token and registers have no patch: their rows of `wide` are zero.
        let unfolded = Rows { values: scratch.wide.as_slice(), stride: depth };
        let target = if self.ln_pre.is_some() { &mut scratch.narrow } else { &mut scratch.residual };
        let embedded = Rows { values: target.as_mut_slice(), stride: width };
        let product = Product::new(rows, unfolded, &self.patches, embedded);
        product.accumulate().run(&mut scratch.products, scratch.threads);
        if let Some(norm) = &self.ln_pre {
            Normalise { input: &scratch.narrow, output: &mut scratch.residual, norm }
                .run(self.blocks.arch, scratch.threads);
        }
    }

    /// One row `[3, patch, patch]` for every token, zero where it has no patch.
    fn unfold(&self, pixels: &[f32], depth: usize, out: &mut [f32]) {
        let (side, patch) = (self.side, self.patch);
        let grid = side / patch;
        let images = pixels.chunks_exact(self.image_length()).zip(out.chunks_exact_mut(self.tokens() * depth));
        for (image, rows) in images {
            let (prefix, rows) = rows.split_at_mut(self.prefix * depth);
            prefix.fill(0.0);
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
pub(super) fn project(rows: &[f32], norm: &Norm, projection: &Packed, bias: Option<&[f32]>) -> Vec<f32> {
    let mut normed = vec![0.0; rows.len()];
    Normalise { input: rows, output: &mut normed, norm }.run(projection.arch(), 1);
    project_normed(&normed, projection, bias)
}

/// As [`project`], of rows that are normalised.
pub(super) fn project_normed(rows: &[f32], projection: &Packed, bias: Option<&[f32]>) -> Vec<f32> {
    let mut projected = matrix_product(rows, projection);
    if let Some(bias) = bias {
        for row in projected.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
        }
    }
    projected
}

/// `[rows, depth]` times `[depth, columns]`.
pub(super) fn matrix_product(rows: &[f32], matrix: &Packed) -> Vec<f32> {
    let (depth, columns) = (matrix.depth(), matrix.columns());
    let count = rows.len() / depth;
    let mut result = vec![0.0; count * columns];
    let target = Rows { values: result.as_mut_slice(), stride: columns };
    Product::new(count, Rows { values: rows, stride: depth }, matrix, target).run(&mut ProductScratch::default(), 1);
    result
}
