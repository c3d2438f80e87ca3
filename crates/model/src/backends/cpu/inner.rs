//! What some towers do between the layers of a block: rotary positions, gates, and norms. Towers without them have an empty [`Inner`].

use std::sync::Arc;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{functions::silu, rows::mean_and_scale};
use crate::families::RotaryTable;

/// What a tower's blocks have between their layers.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Rotary positions of the tokens of a sequence.
    pub(super) rotary: Option<Arc<RotaryTable>>,
    /// Epsilon of the norm of all heads' outputs together, whose weights are in the output projection.
    pub(super) attention_epsilon: Option<f32>,
    /// Whether the first half of an MLP's hidden rows is a gate, whose SiLU the second is multiplied with.
    pub(super) is_gated: bool,
    /// Epsilon of the norm of an MLP's hidden rows, whose weights are in the layer behind it.
    pub(super) mlp_epsilon: Option<f32>,
}

impl Inner {
    /// Rotates keys, and queries if all tokens ask, of rows `[sequences · tokens, 3·width]` of queries, keys and values.
    pub(super) fn rotate(&self, rows: &mut [f32], width: usize, tokens: usize, with_queries: bool, threads: usize) {
        let Some(table) = &self.rotary else { return };
        let first = if with_queries { 0 } else { width };
        let of_row = |(row, values): (usize, &mut [f32])| table.rotate(row % tokens, &mut values[first..2 * width]);
        if threads == 1 {
            rows.chunks_exact_mut(3 * width).enumerate().for_each(of_row);
        } else {
            rows.par_chunks_exact_mut(3 * width).enumerate().for_each(of_row);
        }
    }

    /// Divides the heads' outputs, `[queries, width]`, by their deviation, if they are normalised. Returns what each row was multiplied with.
    pub(super) fn scale_heads(&self, arch: Arch, z: &mut [f32], width: usize) -> Option<Vec<f32>> {
        let epsilon = self.attention_epsilon?;
        Some(arch.dispatch(Scale { rows: z, width, epsilon }))
    }

    /// Whether something follows the hidden rows' activation.
    pub(super) fn changes_hidden(&self) -> bool {
        self.is_gated || self.mlp_epsilon.is_some()
    }

    /// Gate and norm of hidden rows. What comes out stands at the beginning of each row.
    pub(super) fn finish_hidden(&self, arch: Arch, rows: &mut [f32], stride: usize, threads: usize) {
        if !self.changes_hidden() {
            return;
        }
        let &Self { is_gated, mlp_epsilon: epsilon, .. } = self;
        let share = (rows.len() / stride).div_ceil(threads).max(1) * stride;
        let of_share = |rows: &mut [f32]| arch.dispatch(Hidden { rows, stride, is_gated, epsilon });
        if threads == 1 {
            of_share(rows);
        } else {
            rows.par_chunks_mut(share).for_each(of_share);
        }
    }
}

/// Rows divided by their deviations.
struct Scale<'a> {
    rows: &'a mut [f32],
    width: usize,
    epsilon: f32,
}

impl WithSimd for Scale<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { rows, width, epsilon } = self;
        rows.chunks_exact_mut(width).map(|row| scale(simd, row, epsilon)).collect()
    }
}

struct Hidden<'a> {
    rows: &'a mut [f32],
    stride: usize,
    is_gated: bool,
    epsilon: Option<f32>,
}

impl WithSimd for Hidden<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, stride, is_gated, epsilon } = self;
        let width = if is_gated { stride / 2 } else { stride };
        for row in rows.chunks_exact_mut(stride) {
            let (hidden, other) = row.split_at_mut(width);
            if is_gated {
                gate(simd, hidden, other);
            }
            if let Some(epsilon) = epsilon {
                scale(simd, hidden, epsilon);
            }
        }
    }
}

/// `gate = SiLU(gate) · other`.
#[inline(always)]
fn gate<S: Simd>(simd: S, gate: &mut [f32], other: &[f32]) {
    let (whole, rest) = S::as_mut_simd_f32s(gate);
    let (others, rest_others) = S::as_simd_f32s(other);
    for (gate, other) in whole.iter_mut().zip(others) {
        *gate = simd.mul_f32s(silu(simd, *gate), *other);
    }
    let last = silu(simd, simd.partial_load_f32s(rest));
    simd.partial_store_f32s(rest, simd.mul_f32s(last, simd.partial_load_f32s(rest_others)));
}

/// Divides a row by its deviation; returns the factor.
#[inline(always)]
fn scale<S: Simd>(simd: S, row: &mut [f32], epsilon: f32) -> f32 {
    let (_mean, factor) = mean_and_scale(simd, row, epsilon);
    let factors = simd.splat_f32s(factor);
    let (whole, rest) = S::as_mut_simd_f32s(row);
    for x in whole {
        *x = simd.mul_f32s(*x, factors);
    }
    for x in rest {
        *x *= factor;
    }
    factor
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 37 % 101) as f32 - 40.0) / 17.0).collect()
    }

    fn deviation(row: &[f64], epsilon: f64) -> f64 {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64 + epsilon).sqrt()
    }

    /// Widths that fill no whole vector, whatever its length.
    #[test]
    fn hidden_rows_are_gated_and_scaled() {
        for (width, threads) in [(1, 1), (7, 2), (42, 1), (67, 2)] {
            let mut rows = values(3 * 2 * width);
            let before = rows.clone();
            let inner = Inner { is_gated: true, mlp_epsilon: Some(1e-6), ..Inner::default() };
            inner.finish_hidden(Arch::new(), &mut rows, 2 * width, threads);
            for (row, before) in rows.chunks_exact(2 * width).zip(before.chunks_exact(2 * width)) {
                let value = |at: usize| f64::from(before[at]);
                let gated: Vec<f64> =
                    (0..width).map(|at| value(at) / (1.0 + (-value(at)).exp()) * value(at + width)).collect();
                let deviation = deviation(&gated, 1e-6);
                for (found, gated) in row.iter().zip(gated) {
                    let expected = gated / deviation;
                    assert!((f64::from(*found) - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn heads_are_divided_by_the_deviation_of_all() {
        let mut z = values(2 * 19);
        let before: Vec<f64> = z.iter().map(|x| f64::from(*x)).collect();
        let inner = Inner { attention_epsilon: Some(1e-3), ..Inner::default() };
        let factors = inner.scale_heads(Arch::new(), &mut z, 19).expect("factors");
        for ((row, before), factor) in z.chunks_exact(19).zip(before.chunks_exact(19)).zip(factors) {
            let deviation = deviation(before, 1e-3);
            assert!((f64::from(factor) * deviation - 1.0).abs() < 1e-5);
            assert!(row.iter().zip(before).all(|(x, y)| (f64::from(*x) - y / deviation).abs() < 1e-5));
        }
        assert_eq!(Inner::default().scale_heads(Arch::new(), &mut z, 19), None);
    }
}
