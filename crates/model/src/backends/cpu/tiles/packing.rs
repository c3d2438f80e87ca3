//! Right sides for tiles.

use super::{
    super::{
        bfloat16::{self, Round},
        packed::Packed,
        product::Rows,
    },
    SIDE,
};

impl Packed {
    /// Reuses the memory for another matrix in pairs, `[depth, ≥ columns]`, row-major.
    #[inline(always)]
    pub(in crate::backends::cpu) fn fill_pairs_from_rows(&mut self, from: Rows<&[f32]>, depth: usize, columns: usize) {
        let width = self.resize_pairs(depth, columns);
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
        let width = self.resize_pairs(depth, columns);
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
}

/// Four times, rows of the upper half are put between those of the lower half, which is a transposition in vectors.
#[inline(always)]
fn transposed(mut square: [[f32; SIDE]; SIDE]) -> [[f32; SIDE]; SIDE] {
    const HALF: usize = SIDE / 2;
    for _ in 0..SIDE.ilog2() {
        let mut next = [[0.0; SIDE]; SIDE];
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
