//! Products of bfloat16 numbers, added up in single precision.
//!
//! Two neighbours of the inner dimension stand in the 32 bits of one `f32`, the even one in the lower half, so that packed
//! matrices, tiles and rows are those of single precision with half the depth. Processors with AVX-512 BF16 multiply and add such
//! a pair in one instruction; others widen it, which gives the same within rounding and gains nothing.

use pulp::{Arch, NullaryFnOnce, Simd, WithSimd};
#[cfg(target_arch = "x86_64")]
use pulp::{f32x16, x86::V4};

use super::product::{MultiplyAdd, Product, Rows, with_kernel};

#[cfg(target_arch = "x86_64")]
pulp::simd_type! {
    /// Proof that the processor has what [`V4`] stands for and products of bfloat16.
    pub(super) struct PairInstructions {
        sse: "sse", sse2: "sse2", fxsr: "fxsr", sse3: "sse3", ssse3: "ssse3", sse4_1: "sse4.1", sse4_2: "sse4.2",
        popcnt: "popcnt", avx: "avx", avx2: "avx2", bmi1: "bmi1", bmi2: "bmi2", fma: "fma", lzcnt: "lzcnt",
        avx512f: "avx512f", avx512bw: "avx512bw", avx512cd: "avx512cd", avx512dq: "avx512dq", avx512vl: "avx512vl",
        avx512bf16: "avx512bf16",
    }
}

/// Runs a product whose right side is packed in pairs; `rows` is memory for the left side's pairs. Threads of the current pool share the
/// rows.
pub(super) fn run(product: Product<'_>, rows: &mut Vec<f32>, threads: usize) {
    let (count, arch, depth) = (product.count, product.b.arch(), product.b.depth());
    let stride = depth.div_ceil(2);
    rows.resize(rows.len().max(count * stride), 0.0);
    round(arch, PairRows { from: product.a, depth, to: &mut rows[..count * stride] });
    let product = Product { a: Rows { values: &rows[..count * stride], stride }, ..product };
    #[cfg(target_arch = "x86_64")]
    if let (Some(instructions), Arch::V4(simd)) = (PairInstructions::try_new(), arch) {
        let run = |product: Product<'_>| instructions.vectorize(Native { product, simd, instructions });
        return product.for_each_share(threads, run);
    }
    product.for_each_share(threads, |product| arch.dispatch(Anywhere(product)));
}

/// How numbers are rounded to pairs.
pub(super) trait Round: Copy {
    /// Up to 32 numbers to 16 pairs; those that are missing are zero.
    fn pairs(self, numbers: &[f32], to: &mut [f32]);
}

/// Work that rounds numbers.
pub(super) trait Rounded {
    fn run<S: Simd, R: Round>(self, simd: S, rounding: R);
}

/// Does it with the best way of rounding that there is.
pub(super) fn round(arch: Arch, work: impl Rounded) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(instructions), Arch::V4(simd)) = (PairInstructions::try_new(), arch) {
        return instructions.vectorize(ByInstruction { work, simd, instructions });
    }
    arch.dispatch(ByBits(work));
}

/// By integer arithmetic, which the compiler vectorises.
#[derive(Clone, Copy)]
struct Bits;

impl Round for Bits {
    #[inline(always)]
    fn pairs(self, numbers: &[f32], to: &mut [f32]) {
        let (two, last) = numbers.as_chunks::<2>();
        let (pairs, missing) = to.split_at_mut(two.len());
        pairs.iter_mut().zip(two).for_each(|(to, two)| *to = pair(two[0], two[1]));
        missing.fill(0.0);
        if let ([last], Some(to)) = (last, missing.first_mut()) {
            *to = pair(*last, 0.0);
        }
    }
}

struct ByBits<W>(W);

impl<W: Rounded> WithSimd for ByBits<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(simd, Bits);
    }
}

#[cfg(target_arch = "x86_64")]
struct ByInstruction<W> {
    work: W,
    simd: V4,
    instructions: PairInstructions,
}

#[cfg(target_arch = "x86_64")]
impl<W: Rounded> NullaryFnOnce for ByInstruction<W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.work.run(self.simd, self.instructions);
    }
}

#[cfg(target_arch = "x86_64")]
impl Round for PairInstructions {
    #[expect(unsafe_code, reason = "pulp does not wrap this instruction (decision 0005)")]
    #[inline(always)]
    fn pairs(self, numbers: &[f32], to: &mut [f32]) {
        use std::{
            arch::x86_64::{__m512, __m512bh, _mm512_cvtne2ps_pbh},
            mem::transmute,
        };
        let (Some([low, high]), Some(to)) = (numbers.as_chunks::<16>().0.first_chunk(), to.first_chunk_mut()) else {
            return Bits.pairs(numbers, to);
        };
        // SAFETY: `self` is proof that the processor has the instruction; all types are 64 bytes in which any bits are a value.
        *to = unsafe {
            let [low, high] = [low, high].map(|half| transmute::<[f32; 16], __m512>(*half));
            transmute::<__m512bh, [f32; 16]>(_mm512_cvtne2ps_pbh(high, low))
        };
    }
}

