//! `exp`, `erf` and the two GELUs on one SIMD vector.
//!
//! Comparisons are written so that a NaN passes through: a clamp by `min` and `max` would turn it into a bound.

use std::marker::PhantomData;

use pulp::Simd;

/// Below it `exp` is taken as if it stood there, 1.6e-38: the result stays a normal number.
const EXP_LOWEST: f32 = -87.0;
/// Above it `exp` is taken as if it stood there, 1.7e38.
const EXP_HIGHEST: f32 = 88.0;
/// `1.5·2²³`: adding it rounds to an integer, which then stands in the lowest bits of the mantissa.
const ROUNDER: f32 = 12_582_912.0;
/// `ln 2` in two parts; the first has so few digits that its product with an exponent is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// `(eˣ − 1 − x)/x²` for `|x| <= ln 2 / 2`, the highest power first (Cephes, `expf`).
const EXP: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];

/// `erf(x) = x·N(x²)/D(x²)` for `|x| <= 4`, the highest power first; the coefficients are those of Eigen's `erf`.
const ERF_NUMERATOR: [f32; 7] =
    [-2.726_142_3e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];
const ERF_DENOMINATOR: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
/// From here on `erf` is 1 in single precision.
const ERF_BOUND: f32 = 4.0;

#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, [low, high]: [f32; 2]) -> S::f32s {
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    simd.select_f32s(simd.greater_than_f32s(x, high), high, x)
}

/// `eˣ`, within 2 units in the last place between -87 and 88, and constant outside.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = clamp(simd, x, [EXP_LOWEST, EXP_HIGHEST]);
    let rounder = simd.splat_f32s(ROUNDER);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), rounder);
    let power = simd.sub_f32s(shifted, rounder);
    let rest = simd.mul_add_e_f32s(power, simd.splat_f32s(-LN_2[0]), x);
    let rest = simd.mul_add_e_f32s(power, simd.splat_f32s(-LN_2[1]), rest);
    let sum = polynomial(simd, rest, EXP);
    let one_and_rest = simd.add_f32s(rest, simd.splat_f32s(1.0));
    let mantissa = simd.mul_add_e_f32s(sum, simd.mul_f32s(rest, rest), one_and_rest);
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let scale = simd.add_u32s(exponent, simd.splat_u32s(1.0_f32.to_bits()));
    simd.mul_f32s(mantissa, simd.transmute_f32s_u32s(scale))
}

#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let [numerator, denominator] = erf_terms(simd, x);
    simd.div_f32s(numerator, denominator)
}

/// Numerator and denominator of `erf`.
#[inline(always)]
fn erf_terms<S: Simd>(simd: S, x: S::f32s) -> [S::f32s; 2] {
    let x = clamp(simd, x, [-ERF_BOUND, ERF_BOUND]);
    let square = simd.mul_f32s(x, x);
    let numerator = simd.mul_f32s(x, polynomial(simd, square, ERF_NUMERATOR));
    [numerator, polynomial(simd, square, ERF_DENOMINATOR)]
}

/// `x·Φ(x)` with the exact error function, within `3e-7·max(1, |x|)`.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    let error_function = erf(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)));
    simd.mul_add_e_f32s(half, error_function, half)
}

/// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`, GELU's approximation, within `3e-7·max(1, |x|)`.
#[inline(always)]
pub(super) fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let square = simd.mul_f32s(x, x);
    // (1 + tanh y)/2 is 1/(1 + exp(-2y)); the factors are those of -2y.
    let factor = simd.mul_add_e_f32s(square, simd.splat_f32s(-0.071_354_814), simd.splat_f32s(-1.595_769));
    let power = exp(simd, simd.mul_f32s(x, factor));
    simd.div_f32s(x, simd.add_f32s(power, simd.splat_f32s(1.0)))
}

/// `x/(1 + exp(-x))`, within `3e-7·max(1, |x|)`.
#[inline(always)]
pub(super) fn silu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let power = exp(simd, simd.neg_f32s(x));
    simd.div_f32s(x, simd.add_f32s(power, simd.splat_f32s(1.0)))
}

/// `x/(1 + exp(-1.702·x))`, within `3e-7·max(1, |x|)`.
#[inline(always)]
pub(super) fn quick_gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let power = exp(simd, simd.mul_f32s(x, simd.splat_f32s(-1.702)));
    simd.div_f32s(x, simd.add_f32s(power, simd.splat_f32s(1.0)))
}

/// An activation that is known when the code is compiled.
pub(super) trait Function {
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s;
}

/// What is given.
pub(super) struct Exactly;
/// As [`gelu`].
pub(super) struct Gelu;
/// As [`gelu_tanh`].
pub(super) struct GeluTanh;
/// As [`quick_gelu`].
pub(super) struct QuickGelu;
/// An activation for results that are rounded to bfloat16: within 3e-4 of it, with no division.
pub(super) struct Nearly<F>(PhantomData<F>);

impl Function for Exactly {
    #[inline(always)]
    fn of<S: Simd>(_simd: S, x: S::f32s) -> S::f32s {
        x
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        gelu(simd, x)
    }
}

impl Function for GeluTanh {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        gelu_tanh(simd, x)
    }
}

impl Function for QuickGelu {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        quick_gelu(simd, x)
    }
}

impl Function for Nearly<Gelu> {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
        let x = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
        let [numerator, denominator] = erf_terms(simd, x);
        // The denominator is negative.
        let reciprocal = nearly_reciprocal(simd, simd.neg_f32s(denominator));
        simd.mul_add_e_f32s(simd.neg_f32s(half), simd.mul_f32s(numerator, reciprocal), half)
    }
}

impl Function for Nearly<GeluTanh> {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let square = simd.mul_f32s(x, x);
        let factor = simd.mul_add_e_f32s(square, simd.splat_f32s(-0.071_354_814), simd.splat_f32s(-1.595_769));
        logistic_share(simd, x, simd.mul_f32s(x, factor))
    }
}

impl Function for Nearly<QuickGelu> {
    #[inline(always)]
    fn of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        logistic_share(simd, x, simd.mul_f32s(x, simd.splat_f32s(-1.702)))
    }
}

/// `x/(1 + exp(y))`.
#[inline(always)]
fn logistic_share<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    // Above it the result is nothing beside any number of bfloat16, and below it the reciprocal a normal number.
    let highest = simd.splat_f32s(80.0);
    let y = simd.select_f32s(simd.greater_than_f32s(y, highest), highest, y);
    simd.mul_f32s(x, nearly_reciprocal(simd, simd.add_f32s(exp(simd, y), simd.splat_f32s(1.0))))
}

/// `1/x` of a normal positive number below 1e38, within 3e-4 of it, a tenth of what bfloat16 rounds: a guess by the exponent and two steps of
/// Newton's. A division takes longer than all of it.
#[inline(always)]
fn nearly_reciprocal<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let guess = simd.sub_u32s(simd.splat_u32s(0x7ef3_11c3), simd.transmute_u32s_f32s(x));
    let (mut y, two) = (simd.transmute_f32s_u32s(guess), simd.splat_f32s(2.0));
    for _ in 0..2 {
        y = simd.mul_f32s(y, simd.mul_add_e_f32s(simd.neg_f32s(x), y, two));
    }
    y
}
