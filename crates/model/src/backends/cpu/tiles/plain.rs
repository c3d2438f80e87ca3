//! What a tile unit does, a number at a time, in the order of Intel's manual (`TDPBF16PS`, volume 2 of the developer's manual): within
//! a tile the even and the odd numbers of the pairs are summed apart, and both sums are added to what was there.

use super::{SIDE, Sums, TILE, TileUnit};

#[derive(Debug)]
pub(super) struct PlainTiles;

impl TileUnit for PlainTiles {
    fn multiply(&self, a: [&[f32]; 2], b: [&[f32]; 2], stride: usize, sums: &mut Sums) {
        for (row, sums) in sums.0.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                let (tiles, pairs) = (a[row / SIDE], b[column / SIDE]);
                *sum = 0.0;
                for (step, tile) in tiles.chunks_exact(TILE).enumerate() {
                    let (mut even, mut odd) = (0.0_f32, 0.0_f32);
                    for (term, pair) in tile[row % SIDE * SIDE..][..SIDE].iter().enumerate() {
                        let (x, y) = (halves(*pair), halves(pairs[(step * SIDE + term) * stride + column % SIDE]));
                        even = x[0].mul_add(y[0], even);
                        odd = x[1].mul_add(y[1], odd);
                    }
                    *sum += even + odd;
                }
            }
        }
    }
}

fn halves(pair: f32) -> [f32; 2] {
    [f32::from_bits(pair.to_bits() << 16), f32::from_bits(pair.to_bits() & 0xffff_0000)]
}