/// Left side's rows in pairs, one after the other.
struct PairRows<'a> {
    from: Rows<&'a [f32]>,
    depth: usize,
    to: &'a mut [f32],
}

impl Rounded for PairRows<'_> {
    #[inline(always)]
    fn run<S: Simd, R: Round>(self, _simd: S, rounding: R) {
        let rows = self.from.values.chunks(self.from.stride).zip(self.to.chunks_exact_mut(self.depth.div_ceil(2)));
        for (row, pairs) in rows {
            for (numbers, pairs) in row[..self.depth].chunks(32).zip(pairs.chunks_mut(16)) {
                rounding.pairs(numbers, pairs);
            }
        }
    }
}

/// `[depth, ≥ columns]` of a matrix as pairs `[⌈depth/2⌉, columns]`.
pub(super) fn pair_columns(values: &[f32], stride: usize, depth: usize, columns: usize) -> Vec<f32> {
    let value = |row: usize, column: usize| if row < depth { values[row * stride + column] } else { 0.0 };
    let rows = (0..depth).step_by(2);
    rows.flat_map(|row| (0..columns).map(move |column| pair(value(row, column), value(row + 1, column)))).collect()
}

#[inline(always)]
pub(super) fn pair(even: f32, odd: f32) -> f32 {
    f32::from_bits(nearest(even) >> 16 | nearest(odd) & 0xffff_0000)
}

/// The numbers of a pair.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn halves(pair: f32) -> [f32; 2] {
    [f32::from_bits(pair.to_bits() << 16), f32::from_bits(pair.to_bits() & 0xffff_0000)]
}

/// The nearest bfloat16, ties to even, in the upper half. A NaN stays one: rounding could carry it into an infinity.
#[inline(always)]
fn nearest(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    if value.is_nan() { 0x7fc0_0000 } else { rounded }
}

#[cfg(target_arch = "x86_64")]
struct Native<'a> {
    product: Product<'a>,
    simd: V4,
    instructions: PairInstructions,
}

#[cfg(target_arch = "x86_64")]
impl NullaryFnOnce for Native<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        with_kernel(self.simd, self.instructions, self.product);
    }
}

#[cfg(target_arch = "x86_64")]
impl MultiplyAdd<V4> for PairInstructions {
    #[expect(
        unsafe_code,
        reason = "pulp does not wrap this instruction, which makes the pass 1.8 times as fast (decision 0005)"
    )]
    #[inline(always)]
    fn multiply_add(self, _simd: V4, a: f32x16, b: f32x16, sum: f32x16) -> f32x16 {
        use std::{
            arch::x86_64::{__m512bh, _mm512_dpbf16_ps},
            mem::transmute,
        };
        // SAFETY: `self` is proof that the processor has the instruction; both types are 64 bytes in which any bits are a value.
        let sum = unsafe {
            let (a, b) = (transmute::<f32x16, __m512bh>(a), transmute::<f32x16, __m512bh>(b));
            _mm512_dpbf16_ps(pulp::cast(sum), a, b)
        };
        pulp::cast(sum)
    }
}

struct Anywhere<'a>(Product<'a>);

impl WithSimd for Anywhere<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_kernel(simd, Widened, self.0);
    }
}

/// Both halves widened to single precision.
#[derive(Clone, Copy)]
pub(super) struct Widened;

impl<S: Simd> MultiplyAdd<S> for Widened {
    #[inline(always)]
    fn multiply_add(self, simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        let odd = |pairs: S::f32s| {
            let bits = simd.and_u32s(simd.transmute_u32s_f32s(pairs), simd.splat_u32s(0xffff_0000));
            simd.transmute_f32s_u32s(bits)
        };
        let even = |pairs: S::f32s| {
            let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(pairs), simd.splat_u32s(16));
            simd.transmute_f32s_u32s(bits)
        };
        simd.mul_add_e_f32s(even(a), even(b), simd.mul_add_e_f32s(odd(a), odd(b), sum))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_keeps_what_is_no_number() {
        // 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷; the even one is 1. A little more goes up.
        let bits = |values: [f32; 2]| values.map(f32::to_bits);
        assert_eq!(bits(halves(pair(1.0 + 1.0 / 256.0, 1.0 + 1.1 / 256.0))), bits([1.0, 1.0 + 1.0 / 128.0]));
        let infinities = [f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(bits(halves(pair(infinities[0], infinities[1]))), bits(infinities));
        assert!(halves(pair(f32::from_bits(0x7fff_ffff), f32::NAN)).iter().all(|half| half.is_nan()));
    }

    proptest! {
        #[test]
        fn a_half_is_within_its_precision(even in -1e30_f32..1e30, odd in -1e-20_f32..1e-20) {
            for (half, value) in halves(pair(even, odd)).into_iter().zip([even, odd]) {
                prop_assert!((half - value).abs() <= value.abs() / 256.0, "{half} {value}");
            }
        }
    }
}
