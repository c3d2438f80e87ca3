//! Attention of a head on tiles.

use pulp::{Arch, Simd};

use super::{
    super::{
        attention::OneHead,
        bfloat16::{self, Round, Rounded},
        functions::exp,
        packed::Packed,
    },
    BLOCK, Block, SIDE, TileRows, TileUnit, WIDTH,
};

/// Memory of a head's attention on tiles.
#[derive(Debug)]
pub(in crate::backends::cpu) struct HeadTiles {
    queries: TileRows,
    keys: Packed,
    values: Packed,
    /// Scores of 32 queries, `[panels of keys, 32, 32]`, then sums of values.
    sums: Vec<f32>,
    /// What values are summed with, for 32 queries.
    weights: TileRows,
}

impl HeadTiles {
    pub(in crate::backends::cpu) fn new(arch: Arch) -> Self {
        Self {
            queries: TileRows::default(),
            keys: Packed::for_tiles(arch),
            values: Packed::for_tiles(arch),
            sums: Vec::new(),
            weights: TileRows::default(),
        }
    }
}

/// Attention of a head on this processor's tiles.
pub(in crate::backends::cpu) fn attend(arch: Arch, head: OneHead<'_>) {
    super::with_tiles(|tiles| attend_on(arch, head, tiles));
}

/// `z` of a head on a tile unit, and its scores where they are kept. Queries, keys, values and what values are summed with are rounded to bfloat16,
/// scores are not.
pub(super) fn attend_on<T: TileUnit>(arch: Arch, head: OneHead<'_>, unit: &T) {
    let size = [head.queries, head.head_dim];
    head.scratch.tiles.queries.fill(arch, head.query, size);
    bfloat16::round(arch, OnTiles { head, unit });
}

struct OnTiles<'a, T> {
    head: OneHead<'a>,
    unit: &'a T,
}

impl<T: TileUnit> Rounded for OnTiles<'_, T> {
    /// 32 queries at a time, so that their scores stay in the first-level cache.
    #[inline(always)]
    fn run<S: Simd, R: Round>(mut self, simd: S, rounding: R) {
        let OneHead { keys, values, queries, tokens, head_dim, .. } = self.head;
        let memory = &mut self.head.scratch.tiles;
        memory.keys.fill_pairs_from_columns(rounding, keys, head_dim, tokens);
        memory.values.fill_pairs_from_rows(values, tokens, head_dim);
        memory.weights.resize(BLOCK, tokens);
        // A row of sums is two cache lines.
        let panels = tokens.div_ceil(WIDTH).max(head_dim.div_ceil(WIDTH));
        memory.sums.resize(memory.sums.len().max(panels * BLOCK * BLOCK + SIDE), 0.0);
        for first in (0..queries).step_by(BLOCK) {
            self.of_block(simd, rounding, first);
        }
    }
}

impl<T: TileUnit> OnTiles<'_, T> {
    #[inline(always)]
    fn of_block<S: Simd, R: Round>(&mut self, simd: S, rounding: R, first: usize) {
        let OneHead { queries, tokens, head_dim, .. } = self.head;
        let HeadTiles { queries: query, keys, sums, .. } = &mut self.head.scratch.tiles;
        let start = sums.as_ptr().align_offset(64).min(SIDE);
        multiply(self.unit, query, first, keys, &mut sums[start..]);
        let mut factors = [0.0; BLOCK];
        for (row, factor) in (first..queries).zip(&mut factors) {
            let seen = self.head.seen(row);
            let HeadTiles { sums, weights, .. } = &mut self.head.scratch.tiles;
            let row_of = Row { scores: &mut sums[start..], within: row - first, seen, tokens };
            *factor = row_of.weigh(simd, rounding, weights);
            if self.head.keeps_scores {
                let kept = self.head.scratch.scores[row * tokens..][..tokens].chunks_mut(WIDTH);
                let panels = sums[start..].chunks_exact(BLOCK * BLOCK);
                for (kept, panel) in kept.zip(panels) {
                    let powers = &panel[(row - first) * BLOCK..][..kept.len()];
                    kept.iter_mut().zip(powers).for_each(|(kept, power)| *kept = power * *factor);
                }
            }
        }
        let scratch = &mut *self.head.scratch;
        let HeadTiles { values, sums, weights, .. } = &mut scratch.tiles;
        multiply(self.unit, weights, 0, values, &mut sums[start..]);
        let rows = scratch.z[first * head_dim..].chunks_exact_mut(head_dim);
        for ((row, z), factor) in rows.enumerate().zip(factors) {
            for (z, panel) in z.chunks_mut(WIDTH).zip(sums[start..].chunks_exact(BLOCK * BLOCK)) {
                let sums = &panel[row * BLOCK..][..z.len()];
                z.iter_mut().zip(sums).for_each(|(z, sum)| *z = sum * factor);
            }
        }
    }
}

