//! What some towers do between the layers of a block: rotary positions, and norms.

use burn::tensor::{Device, Tensor, TensorData};

use crate::families::RotaryTable;

/// Rotary positions on a device.
pub(crate) struct Rotation {
    /// Cosine of each token and pair, `[1, 1, tokens, head_dim/2]`.
    cos: Tensor<4>,
    /// As `cos`.
    sin: Tensor<4>,
}

impl Rotation {
    pub(super) fn new(table: &RotaryTable, device: &Device) -> Self {
        let tokens = table.cos.len() / table.pairs;
        let tensor =
            |values: &[f32]| Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, tokens, table.pairs]), device);
        Self { cos: tensor(&table.cos), sin: tensor(&table.sin) }
    }

    /// Queries or keys of all tokens, `[batch, heads, tokens, head_dim]`. A pair is a channel of the first half and its match in the second.
    pub(super) fn rotate(&self, rows: Tensor<4>) -> Tensor<4> {
        let [_, _, _, head_dim] = rows.dims();
        let pairs = head_dim / 2;
        let (first, second) = (rows.clone().narrow(3, 0, pairs), rows.narrow(3, pairs, pairs));
        let turned = first.clone() * self.cos.clone() - second.clone() * self.sin.clone();
        Tensor::cat(vec![turned, second * self.cos.clone() + first * self.sin.clone()], 3)
    }
}

/// One over the deviation along some dimensions, which are left with a length of 1.
pub(super) fn inverse_deviation<const D: usize, const N: usize>(
    values: Tensor<D>,
    dimensions: [usize; N],
    epsilon: f64,
) -> Tensor<D> {
    let mean = |of: Tensor<D>| dimensions.iter().fold(of, |of, dimension| of.mean_dim(*dimension));
    let centred = values.clone() - mean(values);
    mean(centred.clone() * centred).add_scalar(epsilon).sqrt().recip()
}
