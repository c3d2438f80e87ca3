use std::{array, error::Error, path::PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use pulp::{Arch, Scalar, Simd, WithSimd};

use super::{
    CpuText, CpuVision, InstructionSet, Precision,
    functions::{exp, gelu, gelu_tanh, quick_gelu},
    packed::Packing,
    product::{Activation, Product, ProductScratch, Rows},
    rows::{Norm, Normalise, softmax},
};
use crate::{Checkpoint, ClipConfig, HostTokens, HostTrace, TokenBatch, TraceRequest, burn::Clip};

/// Instruction sets of this processor.
fn available() -> impl Iterator<Item = InstructionSet> {
    [InstructionSet::Best, InstructionSet::Vectors, InstructionSet::Avx2, InstructionSet::Plain]
        .into_iter()
        .filter(|set| set.is_available())
}

fn packing(set: InstructionSet, precision: Precision) -> Packing {
    Packing { arch: set.arch(), precision, tiles: set.tiles() }
}

#[derive(Clone, Copy)]
enum Function {
    Exp,
    Gelu,
    GeluTanh,
    QuickGelu,
    Softmax,
}

struct Apply<'a>(Function, &'a mut [f32]);

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if matches!(self.0, Function::Softmax) {
            return softmax(simd, self.1);
        }
        for values in self.1.chunks_mut(S::F32_LANES) {
            let x = simd.partial_load_f32s(values);
            let y = match self.0 {
                Function::Exp => exp(simd, x),
                Function::Gelu => gelu(simd, x),
                Function::GeluTanh => gelu_tanh(simd, x),
                _ => quick_gelu(simd, x),
            };
            simd.partial_store_f32s(values, y);
        }
    }
}

fn apply(function: Function, values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    Arch::new().dispatch(Apply(function, &mut values));
    values
}

/// Largest error over `scale(x, expected)`, on a million points and on the processor without SIMD at a thousand.
fn worst(function: Function, [low, high]: [f64; 2], exact: fn(f64) -> f64, scale: fn(f64, f64) -> f64) -> f64 {
    let points = |count: u32| -> Vec<f32> {
        (0..=count).map(|i| (low + (high - low) * f64::from(i) / f64::from(count)) as f32).collect()
    };
    let error = |xs: &[f32], ys: &[f32]| {
        let pairs = xs.iter().zip(ys).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        pairs.map(|(x, y)| (y - exact(x)).abs() / scale(x, exact(x))).fold(0.0, f64::max)
    };
    let (many, few) = (points(1_000_000), points(1_000));
    let mut plain = few.clone();
    Scalar.vectorize(Apply(function, &mut plain));
    error(&many, &apply(function, &many)).max(error(&few, &plain))
}

#[test]
fn exp_and_the_activations_are_exact_to_a_few_units_of_the_last_place() {
    let exp_error = worst(Function::Exp, [-87.0, 88.0], f64::exp, |_, y| y);
    assert!(exp_error < 2e-7, "{exp_error:e}");
    let largest = |x: f64, _: f64| x.abs().max(1.0);
    let normal = |x: f64| 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2);
    let gelu_error = worst(Function::Gelu, [-30.0, 30.0], normal, largest);
    assert!(gelu_error < 3e-7, "{gelu_error:e}");
    let approximate =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    let tanh_error = worst(Function::GeluTanh, [-30.0, 30.0], approximate, largest);
    assert!(tanh_error < 3e-7, "{tanh_error:e}");
    let logistic = |x: f64| x / (1.0 + (-1.702 * x).exp());
    let quick_error = worst(Function::QuickGelu, [-50.0, 50.0], logistic, largest);
    assert!(quick_error < 3e-7, "{quick_error:e}");
}

#[test]
fn what_is_not_a_number_stays_so() {
    for function in [Function::Exp, Function::Gelu, Function::GeluTanh, Function::QuickGelu] {
        assert!(apply(function, &[1.0, f32::NAN])[1].is_nan());
    }
    for function in [Function::Gelu, Function::GeluTanh, Function::QuickGelu] {
        assert!(apply(function, &[f32::INFINITY, f32::NEG_INFINITY]).iter().all(|y| !y.is_finite() || *y == 0.0));
    }
    for bad in [f32::NAN, f32::INFINITY] {
        for place in [0, 16, 19] {
            let mut row = [0.5; 20];
            row[place] = bad;
            assert!(apply(Function::Softmax, &row).iter().any(|p| p.is_nan()), "{bad} at {place}");
        }
    }
}

