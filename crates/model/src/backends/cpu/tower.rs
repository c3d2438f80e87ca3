//! The vision tower over a few images, on one thread.

use pulp::{Arch, Simd, WithSimd};

use super::{
    product::{Activation, Packed, Product, Rows},
    rows::{Norm, Normalise, softmax},
};

/// A linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Packed,
    /// `[columns of the weight]`.
    pub(super) bias: Vec<f32>,
}

/// A pre-norm block. The factor `1/√head_dim` of the scores is in the query's weight and bias.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) ln_1: Norm,
    pub(super) query: Linear,
    pub(super) key_value: Linear,
    pub(super) output: Linear,
    pub(super) ln_2: Norm,
    pub(super) expand: Linear,
    pub(super) contract: Linear,
}

/// Weights and geometry of the tower.
#[derive(Debug)]
pub(super) struct Tower {
    /// Instructions of the pass.
    pub(super) arch: Arch,
    pub(super) side: usize,
    pub(super) patch: usize,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    /// Patch embedding, `[3·patch², width]`.
    pub(super) patches: Packed,
    /// Position embeddings, the class token's with the class embedding, `[tokens, width]`.
    pub(super) positions: Vec<f32>,
    pub(super) ln_pre: Norm,
    pub(super) blocks: Vec<Block>,
    pub(super) ln_post: Norm,
    /// Output projection, `[width, d]`.
    pub(super) projection: Packed,
}

/// What a pass over some images found.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// `z` of the class token for every layer asked for, each `[images, width]`.
    pub(super) z: Vec<Vec<f32>>,
    /// Class token of the first block's input and of every MLP's output, each `[images, width]`, if asked for.
    pub(super) components: Vec<Vec<f32>>,
    /// `[images, width]`.
    pub(super) residual: Vec<f32>,
    /// `[images, d]`.
    pub(super) representation: Vec<f32>,
}

/// Memory of a pass, kept between passes.
#[derive(Debug)]
pub(super) struct Scratch {
    /// `[rows, width]`.
    residual: Vec<f32>,
    /// Normalised rows, then `z`, `[rows, width]`.
    narrow: Vec<f32>,
    /// Patches, then queries, keys and values, then hidden rows of the MLP.
    wide: Vec<f32>,
    /// Left side of a product of bfloat16.
    pairs: Vec<f32>,
    attention: AttentionScratch,
}

#[derive(Debug)]
struct AttentionScratch {
    keys: Packed,
    values: Packed,
    /// `[queries, tokens]`.
    scores: Vec<f32>,
}

/// Which rows of a batch of tokens a step works on.
#[derive(Debug, Clone, Copy)]
struct RowsOf {
    count: usize,
    /// From one to the next, in rows.
    step: usize,
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
    pub(super) fn pass(&self, pixels: &[f32], layers: &[usize], components: bool, scratch: &mut Scratch) -> Passed {
        let (images, tokens, width) = (pixels.len() / self.image_length(), self.tokens(), self.width());
        let (all, class) = (RowsOf { count: images * tokens, step: 1 }, RowsOf { count: images, step: tokens });
        let class_rows = |rows: &[f32]| -> Vec<f32> {
            rows.chunks_exact(tokens * width).flat_map(|image| &image[..width]).copied().collect()
        };
        let mut passed = Passed::default();
        self.embed(pixels, scratch);
        if components {
            passed.components.push(class_rows(&scratch.residual));
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            // Nothing after the last attention is needed for any token but the class token.
            let rows = if layer + 1 == self.blocks.len() { class } else { all };
            self.attend(block, rows, scratch);
            if layers.contains(&layer) {
                passed.z.push(class_rows(&scratch.narrow));
            }
            scratch.add_product(&block.output, rows, width, Source::Narrow);
            self.expand(block, rows, scratch);
            if components {
                passed.components.push(class_update(&block.contract, rows, class, scratch));
            }
            scratch.add_product(&block.contract, rows, width, Source::Wide);
        }
        passed.residual = class_rows(&scratch.residual);
        passed.representation = self.represent(&passed.residual);
        passed
    }

