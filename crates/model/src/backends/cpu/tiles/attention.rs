//! Attention of a head on tiles.

use pulp::{Arch, Simd};

use super::{
    super::{
        attention::OneHead,
        bfloat16::{self, Round, Rounded},
        product::{Packed, Product, Rows},
    },
    TileScratch, TileUnit, on,
};

/// Memory of a head's attention on tiles.
#[derive(Debug)]
pub(in crate::backends::cpu) struct HeadTiles {
    keys: Packed,
    values: Packed,
    products: TileScratch,
}

impl HeadTiles {
    pub(in crate::backends::cpu) fn new(arch: Arch) -> Self {
        Self { keys: Packed::for_tiles(arch), values: Packed::for_tiles(arch), products: TileScratch::default() }
    }
}

/// Attention of a head on this processor's tiles.
pub(in crate::backends::cpu) fn attend(arch: Arch, head: OneHead<'_>) {
    super::with_tiles(|tiles| by(arch, head, tiles));
}

/// Scores and `z` of a head on a tile unit: queries, keys, attention and values are rounded to bfloat16, scores are not.
pub(super) fn by<T: TileUnit>(arch: Arch, mut head: OneHead<'_>, unit: &T) {
    bfloat16::round(arch, Pack(&mut head));
    let OneHead { query, queries, tokens, head_dim, .. } = head;
    let scratch = &mut *head.scratch;
    let HeadTiles { keys, products, .. } = &mut scratch.tiles;
    let target = Rows { values: scratch.scores.as_mut_slice(), stride: tokens };
    on(Product::new(queries, query, keys, target), unit, products);
    bfloat16::round(arch, Weigh(&mut head));
    let scratch = &mut *head.scratch;
    let HeadTiles { values, products, .. } = &mut scratch.tiles;
    let weights = Rows { values: scratch.scores.as_slice(), stride: tokens };
    let target = Rows { values: scratch.z.as_mut_slice(), stride: head_dim };
    on(Product::new(queries, weights, values, target), unit, products);
}

struct Pack<'a, 'b>(&'a mut OneHead<'b>);

impl Rounded for Pack<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, R: Round>(self, _simd: S, rounding: R) {
        let OneHead { keys, values, tokens, head_dim, .. } = *self.0;
        let HeadTiles { keys: packed_keys, values: packed_values, .. } = &mut self.0.scratch.tiles;
        packed_keys.fill_pairs_from_columns(rounding, keys, head_dim, tokens);
        packed_values.fill_pairs_from_rows(values, tokens, head_dim);
    }
}

struct Weigh<'a, 'b>(&'a mut OneHead<'b>);

impl Rounded for Weigh<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, R: Round>(self, simd: S, _rounding: R) {
        self.0.weigh(simd);
    }
}
