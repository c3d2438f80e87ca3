use proptest::prelude::*;

use super::{plain::PlainTiles, *};
use crate::{
    backends::cpu::{
        InstructionSet,
        attention::{Attend, AttentionScratch, LooksAsked},
        blocks::Linear,
        packed::{Packed, Packing},
        product::{Activation, ProductScratch, Rows},
        sequences::{Chosen, Sequences},
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

fn packing(tiles: bool) -> Packing {
    Packing { arch: InstructionSet::Best.arch(), precision: Precision::Bfloat16, tiles }
}

struct Case {
    rows: usize,
    depth: usize,
    columns: usize,
    a: Vec<f32>,
    on_tiles: Packed,
    by_vectors: Packed,
    bias: Vec<f32>,
    there: Vec<f32>,
}

impl Case {
    fn new([rows, depth, columns]: [usize; 3]) -> Self {
        let b = noise(depth * columns, 2);
        let packed = |tiles| packing(tiles).rows(&b, columns, depth, columns);
        let [a, bias, there] = [(rows * depth, 1), (columns, 3), (rows * columns, 4)].map(|(n, seed)| noise(n, seed));
        Self { rows, depth, columns, a, on_tiles: packed(true), by_vectors: packed(false), bias, there }
    }

    fn product<'a>(&'a self, b: &'a Packed, c: &'a mut [f32], accumulates: bool) -> Product<'a> {
        let a = Rows { values: self.a.as_slice(), stride: self.depth };
        let product = Product::new(self.rows, a, b, Rows { values: c, stride: self.columns });
        let product = product.bias(&self.bias).activation(Activation::Gelu);
        if accumulates { product.accumulate() } else { product }
    }

    fn by(&self, unit: &impl TileUnit, accumulates: bool) -> Vec<f32> {
        let mut c = self.there.clone();
        // What an earlier product left in the memory must not matter.
        let mut scratch = TileScratch { sums: vec![f32::NAN; 7], ..TileScratch::default() };
        on(self.product(&self.on_tiles, &mut c, accumulates), unit, &mut scratch);
        c
    }

    fn by_vectors(&self, accumulates: bool) -> Vec<f32> {
        let mut c = self.there.clone();
        self.product(&self.by_vectors, &mut c, accumulates).run(&mut ProductScratch::default(), 1);
        c
    }
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    // `max` would hide a NaN.
    let larger = |most: f32, one: f32| if one <= most { most } else { one };
    found.iter().zip(expected).map(|(x, y)| (x - y).abs() / largest).fold(0.0, larger)
}

/// What tiles may differ by from vectors: activations behind them are within 3e-4.
const BOUND: f32 = 4e-4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Both multiply the same numbers; sums of up to 320 terms in another order differ by some units of the last place.
    #[test]
    fn tiles_give_what_vectors_give(
        rows in 1_usize..70, depth in 1_usize..320, columns in 1_usize..140, accumulates: bool,
    ) {
        let case = Case::new([rows, depth, columns]);
        let difference = difference(&case.by(&PlainTiles, accumulates), &case.by_vectors(accumulates));
        prop_assert!(difference < BOUND, "{difference:.1e}");
    }
}