fn close(found: &[f32], expected: &[f64], tolerance: f64) {
    let largest = expected.iter().fold(1e-6_f64, |most, x| most.max(x.abs()));
    for (index, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*x) - y).abs() <= tolerance * largest, "{x} is not {y} at {index}");
    }
}

fn product(a: &[f32], b: &[f32], [rows, depth, columns]: [usize; 3]) -> Vec<f64> {
    let term = |row: usize, column: usize, k: usize| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]);
    let sum = |row, column| (0..depth).map(|k| term(row, column, k)).sum();
    (0..rows * columns).map(|index| sum(index / columns, index % columns)).collect()
}

fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_softmax_is_that_of_double_precision(row in prop::collection::vec(-60.0_f32..60.0, 1..70)) {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f64> = row.iter().map(|x| f64::from(x - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let expected: Vec<f64> = powers.iter().map(|power| power / sum).collect();
        close(&apply(Function::Softmax, &row), &expected, 1e-6);
    }

    #[test]
    fn a_layer_norm_is_that_of_double_precision(
        width in 2_usize..100,
        mean in -100.0_f32..100.0,
        threads in 1_usize..4,
        seed: u32,
    ) {
        let input: Vec<f32> = noise(2 * width, seed).iter().map(|x| x + mean).collect();
        let norm = Norm { weight: noise(width, seed ^ 1), bias: noise(width, seed ^ 2), epsilon: 1e-5 };
        let mut output = vec![0.0; 2 * width];
        Normalise { input: &input, output: &mut output, norm: &norm }.run(Arch::new(), threads);
        for (row, output) in input.chunks_exact(width).zip(output.chunks_exact(width)) {
            let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            let scale = (variance + 1e-5).sqrt();
            let normed = |i: usize| (row[i] - mean) / scale * f64::from(norm.weight[i]) + f64::from(norm.bias[i]);
            // The mean is off by some units in its last place, which the scale magnifies where the row hardly varies.
            let allowed = 1e-5 + 1e-6 * mean.abs() / scale;
            for (i, x) in output.iter().enumerate() {
                prop_assert!((f64::from(*x) - normed(i)).abs() <= allowed, "{x} is not {} at {i}", normed(i));
            }
        }
    }

    #[test]
    fn a_product_is_that_of_double_precision(rows in 1_usize..20, depth in 1_usize..80, columns in 1_usize..150, seed: u32) {
        let (a, b, bias) = (noise(rows * depth, seed), noise(depth * columns, seed ^ 1), noise(columns, seed ^ 2));
        let before = noise(rows * columns, seed ^ 3);
        let mut expected = product(&a, &b, [rows, depth, columns]);
        for (index, sum) in expected.iter_mut().enumerate() {
            *sum += f64::from(bias[index % columns]) + f64::from(before[index]);
        }
        let transposed: Vec<f32> = (0..depth * columns).map(|i| b[i % depth * columns + i / depth]).collect();
        let packings = available().flat_map(|set| {
            let packing = packing(set, Precision::Float32);
            [packing.rows(&b, columns, depth, columns), packing.columns(&transposed, depth, depth, columns)]
        });
        for packed in packings {
            let mut c = before.clone();
            let a = Rows { values: a.as_slice(), stride: depth };
            let target = Rows { values: c.as_mut_slice(), stride: columns };
            Product::new(rows, a, &packed, target).bias(&bias).accumulate().run(&mut ProductScratch::default(), 1);
            close(&c, &expected, 1e-5);
            prop_assert_eq!(packed.to_rows(), Some(b.clone()));
            let mut shared = before.clone();
            let target = Rows { values: shared.as_mut_slice(), stride: columns };
            Product::new(rows, a, &packed, target).bias(&bias).accumulate().run(&mut ProductScratch::default(), 3);
            prop_assert_eq!(shared, c, "shares of rows");
        }
    }
}

#[test]
fn a_product_in_bfloat16_is_that_of_the_rounded_numbers() {
    // Odd and even depths, one block and several, a rest of rows and of columns.
    for [rows, depth, columns] in [[1, 1, 1], [7, 33, 70], [13, 128, 64], [6, 4500, 65]] {
        let rounded = |values: Vec<f32>| -> Vec<f32> {
            values.iter().map(|value| half::bf16::from_f32(*value).to_f32()).collect()
        };
        let (a, b) = (noise(rows * depth, 1), noise(depth * columns, 2));
        let expected = product(&rounded(a.clone()), &rounded(b.clone()), [rows, depth, columns]);
        for set in available() {
            let packed = packing(set, Precision::Bfloat16).rows(&b, columns, depth, columns);
            assert_eq!(packed.depth(), depth);
            let mut c = vec![f32::NAN; rows * columns];
            // Memory that an earlier product left must not matter.
            let mut memory = ProductScratch::default();
            let target = Rows { values: c.as_mut_slice(), stride: columns };
            let left = Rows { values: a.as_slice(), stride: depth };
            Product::new(rows, left, &packed, target).run(&mut memory, 1);
            close(&c, &expected, 1e-5);
            let mut shared = vec![f32::NAN; rows * columns];
            let target = Rows { values: shared.as_mut_slice(), stride: columns };
            Product::new(rows, left, &packed, target).run(&mut memory, 2);
            assert_eq!(shared, c, "shares of rows");
            assert!(packed.to_rows().is_none(), "rounded numbers are not the matrix");
        }
    }
}

#[test]
fn a_deep_product_adds_its_blocks_and_activates_the_sum_once() {
    let [rows, depth, columns] = [7, 2500, 70];
    let (a, b, bias) = (noise(rows * depth, 1), noise(depth * columns, 2), noise(columns, 3));
    let mut expected = product(&a, &b, [rows, depth, columns]);
    for (index, x) in expected.iter_mut().enumerate() {
        let sum = *x + f64::from(bias[index % columns]);
        *x = sum / (1.0 + (-1.702 * sum).exp());
    }
    // What stood there must not matter, a NaN neither.
    let mut c = vec![f32::NAN; rows * columns];
    let packed = packing(InstructionSet::Best, Precision::Float32).rows(&b, columns, depth, columns);
    let target = Rows { values: c.as_mut_slice(), stride: columns };
    let product = Product::new(rows, Rows { values: a.as_slice(), stride: depth }, &packed, target);
    product.bias(&bias).activation(Activation::QuickGelu).run(&mut ProductScratch::default(), 1);
    close(&c, &expected, 1e-5);
}

struct Demo {
    config: ClipConfig,
    model: Clip,
}

impl Demo {
    fn load() -> Result<Self, Box<dyn Error>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4");
        let config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
        let weights = Checkpoint::open(&folder.join("open_clip_model.safetensors"))?;
        Ok(Self { model: weights.load(&config, &Device::flex())?, config })
    }

    fn images(&self, count: usize) -> Vec<f32> {
        noise(count * 3 * self.config.vision.image_size.pow(2), 4)
    }

    fn everything(&self) -> TraceRequest {
        let layers: Vec<usize> = (0..self.config.vision.layers).collect();
        TraceRequest { token_layers: layers.clone(), layers, residual_components: true, mean_attention: true }
    }

    fn burn(&self, pixels: Vec<f32>) -> Result<HostTrace, Box<dyn Error>> {
        let side = self.config.vision.image_size;
        let shape = [pixels.len() / (3 * side * side), 3, side, side];
        let pixels: Tensor<4> = Tensor::from_data(TensorData::new(pixels, shape), &Device::flex());
        Ok(self.model.visual.trace(pixels, &self.everything())?.into_host()?)
    }
}

