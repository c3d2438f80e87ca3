//! Sparse sums of texts that name a direction.

use faer::{Mat, MatRef, Side, linalg::solvers::Solve};

/// Inner products and weights below this are rounding.
const STILL: f64 = 1e-12;

/// A direction's texts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Name {
    /// Whether the texts name the opposite direction.
    pub(super) flipped: bool,
    /// Cosine between the direction and the sum.
    pub(super) fidelity: f64,
    /// Rows of the texts with their weights, in the order of picking.
    pub(super) texts: Vec<(usize, f64)>,
}

/// Names an axis by at most `most` texts, given along all axes as `[texts, rank]`. Both signs are tried; the one that texts fit better counts.
pub(super) fn named(texts: MatRef<'_, f64>, axis: usize, most: usize) -> Name {
    let [plain, flipped] = [1.0, -1.0].map(|sign| pursued(texts, axis, sign, most));
    if flipped.fidelity > plain.fidelity { flipped } else { plain }
}

/// Non-negative orthogonal matching pursuit (Bruckstein, Elad and Zibulevsky 2008): the text with the largest inner product with what is left
/// joins, then all weights are fitted anew. A text counts with its length within the head's span, as in TEXTSPAN: one of which the head can
/// write little is not picked for its direction alone.
fn pursued(texts: MatRef<'_, f64>, axis: usize, sign: f64, most: usize) -> Name {
    let rank = texts.ncols();
    let mut rest = vec![0.0; rank];
    rest[axis] = sign;
    let (mut chosen, mut weights): (Vec<usize>, Vec<f64>) = (Vec::new(), Vec::new());
    while chosen.len() < most {
        let along = |row: usize| (0..rank).map(|column| texts[(row, column)] * rest[column]).sum::<f64>();
        let best = (0..texts.nrows())
            .filter(|row| !chosen.contains(row))
            .map(|row| (row, along(row)))
            .max_by(|one, other| one.1.total_cmp(&other.1).then(other.0.cmp(&one.0)));
        let Some((row, _)) = best.filter(|(_, along)| *along > STILL) else { break };
        chosen.push(row);
        weights = fitted(texts, &chosen, axis, sign);
        rest = vec![0.0; rank];
        rest[axis] = sign;
        for (row, weight) in chosen.iter().zip(&weights) {
            (0..rank).for_each(|column| rest[column] -= weight * texts[(*row, column)]);
        }
    }
    // The sum is the foot of the perpendicular on a cone, so that its cosine is its length.
    let length = (1.0 - rest.iter().map(|x| x * x).sum::<f64>()).max(0.0).sqrt();
    let texts = chosen.into_iter().zip(weights).filter(|(_, weight)| *weight > 0.0).collect();
    Name { flipped: sign < 0.0, fidelity: length, texts }
}

/// Weights of least squares that are not negative, by the active-set method of Lawson and Hanson (1974, chapter 23): exact for the handful of texts.
fn fitted(texts: MatRef<'_, f64>, chosen: &[usize], axis: usize, sign: f64) -> Vec<f64> {
    let size = chosen.len();
    let inner = |one: usize, other: usize| {
        (0..texts.ncols()).map(|column| texts[(chosen[one], column)] * texts[(chosen[other], column)]).sum::<f64>()
    };
    let gram = Mat::from_fn(size, size, inner);
    let wanted: Vec<f64> = chosen.iter().map(|row| sign * texts[(*row, axis)]).collect();
    let (mut weights, mut active, mut refused) = (vec![0.0; size], Vec::new(), Vec::new());
    loop {
        let gain = |at: usize| wanted[at] - (0..size).map(|other| gram[(at, other)] * weights[other]).sum::<f64>();
        let free = (0..size).filter(|at| !active.contains(at) && !refused.contains(at));
        let best = free.map(|at| (at, gain(at))).max_by(|one, other| one.1.total_cmp(&other.1));
        let Some((joining, _)) = best.filter(|(_, gain)| *gain > STILL) else { return weights };
        active.push(joining);
        if !settle(&gram, &wanted, &mut active, &mut weights) {
            // A text that the others span already adds nothing.
            active.retain(|at| *at != joining);
            refused.push(joining);
        } else if weights[joining] <= 0.0 {
            refused.push(joining);
        }
    }
}

