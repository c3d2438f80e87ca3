//! Products of bfloat16 on tiles: Intel's AMX multiplies 16 rows of 16 pairs by 16 pairs of 16 columns in one instruction, sixteen times as many
//! multiply-adds a cycle as single precision.
//!
//! The right side is read where it lies: panels of pairs are rows of tiles already. The left side is laid out in tiles first. What a tile unit
//! does stands behind [`TileUnit`], with a plain implementation for tests, so that every machine tests layouts and edges.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(test)]
mod plain;

use pulp::{Simd, WithSimd};

use super::{
    bfloat16::pair,
    product::{Product, Rows},
};

/// Rows of a tile, its pairs of the inner dimension, and the columns of a tile of sums.
const SIDE: usize = 16;
/// Numbers of 32 bits in a tile: pairs or sums.
const TILE: usize = SIDE * SIDE;
/// Rows and columns of the sums that are made at once: two by two tiles, with which each tile that is loaded is multiplied twice.
const BLOCK: usize = 2 * SIDE;
/// Most tiles of the inner dimension in a sweep: the left side's share of some 400 rows (0.8 MB) then stays in a core's second-level cache while
/// all columns pass it.
const STEPS: usize = 32;

/// Sums of a block.
#[repr(C, align(64))]
pub(super) struct Sums([[f32; BLOCK]; BLOCK]);

/// What multiplies tiles. A sum's order depends on the number of tiles alone: neither on the rows around it nor on the columns.
pub(super) trait TileUnit {
    /// `A·B` of two by two tiles of sums. `a` are the two rows of tiles, one tile after another. `b` are the two columns of tiles, each 16 pairs
    /// wide, of as many rows of pairs as `a` has, `stride` apart.
    fn multiply(&self, a: [&[f32]; 2], b: [&[f32]; 2], stride: usize, sums: &mut Sums);
}

/// Whether products of such a right side can be made of tiles: of whole ones.
pub(super) fn fits(pairs: usize, panel: usize) -> bool {
    pairs.is_multiple_of(SIDE) && panel.is_multiple_of(SIDE)
}

/// Whether this processor has tiles and the system lets this process use them.
pub(super) fn is_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        amx::is_available()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Runs a product whose right side fits on this processor's tiles; `left` is memory for the left side. Threads of the current pool share
/// the rows.
pub(super) fn run(product: Product<'_>, left: &mut Vec<f32>, threads: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        if threads == 1 {
            return on(product, &amx::Tiles::load(), left);
        }
        // Each thread has tiles of its own.
        product.for_each_share(threads, |share| on(share, &amx::Tiles::load(), &mut Vec::new()));
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (product, left, threads);
        unreachable!("nothing is packed for tiles that are not there");
    }
}

/// Runs a product on a tile unit.
fn on<T: TileUnit>(product: Product<'_>, unit: &T, left: &mut Vec<f32>) {
    let arch = product.arch();
    let (count, from, depth) = product.left();
    let steps = depth.div_ceil(2) / SIDE;
    let length = count.div_ceil(BLOCK) * 2 * steps * TILE;
    left.resize(left.len().max(length + TILE), 0.0);
    // A row of a tile is a cache line.
    let start = left.as_ptr().align_offset(64).min(TILE);
    let left = &mut left[start..][..length];
    arch.dispatch(LayOut { from, count, depth, steps, to: left });
    arch.dispatch(OnTiles { product, left, steps, unit });
}

/// The left side in tiles: of each 16 rows one tile after another, each row by row. Rows that are missing are zero.
struct LayOut<'a> {
    from: Rows<&'a [f32]>,
    count: usize,
    depth: usize,
    steps: usize,
    to: &'a mut [f32],
}

impl WithSimd for LayOut<'_> {
    type Output = ();

    /// The plain loop is vectorised by the compiler.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { from, count, depth, steps, to } = self;
        for (block, tiles) in to.chunks_exact_mut(steps * TILE).enumerate() {
            for within in 0..SIDE {
                let row = block * SIDE + within;
                let places = tiles.chunks_exact_mut(TILE).map(|tile| &mut tile[within * SIDE..][..SIDE]);
                if row >= count {
                    places.for_each(|place| place.fill(0.0));
                    continue;
                }
                let row = &from.values[row * from.stride..][..depth];
                for (place, numbers) in places.zip(row.chunks(2 * SIDE)) {
                    for (to, two) in place.iter_mut().zip(numbers.chunks(2)) {
                        *to = pair(two[0], two.get(1).copied().unwrap_or(0.0));
                    }
                }
            }
        }
    }
}

struct OnTiles<'a, T> {
    product: Product<'a>,
    /// As [`LayOut`] leaves it.
    left: &'a [f32],
    steps: usize,
    unit: &'a T,
}

