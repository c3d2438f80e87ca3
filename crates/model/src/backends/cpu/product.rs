//! Matrix products in single precision, or of bfloat16 numbers, by vectors or on tiles, with what follows them: bias, sum with what was there, activation.
//!
//! The right side is packed once into panels as wide as a tile of the result, so that the inner loop reads it in one
//! sweep; the left side is read as it lies. Every element of the result is one chain of fused multiply-adds over blocks of
//! at most [`DEPTH`] terms, in an order that depends on the depth alone: a row does not change with the rows around it.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{
    bfloat16,
    functions::{gelu, gelu_tanh, quick_gelu},
    packed::{Packed, vectors},
    tiles::{self, TileScratch},
};

/// Rows of a tile. With four vectors a row, six rows are 24 running sums, which leaves registers for the panel's row.
const ROWS: usize = 6;
/// Longest block of the inner dimension: a panel's block of it (256 KiB) stays in a core's second-level cache.
const DEPTH: usize = 1024;

/// What is done to a finished element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Identity,
    Gelu,
    GeluTanh,
    QuickGelu,
}

/// Some rows of a matrix; they may lie apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<T> {
    pub(super) values: T,
    /// From one row to the next.
    pub(super) stride: usize,
}

/// Memory of products.
#[derive(Debug, Default)]
pub(super) struct ProductScratch {
    /// Left side of a product of bfloat16.
    pairs: Vec<f32>,
    /// Of products on tiles.
    pub(super) tiles: TileScratch,
}

/// `C = activation(A·B + bias)`, or `C = activation(C + A·B + bias)`.
pub(super) struct Product<'a> {
    pub(super) a: Rows<&'a [f32]>,
    pub(super) b: &'a Packed,
    pub(super) c: Rows<&'a mut [f32]>,
    /// Rows of both.
    pub(super) count: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) accumulate: bool,
    pub(super) activation: Activation,
}

impl<'a> Product<'a> {
    /// `C = A·B`; `A` is `[count, depth]`, `C` `[count, columns]`.
    #[inline(always)]
    pub(super) fn new(count: usize, a: Rows<&'a [f32]>, b: &'a Packed, c: Rows<&'a mut [f32]>) -> Self {
        Self { a, b, c, count, bias: None, accumulate: false, activation: Activation::Identity }
    }

    /// Adds `[columns]` to every row.
    pub(super) fn bias(self, bias: &'a [f32]) -> Self {
        Self { bias: Some(bias), ..self }
    }

    /// Takes what stands in `C` as a term of the sum.
    pub(super) fn accumulate(self) -> Self {
        Self { accumulate: true, ..self }
    }

    pub(super) fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The left side is rounded to pairs in the scratch memory where the right side is stored so. Threads of the current pool share the
    /// rows.
    pub(super) fn run(self, scratch: &mut ProductScratch, threads: usize) {
        if self.b.is_on_tiles() {
            return tiles::run(self, &mut scratch.tiles, threads);
        }
        if self.b.pairs_of.is_some() {
            return bfloat16::run(self, &mut scratch.pairs, threads);
        }
        let arch = self.b.arch();
        self.for_each_share(threads, |share| arch.dispatch(share));
    }