/// Fits the active weights; those that would be negative leave. False if the active texts are not independent.
fn settle(gram: &Mat<f64>, wanted: &[f64], active: &mut Vec<usize>, weights: &mut [f64]) -> bool {
    while !active.is_empty() {
        let own = Mat::from_fn(active.len(), active.len(), |one, other| gram[(active[one], active[other])]);
        let Ok(factors) = own.llt(Side::Lower) else { return false };
        let fit = factors.solve(Mat::from_fn(active.len(), 1, |row, _| wanted[active[row]]));
        let steps = active.iter().enumerate().filter(|(row, _)| fit[(*row, 0)] <= 0.0);
        let step = steps.map(|(row, at)| weights[*at] / (weights[*at] - fit[(row, 0)])).fold(1.0, f64::min);
        for (row, at) in active.iter().enumerate() {
            weights[*at] += step * (fit[(row, 0)] - weights[*at]);
        }
        if step >= 1.0 {
            return true;
        }
        let leaving: Vec<usize> = active.iter().copied().filter(|at| weights[*at] <= STILL).collect();
        for at in &leaving {
            weights[*at] = 0.0;
        }
        active.retain(|at| !leaving.contains(at));
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_direction_that_is_a_sum_of_texts_is_named_by_them() {
        // The axis 0 is the even sum of the first two texts.
        let texts = [[0.6, 0.8, 0.0], [0.6, -0.8, 0.0], [0.5, 0.0, 0.1], [-1.0, 0.0, 0.0]];
        let texts = Mat::from_fn(4, 3, |row, column| texts[row][column]);
        let name = named(texts.as_ref().subrows(0, 2), 0, 2);
        assert!(!name.flipped && (name.fidelity - 1.0).abs() < 1e-9, "{name:?}");
        let weights: Vec<f64> = name.texts.iter().map(|(_, weight)| *weight).collect();
        assert!(weights.iter().all(|weight| (weight - 1.0 / 1.2).abs() < 1e-9), "{weights:?}");
        // The last is the opposite of the axis itself.
        let name = named(texts.as_ref(), 0, 1);
        assert!(name.flipped && (name.fidelity - 1.0).abs() < 1e-9 && name.texts == [(3, 1.0)], "{name:?}");
    }

    #[test]
    fn no_text_names_what_none_reaches() {
        let texts = Mat::from_fn(2, 2, |row, column| if column == 1 { 1.0 + row as f64 } else { 0.0 });
        let name = named(texts.as_ref(), 0, 3);
        assert_eq!((name.fidelity, name.texts.len()), (0.0, 0));
    }

    proptest! {
        #[test]
        fn more_texts_never_fit_worse_and_no_weight_is_negative(values in prop::collection::vec(-1.0_f64..1.0, 60)) {
            let texts = Mat::from_fn(12, 5, |row, column| values[row * 5 + column]);
            let mut last = 0.0;
            for most in 1..5 {
                let name = pursued(texts.as_ref(), 1, 1.0, most);
                prop_assert!(name.fidelity >= last - 1e-7 && name.fidelity <= 1.0 + 1e-9, "{:?} {}", name, last);
                prop_assert!(name.texts.len() <= most && name.texts.iter().all(|(_, weight)| *weight > 0.0));
                // Within the fidelity that is told, the sum is where it says.
                let sum: Vec<f64> = (0..5).map(|column| name.texts.iter().map(|(row, weight)| weight * texts[(*row, column)]).sum()).collect();
                let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
                prop_assert!(length < 1e-9 || (sum[1] / length - name.fidelity).abs() < 1e-5, "{:?}", name);
                last = name.fidelity;
            }
        }
    }
}
