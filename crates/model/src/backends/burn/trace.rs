use burn::tensor::{Tensor, TensorData, Transaction};

use crate::error::{ClipError, Result};

/// What a trace keeps beyond the representation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceRequest {
    /// Layers whose class-token `z` are kept.
    pub layers: Vec<usize>,
    /// Keep the class token of the first block's input and of every MLP's output, for the sum identity.
    pub residual_components: bool,
    /// Layers whose attention row and values are kept, for segmentation.
    pub token_layers: Vec<usize>,
    /// Keep every layer's attention, averaged over its heads, for attention rollout.
    pub mean_attention: bool,
}

/// Result of a traced forward pass, on the device.
#[derive(Debug)]
pub struct HeadTrace {
    /// Layer and `z` of its heads for the class token, `[batch, heads, head_dim]`, in layer order.
    pub z: Vec<(usize, Tensor<3>)>,
    /// Final class-token residual, before `ln_post`, `[batch, width]`.
    pub residual: Tensor<2>,
    /// Representation `r`, not normalised, `[batch, d]`.
    pub representation: Tensor<2>,
    /// Class token of the first block's input, then of every MLP's output, each `[batch, width]`.
    pub residual_components: Vec<Tensor<2>>,
    /// Per-token attention and values of the layers asked for.
    pub tokens: Vec<TokenTrace>,
    /// Attention of every layer averaged over its heads, if it was asked for, `[batch, tokens, tokens]`; of the last layer only
    /// the class token's, `[batch, 1, tokens]`.
    pub mean_attention: Vec<Tensor<3>>,
    pub(crate) norm_epsilon: f64,
}

/// Where the heads of one layer looked, and what stood there.
#[derive(Debug)]
pub struct TokenTrace {
    /// The layer.
    pub layer: usize,
    /// Attention of the class token, `[batch, heads, tokens]`.
    pub attention: Tensor<3>,
    /// Values, `[batch, heads, tokens, head_dim]`.
    pub values: Tensor<4>,
}

/// The three scalars of one image (design section 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadScalars {
    /// `1/(σ|r|)`.
    pub inv_scale: f64,
    /// `m/(σ|r|)`.
    pub mean_scale: f64,
    /// `1/|r|`.
    pub inv_norm: f64,
}

impl HeadScalars {
    /// From the final class-token residual `[width]` and the representation `[d]`, in double precision.
    pub fn new(residual: &[f32], representation: &[f32], norm_epsilon: f64) -> Self {
        let n = residual.len() as f64;
        let mean = residual.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = residual.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        let sigma = (variance + norm_epsilon).sqrt();
        let norm = representation.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        Self { inv_scale: 1.0 / (sigma * norm), mean_scale: mean / (sigma * norm), inv_norm: 1.0 / norm }
    }
}

/// A trace in main memory, ready to be stored: `u = [heads[i], inv_scale, mean_scale, inv_norm]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostTrace {
    /// Scalars of each image, `[batch]`.
    pub scalars: Vec<(f32, f32, f32)>,
    /// Representation `r`, not normalised, `[batch, d]`.
    pub representation: Vec<f32>,
    /// `z/(σ|r|)` of each head, layer by layer and head by head, each `[batch, head_dim]`.
    pub heads: Vec<Vec<f32>>,
    /// Residual components as asked for, each `[batch, width]`, not scaled.
    pub residual_components: Vec<Vec<f32>>,
    /// Final class-token residual, `[batch, width]`.
    pub residual: Vec<f32>,
}

impl HeadTrace {
    /// Reads everything back in one transfer and scales `z` by `1/(σ|r|)`.
    pub fn into_host(self) -> Result<HostTrace> {
        let shapes: Vec<[usize; 3]> = self.z.iter().map(|(_, z)| z.dims()).collect();
        let [batch, width] = self.residual.dims();
        let [_, d] = self.representation.dims();
        let norm_epsilon = self.norm_epsilon;
        let mut transaction = Transaction::default().register(self.residual).register(self.representation);
        for (_, z) in self.z {
            transaction = transaction.register(z);
        }
        let components = self.residual_components.len();
        for component in self.residual_components {
            transaction = transaction.register(component);
        }
        let read = transaction
            .try_execute()
            .map_err(|error| ClipError::Device { doing: "reading the trace back", source: error.into() })?;
        let mut read = read.into_iter().map(floats);
        let mut next = || {
            read.next().unwrap_or(Err(ClipError::Device {
                doing: "reading the trace back",
                source: "it returned fewer tensors than were asked for".into(),
            }))
        };
        let residual = next()?;
        let representation = next()?;
        let scalars: Vec<HeadScalars> = (0..batch)
            .map(|i| HeadScalars::new(&residual[i * width..][..width], &representation[i * d..][..d], norm_epsilon))
            .collect();
        let mut heads = Vec::new();
        for shape in shapes {
            heads.extend(split_heads(&next()?, shape, &scalars));
        }
        let residual_components = (0..components).map(|_component| next()).collect::<Result<_>>()?;
        Ok(HostTrace {
            scalars: scalars.iter().map(|s| (s.inv_scale as f32, s.mean_scale as f32, s.inv_norm as f32)).collect(),
            representation,
            heads,
            residual_components,
            residual,
        })
    }
}

fn floats(data: TensorData) -> Result<Vec<f32>> {
    data.try_into_vec::<f32>()
        .map_err(|error| ClipError::Device { doing: "reading the trace back", source: error.into() })
}

/// `[batch, heads, head_dim]` to one `[batch, head_dim]` per head, each row scaled by its image's `1/(σ|r|)`.
pub(crate) fn split_heads(z: &[f32], [batch, heads, head_dim]: [usize; 3], scalars: &[HeadScalars]) -> Vec<Vec<f32>> {
    (0..heads)
        .map(|head| {
            let mut column = Vec::with_capacity(batch * head_dim);
            for (image, scalar) in scalars.iter().enumerate() {
                let row = &z[(image * heads + head) * head_dim..][..head_dim];
                column.extend(row.iter().map(|z| (f64::from(*z) * scalar.inv_scale) as f32));
            }
            column
        })
        .collect()
}
