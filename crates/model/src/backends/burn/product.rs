//! Products in single precision on devices whose matrix units round what they multiply.
//!
//! Burn's CUDA kernels multiply float32 in TF32, 11 significant bits of each factor, which the decomposition would show as 1e-3 of
//! the largest value. Of a factor in two halves, the high one fits those bits and the low one, 2⁻¹² of it at most, loses as much of
//! itself, whichever kernel is taken; the product of the two low halves, 2⁻²⁴, is left out. That is float32's own rounding. Three
//! products are still less work on such units than one without them.

use burn::tensor::{DType, Tensor, module};

const FLOAT16_MAX: f32 = 65_504.0;

/// `left · right`; `split` where the device rounds factors.
pub(super) fn product<const D: usize>(left: Tensor<D>, right: Tensor<D>, split: bool) -> Tensor<D> {
    if !split {
        return left.matmul(right);
    }
    let ([left_high, left_low], [right_high, right_low]) = (halves(left), halves(right));
    // The small terms first: each sum is rounded.
    left_high.clone().matmul(right_low) + left_low.matmul(right_high.clone()) + left_high.matmul(right_high)
}

/// A linear layer whose input is rounded to the type of its weights, if that is another than its own. The bias is added in the
/// input's.
pub(super) fn linear(input: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>, split: bool) -> Tensor<3> {
    let (own, wide) = (weight.dtype(), input.dtype());
    let product = match (own == wide, split) {
        (true, false) => return module::linear(input, weight, bias),
        (true, true) => {
            let ([input_high, input_low], [weight_high, weight_low]) = (halves(input), halves(weight));
            module::linear(input_high.clone(), weight_low, None)
                + module::linear(input_low, weight_high.clone(), None)
                + module::linear(input_high, weight_high, None)
        }
        (false, _) => module::linear(input.cast(own), weight, None).cast(wide),
    };
    match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    }
}

/// What float16 holds of each value, and the rest. What is beyond its range is in the rest too, with a larger error.
fn halves<const D: usize>(values: Tensor<D>) -> [Tensor<D>; 2] {
    let high = values.clone().clamp(-FLOAT16_MAX, FLOAT16_MAX).cast(DType::F16).cast(DType::F32);
    let low = values - high.clone();
    [high, low]
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const SIDE: usize = 24;

    fn matrix(seed: f32) -> Tensor<2> {
        let values: Vec<f32> = (0..SIDE * SIDE).map(|at| (at as f32 * seed).sin() * (1.0 + at as f32 * 0.01)).collect();
        Tensor::from_data(TensorData::new(values, [SIDE, SIDE]), &Device::flex())
    }

    fn host(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("float32")
    }

    /// To the nearest of 11 significant bits, as the matrix units do.
    fn tf32(value: f32) -> f32 {
        f32::from_bits((value.to_bits() + 0x0fff + (value.to_bits() >> 13 & 1)) & !0x1fff)
    }

    /// On factors rounded by `round`, summed in double precision.
    fn multiplied(left: &[f32], right: &[f32], round: fn(f32) -> f32) -> Vec<f64> {
        let element = |at: usize| {
            let (row, column) = (at / SIDE, at % SIDE);
            let term = |k| f64::from(round(left[row * SIDE + k])) * f64::from(round(right[k * SIDE + column]));
            (0..SIDE).map(term).sum()
        };
        (0..SIDE * SIDE).map(element).collect()
    }

    fn error(found: &[f64], expected: &[f64]) -> f64 {
        let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        found.iter().zip(expected).map(|(x, y)| (x - y).abs() / largest).fold(0.0, f64::max)
    }

    /// Errors of a product in TF32, whole and in halves, of factors of two scales.
    fn errors(left: f32, right: f32) -> [f64; 2] {
        let (left, right) = (matrix(0.37) * left, matrix(0.73) * right);
        let exact = multiplied(&host(left.clone()), &host(right.clone()), |value| value);
        let whole = multiplied(&host(left.clone()), &host(right.clone()), tf32);
        let ([left_high, left_low], [right_high, right_low]) = (halves(left).map(host), halves(right).map(host));
        let mut sum = multiplied(&left_high, &right_high, tf32);
        for small in [multiplied(&left_high, &right_low, tf32), multiplied(&left_low, &right_high, tf32)] {
            sum.iter_mut().zip(small).for_each(|(sum, small)| *sum += small);
        }
        [error(&whole, &exact), error(&sum, &exact)]
    }

    #[test]
    fn halves_survive_rounding_that_a_whole_does_not() {
        // As activations and weights are; and with small numbers of float16 and its largest.
        for (left, right) in [(1.0, 0.02), (9e3, 1e-4)] {
            let [whole, split] = errors(left, right);
            assert!(whole > 1e-4 && split < 5e-7, "off by {whole:.1e}, in halves by {split:.1e}");
        }
        // Some are beyond it.
        let [_, split] = errors(1e4, 1.0);
        assert!(split < 2e-5, "off by {split:.1e}");
    }

    #[test]
    fn a_split_product_is_the_product() {
        let (left, right) = (matrix(0.37), matrix(0.73));
        let double = |tensor: Tensor<2>| -> Vec<f64> { host(tensor).into_iter().map(f64::from).collect() };
        let expected = double(product(left.clone(), right.clone(), false));
        let found = double(product(left.clone(), right.clone(), true));
        assert!(error(&found, &expected) < 5e-7 && found != expected);
        let bias: Tensor<1> = right.clone().narrow(0, 0, 1).squeeze_dim(0);
        let of =
            |split| double(linear(left.clone().unsqueeze(), right.clone(), Some(bias.clone()), split).squeeze_dim(0));
        assert!(error(&of(true), &of(false)) < 5e-7 && of(true) != of(false));
    }
}
