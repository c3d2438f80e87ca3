//! Ridge regression from moments: with `A` the mean of `x xᵀ` and `C` that of `x yᵀ`, the map that minimises the mean of `|y − Wᵀx|²` plus
//! `λ |W|²` is `W = (A + λI)⁻¹ C` (Hoerl and Kennard 1970). With `A = V diag(a) Vᵀ` it is `V diag(1/(a + λ)) Vᵀ C`, so that one
//! decomposition serves every penalty.

use faer::{Mat, MatRef};
use headspan_headspace::{eigen, product};

use super::pairs::PairMoments;
use crate::error::{ExtractError, Result};

/// Penalties that are tried, as powers of ten over the mean eigenvalue of `A`: from the rounding of single precision to where the map is
/// hardly more than a multiple of `C`.
const POWERS: std::ops::RangeInclusive<i32> = -14..=2;

/// How much more than the least error a larger penalty may have. Directions in which the representation hardly varies, such as the one that
/// a last LayerNorm takes out, change the error of a map by next to nothing, but heads write there and cancel each other: a map that
/// stretches such a direction makes all heads look alike.
const MARGIN: f64 = 0.01;

/// The decomposition of a regression.
pub(super) struct Ridge {
    /// `V`, largest eigenvalue first.
    directions: Mat<f64>,
    /// `a`; rounding below zero is zero.
    sizes: Vec<f64>,
    /// `Vᵀ C`.
    responses: Mat<f64>,
}

/// Moments in the directions of a regression.
pub(super) struct Turned {
    xx: Mat<f64>,
    xy: Mat<f64>,
    yy: f64,
}

impl Ridge {
    /// Decomposes. An error if the moments are not finite.
    pub(super) fn of(moments: &PairMoments) -> Result<Self> {
        let (directions, sizes) = eigen(moments.xx()).ok_or(ExtractError::NoMap)?;
        if sizes.iter().any(|size| !size.is_finite()) {
            return Err(ExtractError::NoMap);
        }
        let responses = product(directions.transpose(), moments.xy());
        Ok(Self { directions, sizes: sizes.into_iter().map(|size| size.max(0.0)).collect(), responses })
    }

    /// The map for a penalty over the mean eigenvalue, `[length of x, length of y]`.
    pub(super) fn map(&self, penalty: f64) -> Mat<f64> {
        product(self.directions.as_ref(), self.turned_map(penalty).as_ref())
    }

    /// `Vᵀ W`.
    fn turned_map(&self, penalty: f64) -> Mat<f64> {
        let mean = self.sizes.iter().sum::<f64>() / self.sizes.len() as f64;
        let factors: Vec<f64> = self.sizes.iter().map(|size| 1.0 / (size + penalty * mean)).collect();
        Mat::from_fn(factors.len(), self.responses.ncols(), |row, column| factors[row] * self.responses[(row, column)])
    }

    /// Moments in the directions of this regression.
    pub(super) fn turned(&self, moments: &PairMoments) -> Turned {
        let v = self.directions.as_ref();
        Turned {
            xx: product(v.transpose(), product(moments.xx(), v).as_ref()),
            xy: product(v.transpose(), moments.xy()),
            yy: moments.yy(),
        }
    }

    /// Mean of `|y − Wᵀx|²` over the pairs of some moments, for the map of a penalty.
    pub(super) fn error(&self, penalty: f64, on: &Turned) -> f64 {
        let map = self.turned_map(penalty);
        let image = product(on.xx.as_ref(), map.as_ref());
        on.yy - 2.0 * inner(map.as_ref(), on.xy.as_ref()) + inner(map.as_ref(), image.as_ref())
    }
}

/// Sum of the products of two matrices' elements.
fn inner(one: MatRef<'_, f64>, other: MatRef<'_, f64>) -> f64 {
    (0..one.ncols())
        .map(|column| (0..one.nrows()).map(|row| one[(row, column)] * other[(row, column)]).sum::<f64>())
        .sum()
}

