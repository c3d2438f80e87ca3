//! Products of a left side in tiles.

use std::ops::Range;

use pulp::Simd;

use super::{
    super::{
        bfloat16::{self, Round, Rounded},
        functions::{Exactly, Function, Gelu, GeluTanh, Nearly, QuickGelu},
        packed::Packed,
        product::{Activation, Rows},
    },
    AHEAD, BLOCK, Block, ROUND, SIDE, SWEEP, TILE, TileRows, TileUnit, WIDTH,
};

/// Where a product's result goes.
pub(in crate::backends::cpu) enum Target<'a> {
    /// To rows of numbers, or on top of them.
    Rows { rows: Rows<&'a mut [f32]>, accumulate: bool },
    /// To the left side of another product.
    Tiles(&'a mut TileRows),
}

impl Target<'_> {
    /// Where a panel of a block begins, and how far apart its rows are.
    fn place(&self, block: usize, panel: usize) -> Option<(&f32, usize)> {
        match self {
            Self::Rows { rows, .. } => {
                Some((rows.values.get(block * BLOCK * rows.stride + panel * WIDTH)?, rows.stride))
            }
            Self::Tiles(_) => None,
        }
    }
}

/// `C = activation(A·B + bias)`, or `C = activation(C + A·B + bias)`.
pub(in crate::backends::cpu) struct TileProduct<'a> {
    pub(in crate::backends::cpu) left: &'a TileRows,
    /// Packed for tiles.
    pub(in crate::backends::cpu) right: &'a Packed,
    pub(in crate::backends::cpu) bias: Option<&'a [f32]>,
    pub(in crate::backends::cpu) activation: Activation,
    pub(in crate::backends::cpu) target: Target<'a>,
}

impl TileProduct<'_> {
    /// Runs it on a tile unit; `sums` is memory.
    pub(super) fn on<T: TileUnit>(self, unit: &T, sums: &mut Vec<f32>) {
        let length = self.left.rows().div_ceil(BLOCK) * BLOCK * BLOCK;
        sums.resize(sums.len().max(length + SIDE), 0.0);
        // A row of a tile is a cache line.
        let start = sums.as_ptr().align_offset(64).min(SIDE);
        let arch = self.right.arch();
        bfloat16::round(arch, OnTiles { product: self, sums: &mut sums[start..][..length], unit });
    }
}

struct OnTiles<'a, T> {
    product: TileProduct<'a>,
    /// Sums of all rows over a panel, block by block.
    sums: &'a mut [f32],
    unit: &'a T,
}

impl<T: TileUnit> Rounded for OnTiles<'_, T> {
    #[inline(always)]
    fn run<S: Simd, R: Round>(self, simd: S, rounding: R) {
        match self.product.activation {
            Activation::Identity => self.by::<S, R, Exactly>(simd, rounding),
            Activation::Gelu => self.by::<S, R, Nearly<Gelu>>(simd, rounding),
            Activation::GeluTanh => self.by::<S, R, Nearly<GeluTanh>>(simd, rounding),
            Activation::QuickGelu => self.by::<S, R, Nearly<QuickGelu>>(simd, rounding),
        }
    }
}

