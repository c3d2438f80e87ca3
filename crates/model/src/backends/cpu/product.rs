//! Matrix products in single precision, or of bfloat16 numbers, with what follows them: bias, sum with what was there, activation.
//!
//! The right side is packed once into panels as wide as a tile of the result, so that the inner loop reads it in one
//! sweep; the left side is read as it lies. Every element of the result is one chain of fused multiply-adds over blocks of
//! at most [`DEPTH`] terms, in an order that depends on the depth alone: a row does not change with the rows around it.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    Precision,
    bfloat16::{self, Round, pair_columns},
    functions::{gelu, gelu_tanh, quick_gelu},
    pages,
    tiles::{self, Parts, TileScratch},
};

/// Rows of a tile. With four vectors a row, six rows are 24 running sums, which leaves registers for the panel's row.
const ROWS: usize = 6;
/// Longest block of the inner dimension: a panel's block of it (256 KiB) stays in a core's second-level cache.
const DEPTH: usize = 1024;
/// Bytes of a cache line; a vector that crosses one costs two reads.
const LINE: usize = 64;

/// What is done to a finished element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Identity,
    Gelu,
    GeluTanh,
    QuickGelu,
}

/// How right sides are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub(super) arch: Arch,
    pub(super) precision: Precision,
    /// Whether products are made of the processor's tiles.
    pub(super) tiles: bool,
}

impl Packing {
    /// In single precision, by vectors.
    pub(super) fn exact(self) -> Self {
        Self { precision: Precision::Float32, tiles: false, ..self }
    }

    /// From `[depth, ≥ columns]`, row-major.
    pub(super) fn rows(self, values: &[f32], stride: usize, depth: usize, columns: usize) -> Packed {
        let from = Rows { values, stride };
        let mut packed = Packed { parts: self.parts(), ..Packed::empty(self.arch) };
        match (self.precision, packed.parts) {
            (_, Some(_)) => packed.fill_parts(from, depth, columns),
            // Float16 is refused before anything is packed.
            (Precision::Float32 | Precision::Float16, None) => packed.fill_from_rows(values, stride, depth, columns),
            (Precision::Bfloat16, None) => {
                let pairs = pair_columns(values, stride, depth, columns);
                packed.fill_from_rows(&pairs, columns, depth.div_ceil(2), columns);
                packed.pairs_of = Some(depth);
            }
        }
        packed
    }

    /// Parts of each number on tiles; none without.
    pub(super) fn parts(self) -> Option<Parts> {
        self.tiles.then_some(if self.precision == Precision::Bfloat16 { Parts::One } else { Parts::Three })
    }

    /// From the transpose, `[columns, ≥ depth]`, row-major, in single precision.
    pub(super) fn columns(self, values: &[f32], stride: usize, depth: usize, columns: usize) -> Packed {
        let mut packed = Packed::empty(self.arch);
        packed.fill_from_columns(values, stride, depth, columns);
        packed
    }
}

/// The right side of a product, `[depth, columns]`, in panels of some columns: panel by panel, row by row, the last panel
/// filled up with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    /// Instructions for which the panels are laid out.
    arch: Arch,
    values: Vec<f32>,
    /// Rows as they are stored: of pairs there are half as many as the matrix has.
    depth: usize,
    columns: usize,
    width: usize,
    /// The matrix' own inner dimension, if it is stored in pairs of bfloat16.
    pairs_of: Option<usize>,
    /// Of how many numbers of bfloat16 each number is the sum, if products are made of the processor's tiles. Rows are then those of all parts, tile
    /// by tile.
    parts: Option<Parts>,
}

impl Packed {
    /// Nothing yet: memory to be filled.
    pub(super) fn empty(arch: Arch) -> Self {
        Self { arch, values: Vec::new(), depth: 0, columns: 0, width: 0, pairs_of: None, parts: None }
    }

    /// As [`Packed::empty`], for products of bfloat16 on tiles.
    pub(super) fn for_tiles(arch: Arch) -> Self {
        Self { parts: Some(Parts::One), ..Self::empty(arch) }
    }

    /// Parts of each number, if products are made of the processor's tiles.
    pub(super) fn parts(&self) -> Option<Parts> {
        self.parts
    }