/// The largest penalty, over the mean eigenvalue of the fit's second moment, whose map errs on the validation pairs hardly more
/// ([`MARGIN`]) than the one that errs least. Without such pairs the smallest that is tried.
pub(super) fn choose(fit: &PairMoments, validation: &PairMoments) -> Result<f64> {
    let penalties = POWERS.map(|half| 10_f64.powf(f64::from(half) / 2.0));
    if fit.pairs() == 0 || validation.pairs() == 0 {
        return Ok(10_f64.powf(f64::from(*POWERS.start()) / 2.0));
    }
    let ridge = Ridge::of(fit)?;
    let turned = ridge.turned(validation);
    let measured: Vec<(f64, f64)> = penalties.map(|penalty| (ridge.error(penalty, &turned), penalty)).collect();
    let least = measured.iter().map(|(error, _)| *error).fold(f64::INFINITY, f64::min);
    let near = measured.iter().rev().find(|(error, _)| *error <= (1.0 + MARGIN) * least);
    near.map(|(_, penalty)| *penalty).ok_or(ExtractError::NoMap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::align::{figures::explained, pairs::PairSums};

    /// Numbers from −1 to 1 that depend on a seed.
    fn numbers(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed.wrapping_add(1);
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    /// Rows `x` and `y = xW + noise`.
    fn rows(count: usize, [from, to]: [usize; 2], noise: f32, seed: u64) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut weight = numbers(99);
        let map: Vec<f32> = (0..from * to).map(|_| weight()).collect();
        let mut number = numbers(seed);
        let mut row = || {
            let x: Vec<f32> = (0..from).map(|_| number()).collect();
            let y = (0..to).map(|j| (0..from).map(|i| x[i] * map[i * to + j]).sum::<f32>() + noise * number());
            let y: Vec<f32> = y.collect();
            (x, y)
        };
        (0..count).map(|_| row()).collect()
    }

    fn moments(rows: &[(Vec<f32>, Vec<f32>)]) -> PairMoments {
        let mut sums = PairSums::new([rows[0].0.len(), rows[0].1.len()]);
        for (x, y) in rows {
            sums.add(x, y);
        }
        sums.moments()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The closed form is where the gradient of the penalised error is zero: `A W + λ W = C`.
        #[test]
        fn the_map_solves_the_normal_equations(seed in 0_u64..1000, from in 1_usize..9, to in 1_usize..6, power in -8_i32..2) {
            let all = moments(&rows(40, [from, to], 0.3, seed));
            let ridge = Ridge::of(&all).expect("it converges");
            let penalty = 10_f64.powi(power);
            let map = ridge.map(penalty);
            let trace: f64 = (0..from).map(|at| all.xx()[(at, at)]).sum();
            let left = product(all.xx(), map.as_ref());
            for i in 0..from {
                for j in 0..to {
                    let found = left[(i, j)] + penalty * trace / from as f64 * map[(i, j)];
                    // Values are below 10; rounding of double precision times the condition of A, at most 1e4 here.
                    prop_assert!((found - all.xy()[(i, j)]).abs() < 1e-9, "{} {}", found, all.xy()[(i, j)]);
                }
            }
        }

        /// The error from moments is the mean over the images.
        #[test]
        fn the_error_is_the_mean_over_images(seed in 0_u64..1000, count in 2_usize..700) {
            let size = [5, 3];
            let (fit, other) = (rows(60, size, 0.3, seed), rows(count, size, 0.3, seed + 1));
            let ridge = Ridge::of(&moments(&fit)).expect("it converges");
            let found = ridge.error(0.01, &ridge.turned(&moments(&other)));
            let map = ridge.map(0.01);
            let error = |(x, y): &(Vec<f32>, Vec<f32>)| -> f64 {
                let guess = |j: usize| (0..5).map(|i| f64::from(x[i]) * map[(i, j)]).sum::<f64>();
                (0..3).map(|j| (f64::from(y[j]) - guess(j)).powi(2)).sum()
            };
            let mean = other.iter().map(error).sum::<f64>() / count as f64;
            prop_assert!((found - mean).abs() < 1e-10, "{} {}", found, mean);
        }
    }

    /// What `tools/reference/ridge_reference.py` computed, by least squares on extended rows.
    #[derive(serde::Deserialize)]
    struct Golden {
        x: Vec<Vec<f32>>,
        y: Vec<Vec<f32>>,
        other_x: Vec<Vec<f32>>,
        other_y: Vec<Vec<f32>>,
        cases: Vec<GoldenCase>,
    }

    #[derive(serde::Deserialize)]
    struct GoldenCase {
        penalty: f64,
        map: Vec<f64>,
        error: f64,
        r2: f64,
    }

    /// Both sides compute in double precision; A has a condition of some 100, so that 1e-9 is far above rounding and far below any term.
    #[test]
    fn maps_and_errors_are_those_of_least_squares() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/data/ridge.json")).expect("a golden case");
        let pairs = |x: Vec<Vec<f32>>, y: Vec<Vec<f32>>| moments(&x.into_iter().zip(y).collect::<Vec<_>>());
        let (fit, other) = (pairs(golden.x, golden.y), pairs(golden.other_x, golden.other_y));
        let ridge = Ridge::of(&fit).expect("it converges");
        for GoldenCase { penalty, map, error, r2 } in golden.cases {
            let found = ridge.map(penalty);
            for (at, expected) in map.iter().enumerate() {
                let value = found[(at / found.ncols(), at % found.ncols())];
                assert!((value - expected).abs() < 1e-9, "{penalty}: {value} {expected}");
            }
            assert!((ridge.error(penalty, &ridge.turned(&other)) - error).abs() < 1e-9, "{penalty}");
            assert!((explained(&ridge, penalty, &other) - r2).abs() < 1e-9, "{penalty}");
        }
    }

    #[test]
    fn without_noise_the_map_is_found_and_the_penalty_is_small() {
        let size = [6, 4];
        let penalty = choose(&moments(&rows(200, size, 0.0, 1)), &moments(&rows(50, size, 0.0, 2))).expect("a penalty");
        assert!(penalty <= 1e-6, "{penalty}");
        let ridge = Ridge::of(&moments(&rows(200, size, 0.0, 1))).expect("it converges");
        let error = ridge.error(penalty, &ridge.turned(&moments(&rows(50, size, 0.0, 3))));
        assert!(error < 1e-9, "{error}");
    }

    /// A direction that no image varies in, but for rounding, gets no weight: heads may write there and cancel each other.
    #[test]
    fn a_direction_without_variance_is_not_stretched() {
        let flat = |count: usize, seed: u64| -> Vec<(Vec<f32>, Vec<f32>)> {
            let mut tiny = numbers(seed + 7);
            let mut all = rows(count, [6, 4], 0.3, seed);
            for (x, _) in &mut all {
                x.push(1e-4 * tiny());
            }
            all
        };
        let (fit, other) = (moments(&flat(300, 1)), moments(&flat(100, 2)));
        let penalty = choose(&fit, &other).expect("a penalty");
        let map = Ridge::of(&fit).expect("it converges").map(penalty);
        let largest = |row: usize| (0..4).map(|column| map[(row, column)].abs()).fold(0.0, f64::max);
        assert!(largest(6) < 0.1 * largest(0), "{penalty}: {} {}", largest(6), largest(0));
    }

    /// Of pure noise nothing can be learned, and few pairs of many numbers would be learned by heart.
    #[test]
    fn noise_asks_for_a_large_penalty() {
        let noise = |count: usize, seed: u64| {
            let mut number = numbers(seed);
            let mut row = |length: usize| (0..length).map(|_| number()).collect::<Vec<f32>>();
            (0..count).map(|_| (row(20), row(4))).collect::<Vec<_>>()
        };
        let penalty = choose(&moments(&noise(25, 5)), &moments(&noise(200, 6))).expect("a penalty");
        assert!(penalty >= 1.0, "{penalty}");
    }

    #[test]
    fn moments_that_are_not_finite_have_no_map() {
        let mut wrong = rows(10, [3, 2], 0.1, 4);
        wrong[3].0[1] = f32::NAN;
        assert!(Ridge::of(&moments(&wrong)).is_err());
    }
}