#[test]
fn a_deep_product_adds_its_rounds_and_activates_the_sum_once() {
    let case = Case::new([5, 2 * SIDE * (2 * ROUND + 3), 40]);
    for accumulates in [false, true] {
        let difference = difference(&case.by(&PlainTiles, accumulates), &case.by_vectors(accumulates));
        assert!(difference < 2.0 * BOUND, "{difference:.1e}");
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

/// Hidden rows that stay in tiles are those that leave them; both ways to the update of some rows give the same.
#[test]
fn an_mlp_on_tiles_is_that_of_two_products() {
    let [rows, width, hidden] = [37, 48, 100];
    let layer = |[depth, columns]: [usize; 2], seed, tiles| Linear {
        weight: packing(tiles).rows(&noise(depth * columns, seed), columns, depth, columns),
        bias: noise(columns, seed + 1),
    };
    let [normed, residual] = [noise(rows * width, 1), noise(rows * width, 2)];
    let (expand, contract) = (layer([width, hidden], 3, true), layer([hidden, width], 5, true));
    let mlp = TileMlp { expand: &expand, contract: &contract, activation: Activation::QuickGelu };
    let (mut found, chosen) = (residual.clone(), [0, 17, 36]);
    let update = mlp.on(&PlainTiles, &normed, &mut found, Some(&chosen), &mut TileScratch::default());
    let (mut between, mut expected) = (vec![0.0; rows * hidden], residual.clone());
    let expand = layer([width, hidden], 3, false);
    let a = Rows { values: normed.as_slice(), stride: width };
    let product = Product::new(rows, a, &expand.weight, Rows { values: &mut between, stride: hidden });
    product.bias(&expand.bias).activation(Activation::QuickGelu).run(&mut ProductScratch::default(), 1);
    let contract = layer([hidden, width], 5, false);
    let a = Rows { values: between.as_slice(), stride: hidden };
    let product = Product::new(rows, a, &contract.weight, Rows { values: &mut expected, stride: width });
    product.bias(&contract.bias).accumulate().run(&mut ProductScratch::default(), 1);
    let difference_of_all = difference(&found, &expected);
    assert!(difference_of_all < 1e-2, "{difference_of_all:.1e}");
    let of_rows = |values: &[f32]| -> Vec<f32> {
        chosen.iter().flat_map(|row| &values[row * width..][..width]).copied().collect()
    };
    let added: Vec<f32> = of_rows(&found).iter().zip(of_rows(&residual)).map(|(sum, there)| sum - there).collect();
    let difference = difference(&update.unwrap_or_default(), &added);
    assert!(difference < 1e-6, "{difference:.1e}");
}

/// A head's attention on tiles against that of vectors: queries, keys, values and weights are rounded, which moves `z` by hundredths of the largest
/// at most. Scores that are kept are those that were used.
#[test]
fn attention_on_tiles_is_that_of_vectors() {
    let arch = InstructionSet::Best.arch();
    for (tokens, head_dim, is_causal) in [(50, 64, false), (33, 80, false), (77, 64, true), (16, 8, false)] {
        let width = 2 * head_dim;
        let projected = noise(3 * tokens * width, 7);
        let attend = Attend {
            arch,
            query: Rows { values: &projected, stride: 3 * width },
            projected: &projected,
            sequences: &Sequences::new([tokens], if is_causal { Chosen::Last } else { Chosen::First }),
            chosen_alone: false,
            width,
            heads: 2,
            is_causal,
            on_tiles: false,
            asked: LooksAsked { tokens: true, mean: false },
        };
        let mut exact = AttentionScratch::new(arch);
        arch.dispatch(attend.head(0, 1, &mut exact));
        let mut found = AttentionScratch::new(arch);
        attention::attend_on(arch, attend.head(0, 1, &mut found), &PlainTiles);
        for (found, exact) in [(&found.z, &exact.z), (&found.scores, &exact.scores)] {
            let difference = difference(found, exact);
            assert!(difference < 2e-2, "{tokens} tokens: {difference:.1e}");
        }
        let rows = found.scores.chunks_exact(tokens).enumerate();
        for (query, row) in rows {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(!is_causal || row[query + 1..].iter().all(|weight| *weight == 0.0));
        }
    }
}

/// The processor's tiles against the plain ones. The order of sums is as Intel's manual has it; the bound leaves room for another.
#[test]
fn this_processors_tiles_give_what_the_plain_ones_give() {
    if !is_available() {
        eprintln!("skipped: this processor has no tiles (AMX), or the system does not let programs use them");
        return;
    }
    #[cfg(target_arch = "x86_64")]
    for shape in [[1, 32, 1], [16, 32, 16], [33, 768, 70], [70, 3072, 96], [50, 2 * SIDE * 33, 129]] {
        let case = Case::new(shape);
        let difference = difference(&case.by(&amx::Tiles::load(), true), &case.by(&PlainTiles, true));
        eprintln!("{shape:?}: {difference:.1e} from the plain tiles");
        assert!(difference < 5e-6, "{shape:?}: {difference:.1e}");
    }
}
