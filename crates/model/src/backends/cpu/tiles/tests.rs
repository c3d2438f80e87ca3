use proptest::prelude::*;

use super::{plain::PlainTiles, *};
use crate::{
    backends::cpu::{
        InstructionSet,
        product::{Activation, Packed, Packing, Product, ProductScratch, Rows},
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
        on(self.product(&mut c, accumulates), unit, &mut TileScratch::default());
        c
    }

    fn by_vectors(&self, accumulates: bool) -> Vec<f32> {
        let mut c = self.there.clone();
        self.product(&mut c, accumulates).run(&mut ProductScratch::default(), 1);
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
    let case = Case::new([5, 2 * SIDE * (2 * ROUND + 3), 40]);
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
    for shape in [[1, 32, 1], [16, 32, 16], [33, 768, 70], [400, 3072, 768], [50, 2 * SIDE * (ROUND + 1), 129]] {
        let case = Case::new(shape);
        let difference = difference(&case.by(&amx::Tiles::load(), true), &case.by(&PlainTiles, true));
        eprintln!("{shape:?}: {difference:.1e} from the plain tiles");
        assert!(difference < 5e-6, "{shape:?}: {difference:.1e}");
    }
}