#[test]
fn the_demo_model_gives_what_burn_gives() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    // One image is shared among the threads by its rows, eleven by images.
    for images in [1, 11] {
        gives_what_burn_gives(&demo, demo.images(images))?;
    }
    Ok(())
}

fn gives_what_burn_gives(demo: &Demo, pixels: Vec<f32>) -> Result<(), Box<dyn Error>> {
    let found = CpuVision::new(&demo.model.visual, Precision::Float32)?.trace(&pixels, &demo.everything())?;
    let expected = demo.burn(pixels)?;
    let doubles = |values: &[f32]| -> Vec<f64> { values.iter().map(|x| f64::from(*x)).collect() };
    close(&found.representation, &doubles(&expected.representation), 1e-5);
    close(&found.residual, &doubles(&expected.residual), 1e-5);
    assert_eq!(found.heads.len(), expected.heads.len());
    assert_eq!(found.residual_components.len(), expected.residual_components.len());
    assert_eq!(found.mean_attention.len(), expected.mean_attention.len());
    let columns = |trace: &HostTrace| -> Vec<Vec<f32>> {
        [&trace.heads, &trace.residual_components, &trace.mean_attention].into_iter().flatten().cloned().collect()
    };
    for (found, expected) in columns(&found).iter().zip(columns(&expected)) {
        assert_eq!(found.len(), expected.len());
        close(found, &doubles(&expected), 1e-5);
    }
    assert_eq!(found.tokens.len(), expected.tokens.len());
    for (found, expected) in found.tokens.iter().zip(&expected.tokens) {
        let shape =
            |layer: &HostTokens| [layer.layer, layer.tokens, layer.head_dim, layer.attention.len(), layer.values.len()];
        assert_eq!(shape(found), shape(expected));
        close(&found.attention, &doubles(&expected.attention), 1e-5);
        close(&found.values, &doubles(&expected.values), 1e-5);
    }
    let scalars =
        |trace: &HostTrace| -> Vec<f32> { trace.scalars.iter().flat_map(|scalars| scalars.to_array()).collect() };
    close(&scalars(&found), &doubles(&scalars(&expected)), 1e-5);
    Ok(())
}