    /// The first block over some images, whatever stands in `scratch`: the work of a pass without its result, to time it.
    pub(super) fn first_block(&self, images: usize, scratch: &mut Scratch) {
        let (rows, width, block) = (images * self.tokens(), self.width(), &self.blocks[0]);
        scratch.resize(rows, width, block.expand.bias.len().max(3 * width));
        let all = RowsOf { count: rows, step: 1 };
        self.attend(block, all, scratch);
        scratch.add_product(&block.output, all, width, Source::Narrow);
        self.expand(block, all, scratch);
        scratch.add_product(&block.contract, all, width, Source::Wide);
    }

    /// Patches, class token, positions and `ln_pre` into `scratch.residual`.
    fn embed(&self, pixels: &[f32], scratch: &mut Scratch) {
        let (tokens, width) = (self.tokens(), self.width());
        let rows = pixels.len() / self.image_length() * tokens;
        let depth = 3 * self.patch * self.patch;
        let widest = self.blocks.iter().map(|block| block.expand.bias.len()).max().unwrap_or(0);
        scratch.resize(rows, width, widest.max(3 * width).max(depth));
        self.unfold(pixels, depth, &mut scratch.wide);
        for image in scratch.narrow.chunks_exact_mut(self.positions.len()) {
            image.copy_from_slice(&self.positions);
        }
        // The class token has no patch: its row of `wide` is zero.
        let unfolded = Rows { values: scratch.wide.as_slice(), stride: depth };
        let embedded = Rows { values: scratch.narrow.as_mut_slice(), stride: width };
        Product::new(rows, unfolded, &self.patches, embedded).accumulate().run(&mut scratch.pairs);
        Normalise { input: &scratch.narrow, output: &mut scratch.residual, stride: width, norm: &self.ln_pre }
            .run(self.arch);
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

    /// Attention of the rows: their `z` into `scratch.narrow`.
    fn attend(&self, block: &Block, rows: RowsOf, scratch: &mut Scratch) {
        let (tokens, width) = (self.tokens(), self.width());
        let Scratch { residual, narrow, wide, pairs, attention } = scratch;
        Normalise { input: residual, output: narrow, stride: width, norm: &block.ln_1 }.run(self.arch);
        let all = residual.len() / width;
        let mut project = |linear: &Linear, rows: RowsOf, wide: &mut [f32]| {
            let normed = Rows { values: narrow.as_slice(), stride: rows.step * width };
            let projected = Rows { values: wide, stride: rows.step * 3 * width };
            Product::new(rows.count, normed, &linear.weight, projected).bias(&linear.bias).run(pairs);
        };
        project(&block.query, rows, wide);
        project(&block.key_value, RowsOf { count: all, step: 1 }, &mut wide[width..]);
        let images = wide.chunks_exact(tokens * 3 * width).zip(narrow.chunks_exact_mut(tokens * width));
        for (projected, z) in images {
            let queries = if rows.step == 1 { tokens } else { 1 };
            self.arch.dispatch(Attention { projected, z, tokens, queries, heads: self.heads, scratch: attention });
        }
    }

    /// Hidden rows of the MLP, one after the other, into `scratch.wide`.
    fn expand(&self, block: &Block, rows: RowsOf, scratch: &mut Scratch) {
        let stride = rows.step * self.width();
        let Scratch { residual, narrow, wide, pairs, .. } = scratch;
        Normalise { input: residual, output: narrow, stride, norm: &block.ln_2 }.run(self.arch);
        let normed = Rows { values: narrow.as_slice(), stride };
        let hidden = Rows { values: wide.as_mut_slice(), stride: block.expand.bias.len() };
        let product = Product::new(rows.count, normed, &block.expand.weight, hidden);
        product.bias(&block.expand.bias).activation(self.activation).run(pairs);
    }

    /// `ln_post` and projection of the class tokens.
    fn represent(&self, residual: &[f32]) -> Vec<f32> {
        let (width, d) = (self.width(), self.dimensions());
        let mut normed = vec![0.0; residual.len()];
        let mut representation = vec![0.0; residual.len() / width * d];
        Normalise { input: residual, output: &mut normed, stride: width, norm: &self.ln_post }.run(self.arch);
        let target = Rows { values: representation.as_mut_slice(), stride: d };
        let normed = Rows { values: normed.as_slice(), stride: width };
        Product::new(residual.len() / width, normed, &self.projection, target).run(&mut Vec::new());
        representation
    }
}

/// MLP update of the class tokens alone; the update of all rows goes straight into the residual.
fn class_update(contract: &Linear, rows: RowsOf, class: RowsOf, scratch: &mut Scratch) -> Vec<f32> {
    let width = contract.bias.len();
    let mut update = vec![0.0; class.count * width];
    let hidden = Rows { values: scratch.wide.as_slice(), stride: class.step / rows.step * contract.weight.depth() };
    let target = Rows { values: update.as_mut_slice(), stride: width };
    Product::new(class.count, hidden, &contract.weight, target).bias(&contract.bias).run(&mut scratch.pairs);
    update
}

/// Which part of the scratch memory a product reads.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// Rows that lie as far apart as those of the residual.
    Narrow,
    /// Rows one after the other.
    Wide,
}

