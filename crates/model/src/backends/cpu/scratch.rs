//! Memory of a pass, kept between passes.

use pulp::Arch;

use super::{
    attention::AttentionScratch,
    blocks::{Linear, Source},
    pages,
    product::{Product, ProductScratch, Rows},
};

#[derive(Debug)]
pub(super) struct Scratch {
    /// Threads of the current pool that share the rows of a pass: one where each thread has a pass of its own.
    pub(super) threads: usize,
    /// `[rows, width]`.
    pub(super) residual: Vec<f32>,
    /// Normalised rows, then `z`, `[rows, width]`.
    pub(super) narrow: Vec<f32>,
    /// Patches, then queries, keys and values, then hidden rows of the MLP.
    pub(super) wide: Vec<f32>,
    /// Normalised rows of the chosen tokens, `[sequences, width]`.
    pub(super) few: Vec<f32>,
    /// Their queries, `[sequences, width]`.
    pub(super) queries: Vec<f32>,
    pub(super) products: ProductScratch,
    pub(super) attention: AttentionScratch,
}

impl Scratch {
    pub(super) fn new(arch: Arch, threads: usize) -> Self {
        Self {
            threads,
            residual: Vec::new(),
            narrow: Vec::new(),
            wide: Vec::new(),
            few: Vec::new(),
            queries: Vec::new(),
            products: ProductScratch::default(),
            attention: AttentionScratch::new(arch),
        }
    }

    pub(super) fn resize(&mut self, rows: usize, width: usize, widest: usize) {
        pages::resize(&mut self.residual, rows * width);
        pages::resize(&mut self.narrow, rows * width);
        pages::resize(&mut self.wide, rows * widest);
    }

    /// `residual += source · weight + bias`.
    pub(super) fn add(&mut self, linear: &Linear, from: Source) {
        let width = linear.bias.len();
        let a = match from {
            Source::Narrow => Rows { values: self.narrow.as_slice(), stride: linear.weight.depth() },
            Source::Wide(stride) => Rows { values: self.wide.as_slice(), stride },
        };
        let rows = self.residual.len() / width;
        let residual = Rows { values: self.residual.as_mut_slice(), stride: width };
        let product = Product::new(rows, a, &linear.weight, residual);
        product.bias(&linear.bias).accumulate().run(&mut self.products, self.threads);
    }
}