    /// The inner dimension.
    pub(super) fn depth(&self) -> usize {
        self.pairs_of.unwrap_or(self.depth)
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Instructions that it is laid out for.
    pub(super) fn arch(&self) -> Arch {
        self.arch
    }

    /// The matrix as it was given, `[depth, columns]`; none if it was rounded.
    pub(super) fn to_rows(&self) -> Option<Vec<f32>> {
        if self.parts == Some(Parts::Three) {
            return Some(self.summed());
        }
        if self.pairs_of.is_some() {
            return None;
        }
        let mut rows = vec![0.0; self.depth * self.columns];
        for (panel, packed) in self.panels().enumerate() {
            let first = panel * self.width;
            let count = self.width.min(self.columns - first);
            for (row, packed) in rows.chunks_exact_mut(self.columns).zip(packed.chunks_exact(self.width)) {
                row[first..][..count].copy_from_slice(&packed[..count]);
            }
        }
        Some(rows)
    }

    /// The matrix whose numbers are stored in three parts: their sum is exact.
    fn summed(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.depth() * self.columns];
        for (panel, packed) in self.panels().enumerate() {
            let first = panel * self.width;
            let count = self.width.min(self.columns - first);
            for (number, row) in rows.chunks_exact_mut(self.columns).enumerate() {
                let (step, within) = (number / (2 * tiles::SIDE), number % (2 * tiles::SIDE));
                let tiles = packed.chunks_exact(tiles::SIDE * self.width).skip(3 * step).take(3);
                // The smallest part first, so that no sum is rounded.
                for tile in tiles.rev() {
                    let pairs = &tile[within / 2 * self.width..][..count];
                    let halves = pairs.iter().map(|pair| bfloat16::halves(*pair)[within % 2]);
                    row[first..][..count].iter_mut().zip(halves).for_each(|(number, part)| *number += part);
                }
            }
        }
        rows
    }

    /// Lays out another matrix, `[depth, ≥ columns]`, row-major, for tiles.
    fn fill_parts(&mut self, from: Rows<&[f32]>, depth: usize, columns: usize) {
        const WIDTH: usize = tiles::WIDTH;
        let parts = self.parts.map_or(1, Parts::count);
        self.resize(depth.div_ceil(2), columns);
        self.pairs_of = Some(depth);
        for (panel, packed) in self.panels_mut().enumerate() {
            let first = panel * WIDTH;
            let count = WIDTH.min(columns - first);
            for (step, tiles) in packed.chunks_exact_mut(parts * tiles::SIDE * WIDTH).enumerate() {
                for pair in 0..tiles::SIDE {
                    let mut rests = [[0.0; WIDTH]; 2];
                    for (row, rest) in (2 * (step * tiles::SIDE + pair)..depth).zip(&mut rests) {
                        rest[..count].copy_from_slice(&from.values[row * from.stride + first..][..count]);
                    }
                    for tile in tiles.chunks_exact_mut(tiles::SIDE * WIDTH) {
                        let places = tile[pair * WIDTH..][..WIDTH].iter_mut().zip(rests[0]).zip(rests[1]);
                        places.for_each(|((place, even), odd)| *place = bfloat16::pair(even, odd));
                        rests = rests.map(|row| row.map(bfloat16::rest));
                    }
                }
            }
        }
    }

    /// Reuses the memory for another matrix.
    #[inline(always)]
    pub(super) fn fill_from_rows(&mut self, values: &[f32], stride: usize, depth: usize, columns: usize) {
        let width = self.resize(depth, columns);
        for (panel, packed) in self.panels_mut().enumerate() {
            let first = panel * width;
            let count = width.min(columns - first);
            for (row, packed) in packed.chunks_exact_mut(width).enumerate() {
                packed[..count].copy_from_slice(&values[row * stride + first..][..count]);
            }
        }
    }

    /// Reuses the memory for another matrix, given by its transpose.
    #[inline(always)]
    pub(super) fn fill_from_columns(&mut self, values: &[f32], stride: usize, depth: usize, columns: usize) {
        let width = self.resize(depth, columns);
        for (panel, packed) in self.panels_mut().enumerate() {
            let first = panel * width;
            for column in 0..width.min(columns - first) {
                let values = &values[(first + column) * stride..][..depth];
                for (packed, value) in packed.chunks_exact_mut(width).zip(values) {
                    packed[column] = *value;
                }
            }
        }
    }

    /// Makes room; what stands there is zero, or what an earlier matrix of the same shape left.
    fn resize(&mut self, depth: usize, columns: usize) -> usize {
        let depth = self.parts.map_or(depth, |parts| depth.next_multiple_of(tiles::SIDE) * parts.count());
        if (self.depth, self.columns) != (depth, columns) {
            let width = if self.parts.is_some() { tiles::WIDTH } else { self.arch.dispatch(PanelWidth) };
            let length = columns.div_ceil(width) * width * depth;
            // A new allocation each time, so that `start` stays where it is for the life of the values.
            self.values = pages::zeros(length + LINE / size_of::<f32>());
            (self.depth, self.columns, self.width) = (depth, columns, width);
        }
        self.width
    }