#[test]
fn bfloat16_stays_near_single_precision() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    let pixels = demo.images(11);
    let exact = CpuVision::new(&demo.model.visual, Precision::Float32)?.trace(&pixels, &demo.everything())?;
    let found = CpuVision::new(&demo.model.visual, Precision::Bfloat16)?.trace(&pixels, &demo.everything())?;
    let doubles = |values: &[f32]| -> Vec<f64> { values.iter().map(|x| f64::from(*x)).collect() };
    // A factor keeps 8 bits, 2⁻⁹ of its size on average over a sum; four blocks add up to some of these.
    close(&found.representation, &doubles(&exact.representation), 3e-2);
    assert_ne!(found.representation, exact.representation, "nothing was rounded");
    for (found, exact) in found.heads.iter().zip(&exact.heads) {
        close(found, &doubles(exact), 5e-2);
    }
    Ok(())
}

#[test]
fn an_image_has_the_same_bits_in_every_batch_and_on_any_number_of_threads() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    for precision in [Precision::Float32, Precision::Bfloat16] {
        let vision = CpuVision::new(&demo.model.visual, precision)?;
        let (count, request) = (13, demo.everything());
        let pixels = demo.images(count);
        let whole = vision.trace(&pixels, &request)?;
        let on = |threads: usize| -> Result<HostTrace, Box<dyn Error>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            Ok(pool.install(|| vision.trace(&pixels, &request))?)
        };
        assert_eq!(on(1)?, whole);
        assert_eq!(on(5)?, whole);
        assert_eq!(on(26)?, whole, "twice as many threads as images: they share the rows");
        for (image, pixels) in pixels.chunks_exact(pixels.len() / count).enumerate() {
            let one = vision.trace(pixels, &request)?;
            let [d, head_dim] = [one.representation.len(), one.heads[0].len()];
            assert_eq!(one.representation, whole.representation[image * d..][..d]);
            for (one, whole) in one.heads.iter().zip(&whole.heads) {
                assert_eq!(*one, whole[image * head_dim..][..head_dim]);
            }
            for (one, whole) in one.tokens.iter().zip(&whole.tokens) {
                assert_eq!(one.attention, whole.attention[image * one.attention.len()..][..one.attention.len()]);
                assert_eq!(one.values, whole.values[image * one.values.len()..][..one.values.len()]);
            }
        }
    }
    Ok(())
}