impl<T: TileUnit> WithSimd for OnTiles<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut product, left, steps, unit } = self;
        let (count, columns) = (left.len() / (steps * TILE) * SIDE, product.columns());
        let mut sums = Sums([[0.0; BLOCK]; BLOCK]);
        for first_step in (0..steps).step_by(STEPS) {
            let some = STEPS.min(steps - first_step);
            for first in (0..columns).step_by(BLOCK) {
                let finish =
                    product.finish(first, BLOCK.min(columns - first), first_step == 0, first_step + some == steps);
                let (stride, b) = product.right(first, first_step * SIDE);
                // A second tile behind the last column would be nothing; the first stands in for it.
                let second = if first + SIDE < columns { product.right(first + SIDE, first_step * SIDE).1 } else { b };
                let b = [b, second].map(|tiles| &tiles[..(some * SIDE - 1) * stride + SIDE]);
                for row in (0..count).step_by(BLOCK) {
                    let tiles = |row: usize| &left[(row / SIDE * steps + first_step) * TILE..][..some * TILE];
                    unit.multiply([tiles(row), tiles(row + SIDE)], b, stride, &mut sums);
                    product.put(simd, row, first, &finish, sums.0.iter().map(<[f32; BLOCK]>::as_slice));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{plain::PlainTiles, *};
    use crate::{
        backends::cpu::{
            InstructionSet,
            product::{Activation, Packed, Packing},
        },
        precision::Precision,
    };

    /// Numbers of either sign around 1 without a pattern.
    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    struct Case {
        rows: usize,
        depth: usize,
        columns: usize,
        a: Vec<f32>,
        packed: Packed,
        bias: Vec<f32>,
        there: Vec<f32>,
    }

    impl Case {
        fn new([rows, depth, columns]: [usize; 3]) -> Self {
            let packing = Packing { arch: InstructionSet::Best.arch(), precision: Precision::Bfloat16, tiles: false };
            let packed = packing.rows(&noise(depth * columns, 2), columns, depth, columns);
            let [a, bias, there] =
                [(rows * depth, 1), (columns, 3), (rows * columns, 4)].map(|(n, seed)| noise(n, seed));
            Self { rows, depth, columns, a, packed, bias, there }
        }

        fn product<'a>(&'a self, c: &'a mut [f32], accumulates: bool) -> Product<'a> {
            let a = Rows { values: self.a.as_slice(), stride: self.depth };
            let product = Product::new(self.rows, a, &self.packed, Rows { values: c, stride: self.columns });
            let product = product.bias(&self.bias).activation(Activation::Gelu);
            if accumulates { product.accumulate() } else { product }
        }

        fn by(&self, unit: &impl TileUnit, accumulates: bool) -> Vec<f32> {
            let mut c = self.there.clone();
            // What an earlier product left in the memory must not matter.
            on(self.product(&mut c, accumulates), unit, &mut vec![f32::NAN; 7]);
            c
        }

        fn by_vectors(&self, accumulates: bool) -> Vec<f32> {
            let mut c = self.there.clone();
            self.product(&mut c, accumulates).run(&mut Vec::new(), 1);
            c
        }
    }

    fn difference(found: &[f32], expected: &[f32]) -> f32 {
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        // `max` would hide a NaN.
        let larger = |most: f32, one: f32| if one <= most { most } else { one };
        found.iter().zip(expected).map(|(x, y)| (x - y).abs() / largest).fold(0.0, larger)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Both multiply the same rounded numbers; sums of up to 320 terms in another order differ by some units of the last place.
        #[test]
        fn tiles_give_what_vectors_give(rows in 1_usize..70, steps in 1_usize..10, columns in 1_usize..140, odd: bool, accumulates: bool) {
            let depth = 2 * SIDE * steps - usize::from(odd);
            let case = Case::new([rows, depth, columns]);
            let difference = difference(&case.by(&PlainTiles, accumulates), &case.by_vectors(accumulates));
            prop_assert!(difference < 2e-6, "{difference:.1e}");
        }
    }

    #[test]
    fn a_deep_product_adds_its_sweeps_and_activates_the_sum_once() {
        let case = Case::new([5, 2 * SIDE * (2 * STEPS + 3), 40]);
        for accumulates in [false, true] {
            let difference = difference(&case.by(&PlainTiles, accumulates), &case.by_vectors(accumulates));
            assert!(difference < 5e-6, "{difference:.1e}");
        }
    }

    #[test]
    fn a_row_does_not_change_with_the_rows_around_it() {
        let case = Case::new([37, 64, 50]);
        let all = case.by(&PlainTiles, false);
        let last = Case {
            rows: 1,
            a: case.a[36 * 64..].to_vec(),
            there: case.there[36 * 50..].to_vec(),
            ..Case::new([1, 64, 50])
        };
        assert_eq!(last.by(&PlainTiles, false), all[36 * 50..]);
    }

    /// The processor's tiles against the plain ones. The order of sums is as Intel's manual has it; the bound leaves room for another.
    #[test]
    fn this_processors_tiles_give_what_the_plain_ones_give() {
        if !is_available() {
            eprintln!("skipped: this processor has no tiles (AMX), or the system does not let programs use them");
            return;
        }
        #[cfg(target_arch = "x86_64")]
        for shape in [[1, 32, 1], [16, 32, 16], [33, 768, 70], [400, 3072, 768], [50, 2 * SIDE * (STEPS + 1), 129]] {
            let case = Case::new(shape);
            let difference = difference(&case.by(&amx::Tiles::load(), true), &case.by(&PlainTiles, true));
            eprintln!("{shape:?}: {difference:.1e} from the plain tiles");
            assert!(difference < 5e-6, "{shape:?}: {difference:.1e}");
        }
    }
}