impl Scratch {
    pub(super) fn new(arch: Arch) -> Self {
        let attention = AttentionScratch { keys: Packed::empty(arch), values: Packed::empty(arch), scores: Vec::new() };
        Self { residual: Vec::new(), narrow: Vec::new(), wide: Vec::new(), pairs: Vec::new(), attention }
    }

    fn resize(&mut self, rows: usize, width: usize, widest: usize) {
        self.residual.resize(rows * width, 0.0);
        self.narrow.resize(rows * width, 0.0);
        self.wide.resize(rows * widest, 0.0);
    }

    /// `residual += source · weight + bias`.
    fn add_product(&mut self, linear: &Linear, rows: RowsOf, width: usize, source: Source) {
        let a = match source {
            Source::Narrow => Rows { values: self.narrow.as_slice(), stride: rows.step * width },
            Source::Wide => Rows { values: self.wide.as_slice(), stride: linear.weight.depth() },
        };
        let residual = Rows { values: self.residual.as_mut_slice(), stride: rows.step * width };
        Product::new(rows.count, a, &linear.weight, residual).bias(&linear.bias).accumulate().run(&mut self.pairs);
    }
}

/// Attention of one image, head by head.
struct Attention<'a> {
    /// Queries, keys and values, `[tokens, 3·width]`.
    projected: &'a [f32],
    /// `[tokens, width]`, of which the first `queries` rows are written.
    z: &'a mut [f32],
    tokens: usize,
    queries: usize,
    heads: usize,
    scratch: &'a mut AttentionScratch,
}

impl WithSimd for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { projected, z, tokens, queries, heads, scratch } = self;
        let width = z.len() / tokens;
        let (head_dim, stride) = (width / heads, 3 * width);
        let AttentionScratch { keys, values, scores } = scratch;
        scores.resize(tokens * tokens, 0.0);
        for head in 0..heads {
            let from = head * head_dim;
            keys.fill_from_columns(&projected[width + from..], stride, head_dim, tokens);
            values.fill_from_rows(&projected[2 * width + from..], stride, tokens, head_dim);
            let query = Rows { values: &projected[from..], stride };
            let target = Rows { values: scores.as_mut_slice(), stride: tokens };
            simd.vectorize(Product::new(queries, query, keys, target));
            for row in scores.chunks_exact_mut(tokens).take(queries) {
                softmax(simd, row);
            }
            let weights = Rows { values: scores.as_slice(), stride: tokens };
            let target = Rows { values: &mut z[from..], stride: width };
            simd.vectorize(Product::new(queries, weights, values, target));
        }
    }
}
