use headspan_headspace::Scalars;

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

/// A trace in main memory, ready to be stored: `u` of a head is its row of `heads` and the image's scalars.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostTrace {
    /// Scalars of each image, `[batch]`.
    pub scalars: Vec<Scalars>,
    /// Representation `r`, not normalised, `[batch, d]`.
    pub representation: Vec<f32>,
    /// `z/(σ|r|)` of each head, layer by layer and head by head, each `[batch, head_dim]`; of a tower that pools by attention its
    /// contribution, `[batch, d]`.
    pub heads: Vec<Vec<f32>>,
    /// Residual components as asked for, each `[batch, width]`, not scaled; of a tower that pools by attention their contributions,
    /// times `|r|`, and last that of the pooling's MLP, each `[batch, d]`.
    pub residual_components: Vec<Vec<f32>>,
    /// Final class-token residual, or what is pooled, `[batch, width]`.
    pub residual: Vec<f32>,
    /// Attention and values of the token layers asked for, in layer order.
    pub tokens: Vec<HostTokens>,
    /// Attention of every layer averaged over its heads, if it was asked for, each `[batch, tokens, tokens]`; of the last layer
    /// only the class token's, `[batch, tokens]`.
    pub mean_attention: Vec<Vec<f32>>,
}

/// Where the heads of one layer looked, and what stood there. A head's `z` is the sum of its values, each times its attention.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTokens {
    /// The layer.
    pub layer: usize,
    /// Number of tokens.
    pub tokens: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Attention of the class token, or of what is pooled, `[batch, heads, looks, tokens]`, divided by the deviation of a norm inside the
    /// block, if there is one. In a tower that pools by attention a head is looked at by each of the probe's heads, and the attention is
    /// divided by the tokens' deviations; in all others `looks` is one.
    pub attention: Vec<f32>,
    /// Values, `[batch, heads, tokens, head_dim]`.
    pub values: Vec<f32>,
}

impl HostTokens {
    /// How many numbers of attention a head has for a token.
    pub fn looks(&self) -> usize {
        self.attention.len() * self.head_dim / self.values.len().max(1)
    }
}

/// `[batch, heads, head_dim]` to one `[batch, head_dim]` per head, each row scaled by its image's `1/(σ|r|)`, or by `1/|r|`
/// where it is a contribution already.
pub(crate) fn split_heads(
    z: &[f32],
    [batch, heads, head_dim]: [usize; 3],
    scalars: &[Scalars<f64>],
    are_contributions: bool,
) -> Vec<Vec<f32>> {
    (0..heads)
        .map(|head| {
            let mut column = Vec::with_capacity(batch * head_dim);
            for (image, scalar) in scalars.iter().enumerate() {
                let row = &z[(image * heads + head) * head_dim..][..head_dim];
                let scale = if are_contributions { scalar.inv_norm } else { scalar.inv_scale };
                column.extend(row.iter().map(|z| (f64::from(*z) * scale) as f32));
            }
            column
        })
        .collect()
}
