use burn::tensor::{Tensor, module};

/// A linear layer whose input is rounded to the type of its weights, if that is another than its own. The bias is added in the
/// input's.
pub(super) fn linear(input: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let (own, wide) = (weight.dtype(), input.dtype());
    if own == wide {
        return module::linear(input, weight, bias);
    }
    let product = module::linear(input.cast(own), weight, None).cast(wide);
    match bias {
        Some(bias) => product + bias.unsqueeze(),
        None => product,
    }
}