    /// Reuses the memory for another matrix in pairs, `[depth, ≥ columns]`, row-major.
    #[inline(always)]
    pub(super) fn fill_pairs_from_rows(&mut self, from: Rows<&[f32]>, depth: usize, columns: usize) {
        let width = self.resize(depth.div_ceil(2), columns);
        self.pairs_of = Some(depth);
        for (panel, packed) in self.panels_mut().enumerate() {
            let first = panel * width;
            let count = width.min(columns - first);
            let row = |row: usize| &from.values[row * from.stride + first..][..count];
            for (packed, even) in packed.chunks_exact_mut(width).zip((0..depth).step_by(2)) {
                if even + 1 < depth {
                    let places = packed.iter_mut().zip(row(even)).zip(row(even + 1));
                    places.for_each(|((place, even), odd)| *place = bfloat16::pair(*even, *odd));
                } else {
                    packed.iter_mut().zip(row(even)).for_each(|(place, even)| *place = bfloat16::pair(*even, 0.0));
                }
            }
        }
    }

    /// Reuses the memory for another matrix in pairs, given by its transpose, `[columns, ≥ depth]`.
    #[inline(always)]
    pub(super) fn fill_pairs_from_columns<R: Round>(
        &mut self,
        rounding: R,
        from: Rows<&[f32]>,
        depth: usize,
        columns: usize,
    ) {
        let width = self.resize(depth.div_ceil(2), columns);
        self.pairs_of = Some(depth);
        const SIDE: usize = tiles::SIDE;
        for (panel, packed) in self.panels_mut().enumerate() {
            for first in (0..width).step_by(SIDE) {
                for (step, packed) in packed.chunks_exact_mut(SIDE * width).enumerate() {
                    let mut square = [[0.0; SIDE]; SIDE];
                    let start = panel * width + first;
                    for (column, pairs) in (start..columns).zip(&mut square) {
                        let numbers = &from.values[column * from.stride..][..depth];
                        let from = (2 * SIDE * step).min(depth);
                        rounding.pairs(&numbers[from..depth.min(from + 2 * SIDE)], pairs);
                    }
                    let square = transposed(square);
                    for (row, packed) in square.iter().zip(packed.chunks_exact_mut(width)) {
                        packed[first..][..SIDE].copy_from_slice(row);
                    }
                }
            }
        }
    }

    /// Index of the first value: the first that lies on a cache line.
    fn start(&self) -> usize {
        self.values.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>())
    }

    fn panels_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (start, size) = (self.start(), self.width * self.depth);
        let length = self.columns.div_ceil(self.width) * size;
        self.values[start..][..length].chunks_exact_mut(size)
    }

    pub(super) fn panels(&self) -> impl Iterator<Item = &[f32]> {
        let size = self.width * self.depth;
        let length = self.columns.div_ceil(self.width) * size;
        self.values[self.start()..][..length].chunks_exact(size)
    }
}

/// Four times, rows of the upper half are put between those of the lower half, which is a transposition in vectors.
#[inline(always)]
fn transposed(mut square: [[f32; tiles::SIDE]; tiles::SIDE]) -> [[f32; tiles::SIDE]; tiles::SIDE] {
    const HALF: usize = tiles::SIDE / 2;
    for _ in 0..tiles::SIDE.ilog2() {
        let mut next = [[0.0; tiles::SIDE]; tiles::SIDE];
        for row in 0..HALF {
            for at in 0..HALF {
                next[2 * row][2 * at] = square[row][at];
                next[2 * row][2 * at + 1] = square[row + HALF][at];
                next[2 * row + 1][2 * at] = square[row][at + HALF];
                next[2 * row + 1][2 * at + 1] = square[row + HALF][at + HALF];
            }
        }
        square = next;
    }
    square
}

/// Vectors of a tile's row: as many as leave room for the rest in the registers that there are.
const fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

struct PanelWidth;

impl WithSimd for PanelWidth {
    type Output = usize;

    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        vectors::<S>() * S::F32_LANES
    }
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
        if self.b.parts.is_some() {
            return tiles::run(self, &mut scratch.tiles, threads);
        }
        if self.b.pairs_of.is_some() {
            return bfloat16::run(self, &mut scratch.pairs, threads);
        }
        let arch = self.b.arch;
        self.for_each_share(threads, |share| arch.dispatch(share));
    }

    /// Hands out the product in as many shares of rows as there are threads, each of whole tiles. A row's sums are the same in any share.
    pub(super) fn for_each_share(self, threads: usize, run: impl Fn(Product<'_>) + Sync) {
        let unit = if self.b.parts.is_some() { 2 * tiles::SIDE } else { ROWS };
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
            let columns = width.min(self.b.columns - first);
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
