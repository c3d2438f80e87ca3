//! What a tile unit does, a number at a time, in the order of Intel's manual (`TDPBF16PS`, volume 2 of the developer's manual): within
//! a tile the even and the odd numbers of the pairs are summed apart, and both sums are added to what was there.

use super::{super::bfloat16::halves, BLOCK, Block, SIDE, Sums, TILE, TileUnit, WIDTH};

#[derive(Debug)]
pub(super) struct PlainTiles;

impl TileUnit for PlainTiles {
    fn multiply(&self, block: Block<'_>, sums: &mut Sums) {
        let Block { a, more, b, continues, .. } = block;
        let sums = sums.chunks_exact_mut(SIDE * BLOCK);
        let rows = sums.zip([Some(a), more]).filter_map(|(sums, tiles)| Some((sums, tiles?)));
        for (sums, tiles) in rows {
            for (row, sums) in sums.chunks_exact_mut(BLOCK).enumerate() {
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum = chain(if continues { *sum } else { 0.0 }, [tiles, b], row, column);
                }
            }
        }
    }
}

fn chain(first: f32, [a, b]: [&[f32]; 2], row: usize, column: usize) -> f32 {
    let mut sum = first;
    for (tile, panel) in a.chunks_exact(TILE).zip(b.chunks_exact(SIDE * WIDTH)) {
        let pairs = tile[row * SIDE..][..SIDE].iter();
        let (mut even, mut odd) = (0.0_f32, 0.0_f32);
        for (pair, other) in pairs.zip(panel.chunks_exact(WIDTH)) {
            let (x, y) = (halves(*pair), halves(other[column]));
            even = x[0].mul_add(y[0], even);
            odd = x[1].mul_add(y[1], odd);
        }
        sum += even + odd;
    }
    sum
}