impl<T: TileUnit> OnTiles<'_, T> {
    #[inline(always)]
    fn by<S: Simd, R: Round, F: Function>(mut self, simd: S, rounding: R) {
        let steps = self.product.left.steps();
        // What is rounded is a whole sum.
        let is_whole = matches!(self.product.target, Target::Tiles(_));
        let rounds = if is_whole { 1 } else { steps.div_ceil(ROUND) };
        let longest = steps.div_ceil(rounds);
        for first in (0..steps).step_by(longest) {
            let round = first..steps.min(first + longest);
            for (panel, _) in self.product.right.panels().enumerate() {
                if round.end == steps {
                    self.of_panel::<S, R, F>(simd, rounding, panel, &round);
                } else {
                    self.of_panel::<S, R, Exactly>(simd, rounding, panel, &round);
                }
            }
        }
    }

    /// All rows over a panel and a part of the inner dimension.
    #[inline(always)]
    fn of_panel<S: Simd, R: Round, F: Function>(&mut self, simd: S, rounding: R, panel: usize, round: &Range<usize>) {
        let TileProduct { left, right, .. } = self.product;
        let (sixteen, tiles) = (left.sixteen(), left.tiles());
        let mut panels = right.panels().skip(panel);
        let (Some(this), next) = (panels.next(), panels.next()) else { return };
        let bias = self.bias(panel, round.start == 0);
        // Sweeps are alike.
        let sweep = round.len().div_ceil(round.len().div_ceil(SWEEP));
        for first in round.clone().step_by(sweep) {
            let some = sweep.min(round.end - first);
            let (continues, is_last) = (first > round.start, first + some == round.end);
            let rows_of = |panel| part(panel, SIDE * WIDTH, first, some);
            let b = rows_of(this);
            // The next panel is fetched while this one's rows go by.
            let mut ahead = next.map(rows_of).unwrap_or_default().chunks(AHEAD * some);
            for (block, sixteens) in tiles.chunks(2 * sixteen).enumerate() {
                let tiles_of = |tiles| part(tiles, TILE, first, some);
                let more = sixteens.get(sixteen..).filter(|more| !more.is_empty()).map(tiles_of);
                let (a, ahead) = (tiles_of(sixteens), ahead.next().unwrap_or_default());
                let place = if is_last { self.product.target.place(block, panel) } else { None };
                let sums = &mut self.sums[block * BLOCK * BLOCK..][..BLOCK * BLOCK];
                self.unit.multiply(Block { a, more, b, continues, ahead, place }, sums);
                if is_last {
                    self.put::<S, R, F>(simd, rounding, [block, panel], &bias, round.start > 0);
                }
            }
        }
    }

    /// The bias of a panel's columns, if the sums begin; behind the last column there is none.
    #[inline(always)]
    fn bias(&self, panel: usize, begins: bool) -> [f32; WIDTH] {
        let mut bias = [0.0; WIDTH];
        if let Some(all) = self.product.bias.filter(|_| begins) {
            let some = &all[panel * WIDTH..all.len().min((panel + 1) * WIDTH)];
            bias[..some.len()].copy_from_slice(some);
        }
        bias
    }

    /// Finishes the sums of a block.
    #[inline(always)]
    fn put<S: Simd, R: Round, F: Function>(
        &mut self,
        simd: S,
        rounding: R,
        [block, panel]: [usize; 2],
        bias: &[f32; WIDTH],
        continues: bool,
    ) {
        let columns = self.product.right.columns();
        let first = panel * WIDTH;
        let rows = block * BLOCK..self.product.left.rows();
        let sums = self.sums[block * BLOCK * BLOCK..][..BLOCK * BLOCK].chunks_exact_mut(BLOCK);
        let (bias, _) = S::as_simd_f32s(bias);
        match &mut self.product.target {
            Target::Rows { rows: to, accumulate } => {
                let width = WIDTH.min(columns - first);
                for (row, sums) in rows.zip(sums) {
                    let place = &mut to.values[row * to.stride + first..][..width];
                    if *accumulate || continues {
                        finish_onto::<S, F>(simd, sums, bias, place);
                    } else {
                        finish::<S, F>(simd, sums, bias);
                        place.copy_from_slice(&sums[..width]);
                    }
                }
            }
            Target::Tiles(target) => {
                for (row, sums) in rows.zip(sums) {
                    finish::<S, F>(simd, sums, bias);
                    target.put(rounding, row, panel, sums);
                }
            }
        }
    }
}

/// Some steps of so many numbers each.
fn part(numbers: &[f32], step: usize, first: usize, some: usize) -> &[f32] {
    &numbers[first * step..][..some * step]
}

/// Bias and activation of a row of sums, in place.
#[inline(always)]
fn finish<S: Simd, F: Function>(simd: S, sums: &mut [f32], bias: &[S::f32s]) {
    let (sums, _) = S::as_mut_simd_f32s(sums);
    for (sum, bias) in sums.iter_mut().zip(bias) {
        *sum = F::of(simd, simd.add_f32s(*sum, *bias));
    }
}

/// As [`finish`], with what stands at its place as a term.
#[inline(always)]
fn finish_onto<S: Simd, F: Function>(simd: S, sums: &[f32], bias: &[S::f32s], place: &mut [f32]) {
    let (sums, _) = S::as_simd_f32s(sums);
    let (places, rest) = S::as_mut_simd_f32s(place);
    let last = places.len();
    for ((place, sum), bias) in places.iter_mut().zip(sums).zip(bias) {
        *place = F::of(simd, simd.add_f32s(*place, simd.add_f32s(*sum, *bias)));
    }
    if !rest.is_empty() {
        let sum = simd.add_f32s(simd.partial_load_f32s(rest), simd.add_f32s(sums[last], bias[last]));
        simd.partial_store_f32s(rest, F::of(simd, sum));
    }
}
