//! What happens to a row at a time: LayerNorm and softmax.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::functions::exp;

/// LayerNorm of some rows, `[rows, width]` to the same shape.
pub(super) struct Normalise<'a> {
    pub(super) input: &'a [f32],
    pub(super) output: &'a mut [f32],
    pub(super) norm: &'a Norm,
}

/// Parameters of a LayerNorm.
#[derive(Debug)]
pub(super) struct Norm {
    /// `[width]`.
    pub(super) weight: Vec<f32>,
    /// `[width]`.
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f32,
}

impl Normalise<'_> {
    /// Threads of the current pool share the rows.
    pub(super) fn run(self, arch: Arch, threads: usize) {
        let Self { input, output, norm } = self;
        let width = norm.weight.len();
        let share = (input.len() / width).div_ceil(threads).max(1) * width;
        if share >= input.len() {
            return arch.dispatch(Normalise { input, output, norm });
        }
        let shares = input.par_chunks(share).zip(output.par_chunks_mut(share));
        shares.for_each(|(input, output)| arch.dispatch(Normalise { input, output, norm }));
    }
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.norm.weight.len();
        for (input, output) in self.input.chunks_exact(width).zip(self.output.chunks_exact_mut(width)) {
            normalise(simd, input, output, self.norm);
        }
    }
}

/// Mean of a row, and one over its deviation.
#[inline(always)]
pub(super) fn mean_and_scale<S: Simd>(simd: S, row: &[f32], epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let (whole, rest) = S::as_simd_f32s(row);
    let sum = whole.iter().fold(simd.splat_f32s(0.0), |sum, x| simd.add_f32s(sum, *x));
    let mean = (simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()) / count;
    let means = simd.splat_f32s(mean);
    let squares = whole.iter().fold(simd.splat_f32s(0.0), |sum, x| {
        let deviation = simd.sub_f32s(*x, means);
        simd.mul_add_e_f32s(deviation, deviation, sum)
    });
    let rest_squares: f32 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
    let variance = (simd.reduce_sum_f32s(squares) + rest_squares) / count;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[inline(always)]
fn normalise<S: Simd>(simd: S, input: &[f32], output: &mut [f32], norm: &Norm) {
    let (mean, scale) = mean_and_scale(simd, input, norm.epsilon);
    let (means, scales) = (simd.splat_f32s(mean), simd.splat_f32s(scale));
    let (whole, rest) = S::as_simd_f32s(input);
    let (weights, rest_weights) = S::as_simd_f32s(&norm.weight);
    let (biases, rest_biases) = S::as_simd_f32s(&norm.bias);
    let (normed, rest_normed) = S::as_mut_simd_f32s(output);
    for (((normed, x), weight), bias) in normed.iter_mut().zip(whole).zip(weights).zip(biases) {
        let centred = simd.sub_f32s(*x, means);
        *normed = simd.mul_add_e_f32s(centred, simd.mul_f32s(scales, *weight), *bias);
    }
    for (((normed, x), weight), bias) in rest_normed.iter_mut().zip(rest).zip(rest_weights).zip(rest_biases) {
        *normed = (x - mean) * (scale * weight) + bias;
    }
}

/// Softmax of one row in place.
#[inline(always)]
pub(super) fn softmax<S: Simd>(simd: S, row: &mut [f32]) {
    let (whole, rest) = S::as_mut_simd_f32s(row);
    // A NaN may get lost among the maxima; the exponentials carry it into the sum, and the sum into the whole row.
    let largest = whole.iter().fold(simd.splat_f32s(f32::NEG_INFINITY), |most, x| simd.max_f32s(most, *x));
    let largest = rest.iter().fold(simd.reduce_max_f32s(largest), |most, x| most.max(*x));
    let most = simd.splat_f32s(largest);
    let mut sum = simd.splat_f32s(0.0);
    for x in whole.iter_mut() {
        *x = exp(simd, simd.sub_f32s(*x, most));
        sum = simd.add_f32s(sum, *x);
    }
    let last = exp(simd, simd.sub_f32s(simd.partial_load_f32s(rest), most));
    simd.partial_store_f32s(rest, last);
    let total = simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>();
    let factor = 1.0 / total;
    let factors = simd.splat_f32s(factor);
    for x in whole {
        *x = simd.mul_f32s(*x, factors);
    }
    for x in rest {
        *x *= factor;
    }
}
