use burn::tensor::{Tensor, TensorData, Transaction};
use headspan_headspace::Scalars;

use crate::{
    error::{ClipError, Result},
    trace::{HostTokens, HostTrace, split_heads},
};

/// Result of a traced forward pass, on the device.
#[derive(Debug)]
pub struct HeadTrace {
    /// Layer and `z` of its heads for the class token, or what is pooled, `[batch, heads, head_dim]`, in layer order.
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
    /// What stands for `1/σ` and `m/σ`, `[batch, 2]`, where it is not the residual's own.
    pub(crate) scales: Option<Tensor<2>>,
    /// Whether `z` and the components are contributions, `[batch, heads, d]` and `[batch, d]`, times `|r|`.
    pub(crate) are_contributions: bool,
}

/// Where the heads of one layer looked, and what stood there.
#[derive(Debug)]
pub struct TokenTrace {
    /// The layer.
    pub layer: usize,
    /// As [`HostTokens::attention`], `[batch, heads · looks, tokens]`.
    pub attention: Tensor<3>,
    /// Values, `[batch, heads, tokens, head_dim]`.
    pub values: Tensor<4>,
}

impl HeadTrace {
    /// Reads everything back and scales `z` by `1/(σ|r|)`. What extraction asks for comes in one transfer; attention and values of
    /// tokens, which are many times larger, come before it, one by one.
    pub fn into_host(mut self) -> Result<HostTrace> {
        let tokens = std::mem::take(&mut self.tokens).into_iter().map(TokenTrace::into_host).collect::<Result<_>>()?;
        let mean_attention = std::mem::take(&mut self.mean_attention).into_iter().map(read).collect::<Result<_>>()?;
        let shapes: Vec<[usize; 3]> = self.z.iter().map(|(_, z)| z.dims()).collect();
        let [batch, width] = self.residual.dims();
        let [_, d] = self.representation.dims();
        let norm_epsilon = self.norm_epsilon;
        let mut transaction = Transaction::default().register(self.residual).register(self.representation);
        for (_, z) in self.z {
            transaction = transaction.register(z);
        }
        let are_contributions = self.are_contributions;
        let has_scales = self.scales.is_some();
        if let Some(scales) = self.scales {
            transaction = transaction.register(scales);
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
        let z: Vec<Vec<f32>> = shapes.iter().map(|_shape| next()).collect::<Result<_>>()?;
        let scales = if has_scales { Some(next()?) } else { None };
        let scalars: Vec<Scalars<f64>> = (0..batch)
            .map(|i| {
                let r = &representation[i * d..][..d];
                match &scales {
                    Some(scales) => Scalars::of_scales([scales[2 * i], scales[2 * i + 1]].map(f64::from), r),
                    None => Scalars::of(&residual[i * width..][..width], r, norm_epsilon),
                }
            })
            .collect();
        let heads =
            z.iter().zip(shapes).flat_map(|(z, shape)| split_heads(z, shape, &scalars, are_contributions)).collect();
        let residual_components = (0..components).map(|_component| next()).collect::<Result<_>>()?;
        Ok(HostTrace {
            scalars: scalars.iter().map(|scalars| scalars.stored()).collect(),
            representation,
            heads,
            residual_components,
            residual,
            tokens,
            mean_attention,
        })
    }
}

impl TokenTrace {
    fn into_host(self) -> Result<HostTokens> {
        let [_, _, tokens] = self.attention.dims();
        let [_, _, _, head_dim] = self.values.dims();
        Ok(HostTokens {
            layer: self.layer,
            tokens,
            head_dim,
            attention: read(self.attention)?,
            values: read(self.values)?,
        })
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor
        .try_into_data()
        .map_err(|error| ClipError::Device { doing: "reading the trace back", source: error.into() })?;
    floats(data)
}

fn floats(data: TensorData) -> Result<Vec<f32>> {
    data.try_into_vec::<f32>()
        .map_err(|error| ClipError::Device { doing: "reading the trace back", source: error.into() })
}