    /// Hands out the product in as many shares of rows as there are threads, each of whole tiles. A row's sums are the same in any share.
    pub(super) fn for_each_share(self, threads: usize, run: impl Fn(Product<'_>) + Sync) {
        let unit = if self.b.is_on_tiles() { 2 * tiles::SIDE } else { ROWS };
        let rows = self.count.div_ceil(threads).next_multiple_of(unit);
        if rows >= self.count {
            return run(self);
        }
        let Self { a, b, c, count, bias, accumulate, activation } = self;
        let shares = c.values.par_chunks_mut(rows * c.stride).zip((0..count).into_par_iter().step_by(rows));
        shares.for_each(|(values, first)| {
            let a = Rows { values: &a.values[first * a.stride..], ..a };
            let c = Rows { values, stride: c.stride };
            run(Product { a, b, c, count: rows.min(count - first), bias, accumulate, activation });
        });
    }

    /// What follows the sums of some columns over a part of the inner dimension, which begins or ends it, or not.
    #[inline(always)]
    fn finish(&self, first: usize, columns: usize, begins: bool, ends: bool) -> Finish<'a> {
        Finish {
            columns,
            bias: self.bias.filter(|_| begins).map(|bias| &bias[first..][..columns]),
            accumulate: self.accumulate || !begins,
            activation: if ends { self.activation } else { Activation::Identity },
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, K: MultiplyAdd<S>, const N: usize>(self, simd: S, kernel: K) {
        let width = N * S::F32_LANES;
        assert_eq!(width, self.b.width, "a matrix is used on the processor that packed it");
        let depth = self.b.depth;
        let block = depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1);
        for (panel, values) in self.b.panels().enumerate() {
            let first = panel * width;
            let columns = width.min(self.b.columns() - first);
            for (start, values) in (0..depth).step_by(block).zip(values.chunks(block * width)) {
                let (b, _) = S::as_simd_f32s(values);
                let ends = start + block >= depth;
                let finish = self.finish(first, columns, start == 0, ends);
                for row in (0..self.count).step_by(ROWS) {
                    let a = Rows { values: &self.a.values[row * self.a.stride + start..], stride: self.a.stride };
                    let c = Rows { values: &mut self.c.values[row * self.c.stride + first..], stride: self.c.stride };
                    match self.count - row {
                        1 => tile::<S, K, 1, N>(simd, kernel, a, b, c, &finish),
                        2 => tile::<S, K, 2, N>(simd, kernel, a, b, c, &finish),
                        3 => tile::<S, K, 3, N>(simd, kernel, a, b, c, &finish),
                        4 => tile::<S, K, 4, N>(simd, kernel, a, b, c, &finish),
                        5 => tile::<S, K, 5, N>(simd, kernel, a, b, c, &finish),
                        _ => tile::<S, K, ROWS, N>(simd, kernel, a, b, c, &finish),
                    }
                }
            }
        }
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_kernel(simd, Single, self);
    }
}

/// How a term of the inner dimension is added to a running sum.
pub(super) trait MultiplyAdd<S: Simd>: Copy {
    fn multiply_add(self, simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s;
}

/// In single precision.
#[derive(Debug, Clone, Copy)]
struct Single;

impl<S: Simd> MultiplyAdd<S> for Single {
    #[inline(always)]
    fn multiply_add(self, simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, sum)
    }
}

#[inline(always)]
pub(super) fn with_kernel<S: Simd, K: MultiplyAdd<S>>(simd: S, kernel: K, product: Product<'_>) {
    if vectors::<S>() == 4 { product.tiles::<S, K, 4>(simd, kernel) } else { product.tiles::<S, K, 2>(simd, kernel) }
}

/// What follows the sums of a tile.
struct Finish<'a> {
    columns: usize,
    bias: Option<&'a [f32]>,
    accumulate: bool,
    activation: Activation,
}

impl Finish<'_> {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, sum: S::f32s, first: usize, there: S::f32s) -> S::f32s {
        let mut sum = sum;
        if let Some(bias) = self.bias {
            let bias = &bias[first..];
            sum = simd.add_f32s(sum, simd.partial_load_f32s(&bias[..bias.len().min(S::F32_LANES)]));
        }
        if self.accumulate {
            sum = simd.add_f32s(sum, there);
        }
        match self.activation {
            Activation::Identity => sum,
            Activation::Gelu => gelu(simd, sum),
            Activation::GeluTanh => gelu_tanh(simd, sum),
            Activation::QuickGelu => quick_gelu(simd, sum),
        }
    }

    /// Finishes the sums of a row, vector by vector, at their place.
    #[inline(always)]
    fn store<S: Simd>(&self, simd: S, place: &mut [f32], sums: impl Iterator<Item = S::f32s>) {
        let (whole, rest) = S::as_mut_simd_f32s(place);
        for (vector, sum) in sums.enumerate() {
            let first = vector * S::F32_LANES;
            if let Some(there) = whole.get_mut(vector) {
                *there = self.apply(simd, sum, first, *there);
            } else if vector == whole.len() && !rest.is_empty() {
                let there = simd.partial_load_f32s(rest);
                simd.partial_store_f32s(rest, self.apply(simd, sum, first, there));
            }
        }
    }
}

/// `M` rows by `N` vectors of the result, over one block of the inner dimension. The sums live in registers.
#[expect(
    clippy::needless_pass_by_value,
    reason = "both sides are given alike; a reference to a mutable view is one more load"
)]
#[inline(always)]
fn tile<S: Simd, K: MultiplyAdd<S>, const M: usize, const N: usize>(
    simd: S,
    kernel: K,
    a: Rows<&[f32]>,
    b: &[S::f32s],
    c: Rows<&mut [f32]>,
    finish: &Finish<'_>,
) {
    let depth = b.len() / N;
    let a: [&[f32]; M] = std::array::from_fn(|row| &a.values[row * a.stride..][..depth]);
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    for (term, b) in (0..depth).zip(b.chunks_exact(N)) {
        let b: [S::f32s; N] = std::array::from_fn(|vector| b[vector]);
        for row in 0..M {
            let a = simd.splat_f32s(a[row][term]);
            for vector in 0..N {
                sums[row][vector] = kernel.multiply_add(simd, a, b[vector], sums[row][vector]);
            }
        }
    }
    for (row, sums) in sums.into_iter().enumerate() {
        finish.store(simd, &mut c.values[row * c.stride..][..finish.columns], sums.into_iter());
    }
}