/// Sums of 32 rows over all panels, `[panels, 32, 32]`.
#[inline(always)]
fn multiply<T: TileUnit>(unit: &T, left: &TileRows, first: usize, right: &Packed, sums: &mut [f32]) {
    let sixteen = left.sixteen();
    let mut rows = left.tiles()[first / SIDE * sixteen..].chunks_exact(sixteen);
    let (Some(a), more) = (rows.next(), rows.next()) else { return };
    for (b, sums) in right.panels().zip(sums.chunks_exact_mut(BLOCK * BLOCK)) {
        let block = Block { a, more, b, continues: false, ahead: &[], place: None };
        unit.multiply(block, sums);
    }
}

/// A query's scores.
struct Row<'a> {
    /// Of 32 queries, `[panels, 32, 32]`.
    scores: &'a mut [f32],
    /// Which of them it is.
    within: usize,
    seen: usize,
    tokens: usize,
}

impl Row<'_> {
    fn of_panel(&mut self, panel: usize) -> &mut [f32] {
        &mut self.scores[panel * BLOCK * BLOCK + self.within * BLOCK..][..BLOCK]
    }

    /// From scores to their powers, in place and rounded in tiles; returns one over their sum. Tokens that are not seen count nothing.
    #[inline(always)]
    fn weigh<S: Simd, R: Round>(mut self, simd: S, rounding: R, weights: &mut TileRows) -> f32 {
        let (whole, rest) = (self.seen / WIDTH, self.seen % WIDTH);
        let panels = whole + usize::from(rest > 0);
        if rest > 0 {
            self.of_panel(whole)[rest..].fill(f32::NEG_INFINITY);
        }
        // A NaN may get lost among the maxima; the exponentials carry it into the sum, and the sum into the whole row.
        let mut most = simd.splat_f32s(f32::NEG_INFINITY);
        for panel in 0..panels {
            let (scores, _) = S::as_simd_f32s(self.of_panel(panel));
            most = scores.iter().fold(most, |most, x| simd.max_f32s(most, *x));
        }
        let most = simd.splat_f32s(simd.reduce_max_f32s(most));
        let mut sum = simd.splat_f32s(0.0);
        for panel in 0..panels {
            let scores = self.of_panel(panel);
            for x in S::as_mut_simd_f32s(scores).0 {
                *x = exp(simd, simd.sub_f32s(*x, most));
            }
            if panel == whole {
                scores[rest..].fill(0.0);
            }
            sum = S::as_simd_f32s(scores).0.iter().fold(sum, |sum, x| simd.add_f32s(sum, *x));
            weights.put(rounding, self.within, panel, self.of_panel(panel));
        }
        for panel in panels..self.tokens.div_ceil(WIDTH) {
            self.of_panel(panel).fill(0.0);
            weights.put(rounding, self.within, panel, &[0.0; WIDTH]);
        }
        1.0 / simd.reduce_sum_f32s(sum)
    }
}