#[test]
fn instruction_sets_differ_by_rounding_alone() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    let (pixels, request) = (demo.images(5), demo.everything());
    // In single precision a rounding is 6e-8 of a number and four blocks add up some hundreds of them at random. In bfloat16 such a
    // difference now and then takes a number to the other neighbour, 2⁻⁸ of it; the products average over a hundred and more.
    for (precision, allowed) in [(Precision::Float32, 1e-5), (Precision::Bfloat16, 1e-2)] {
        let trace = |set| CpuVision::with_instructions(&demo.model.visual, precision, set)?.trace(&pixels, &request);
        let best = trace(InstructionSet::Best)?;
        for set in available().filter(|set| *set != InstructionSet::Best) {
            let found = trace(set)?;
            let columns = |trace: &HostTrace| -> Vec<Vec<f32>> {
                let whole = [&trace.representation, &trace.residual].into_iter();
                whole.chain(&trace.heads).chain(&trace.residual_components).cloned().collect()
            };
            for (found, best) in columns(&found).iter().zip(columns(&best)) {
                let best: Vec<f64> = best.iter().map(|x| f64::from(*x)).collect();
                close(found, &best, allowed);
            }
        }
    }
    Ok(())
}

#[test]
fn a_bad_image_spoils_no_other_and_is_seen() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    for precision in [Precision::Float32, Precision::Bfloat16] {
        let vision = CpuVision::new(&demo.model.visual, precision)?;
        let request = demo.everything();
        let good = demo.images(3);
        let expected = vision.trace(&good, &request)?;
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut pixels = good.clone();
            pixels[good.len() / 2] = bad;
            let found = vision.trace(&pixels, &request)?;
            let finite: [bool; 3] = array::from_fn(|image| found.scalars[image].inv_scale.is_finite());
            assert_eq!(finite, [true, false, true], "{bad}");
            assert_eq!((found.scalars[0], found.scalars[2]), (expected.scalars[0], expected.scalars[2]));
        }
    }
    Ok(())
}

#[test]
fn what_it_cannot_do_is_an_error() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    let vision = CpuVision::new(&demo.model.visual, Precision::Float32)?;
    let pixels = demo.images(1);
    let refused = [
        (&pixels[1..], TraceRequest::default()),
        (&pixels[..], TraceRequest { layers: vec![4], ..TraceRequest::default() }),
        (&pixels[..], TraceRequest { token_layers: vec![4], ..TraceRequest::default() }),
    ];
    assert!(refused.iter().all(|(pixels, request)| vision.trace(pixels, request).is_err()));
    assert!(vision.trace(&[], &demo.everything())?.scalars.is_empty());
    Ok(())
}

/// Texts of 2 to 16 tokens, whatever they may mean.
fn texts(demo: &Demo, count: usize) -> Vec<Vec<u32>> {
    let end = demo.config.text.vocab_size as u32 - 1;
    let token = |text: usize, place: usize| (text * 31 + place * 17) as u32 % end;
    (0..count).map(|text| (0..=text % 15).map(|place| token(text, place)).chain([end]).collect()).collect()
}

#[test]
fn a_texts_features_are_those_of_burn() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    let own = CpuText::new(demo.model.text.clone(), None)?;
    for count in [1, 200] {
        let tokens = TokenBatch::new(&texts(&demo, count));
        let expected = demo.model.text.encode(&tokens, &Device::flex()).into_data().try_into_vec::<f32>();
        let expected: Vec<f64> = expected.map_err(|e| format!("{e:?}"))?.into_iter().map(f64::from).collect();
        let found = own.encode(&tokens)?;
        assert_eq!(found.len(), expected.len());
        // Four blocks add up some hundreds of roundings of 6e-8.
        close(&found, &expected, 1e-5);
    }
    Ok(())
}

#[test]
fn a_text_has_the_same_bits_in_every_batch_and_on_any_number_of_threads() -> Result<(), Box<dyn Error>> {
    let demo = Demo::load()?;
    let own = CpuText::new(demo.model.text.clone(), None)?;
    let texts = texts(&demo, 150);
    let whole = own.encode(&TokenBatch::new(&texts))?;
    let d = whole.len() / texts.len();
    for threads in [1, 3, 16] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        assert_eq!(pool.install(|| own.encode(&TokenBatch::new(&texts)))?, whole, "{threads} threads");
        for number in [0, 14, 149] {
            let one = pool.install(|| own.encode(&TokenBatch::new(&texts[number..=number])))?;
            assert_eq!(one, whole[number * d..][..d], "text {number} on {threads} threads");
        }
    }
    Ok(())
}
