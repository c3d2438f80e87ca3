//! Attention pooling by a learned probe (SigLIP), and the contributions to what it gives (`docs/mathematics.md`).

use burn::{
    module::{Initializer, Module, Param},
    nn::{LayerNorm, LayerNormConfig, LinearConfig},
    tensor::{DType, Device, Tensor, activation},
};

use super::{
    Attention, BurnVisionTower, Mlp,
    pooling::BlockOutputs,
    trace::{HeadTrace, TokenTrace},
    transformer::TransformerConfig,
};

/// A probe that attends to all tokens, and an MLP behind it (SigLIP), or a norm whose weights are in the projection (CoCa).
#[derive(Module, Debug)]
pub struct AttentionPool {
    /// The probe's queries, which no image changes, divided by `√head_dim`, `[pooled width]`.
    pub query: Param<Tensor<1>>,
    /// Keys and values in one product, `[width, 2·pooled width]`, and the output projection.
    pub attn: Attention,
    /// Norm before the MLP.
    pub ln_2: Option<LayerNorm>,
    /// The MLP.
    pub mlp: Option<Mlp>,
    /// Whether a norm is behind it: what comes out is centred and divided by its deviation.
    pub is_normed: bool,
}

/// Mean and one over the deviation of what is pooled, each `[batch, 1, 1]`, where a norm is behind the pooling.
type Behind = Option<(Tensor<3>, Tensor<3>)>;

/// The part of each token in the tokens that the probe's heads see.
struct Seen {
    /// Attention over `σ`, `[batch, probe heads, tokens]`.
    tokens: Tensor<3>,
    /// Their sums, `[batch, probe heads, 1]`.
    sums: Tensor<3>,
    /// The same of the tokens' means, `[batch, probe heads, 1]`.
    centres: Tensor<3>,
}

impl AttentionPool {
    /// `mlp_width` is that of the pooling's own MLP; the rest is the blocks'.
    pub(super) fn new(config: &TransformerConfig, mlp_width: usize, device: &Device) -> Self {
        let width = config.width;
        Self {
            query: Initializer::Normal { mean: 0.0, std: (width as f64).powf(-0.5) }.init([width], device),
            attn: Attention {
                in_proj: LinearConfig::new(width, 2 * width).init(device),
                out_proj: LinearConfig::new(width, width).init(device),
                heads: config.heads,
                head_dim: width / config.heads,
                inner_epsilon: None,
            },
            ln_2: Some(LayerNormConfig::new(width).with_epsilon(config.norm_epsilon).init(device)),
            is_normed: false,
            mlp: Some(Mlp {
                c_fc: LinearConfig::new(width, mlp_width).init(device),
                c_proj: LinearConfig::new(mlp_width, width).init(device),
                quick_gelu: config.quick_gelu,
                gelu_tanh: config.gelu_tanh,
                is_gated: false,
                inner_epsilon: None,
            }),
        }
    }

    /// CoCa's, of some heads, over tokens of some width.
    pub(super) fn of_queries(width: usize, [pooled, heads]: [usize; 2], device: &Device) -> Self {
        Self {
            query: Initializer::Normal { mean: 0.0, std: (pooled as f64).powf(-0.5) }.init([pooled], device),
            attn: Attention {
                in_proj: LinearConfig::new(width, 2 * pooled).init(device),
                out_proj: LinearConfig::new(pooled, pooled).init(device),
                heads,
                head_dim: pooled / heads,
                inner_epsilon: None,
            },
            ln_2: None,
            mlp: None,
            is_normed: true,
        }
    }

    /// Width of what comes out.
    fn width(&self) -> usize {
        self.attn.heads * self.attn.head_dim
    }

    /// Attention of the probe `[batch, heads, 1, tokens]` and what it gives `[batch, pooled width]`, of normalised tokens.
    fn attend(&self, normed: Tensor<3>) -> (Tensor<4>, Tensor<2>) {
        let (attn, width) = (&self.attn, self.width());
        let [batch, tokens, _] = normed.dims();
        let per_head =
            |rows: Tensor<3>| -> Tensor<4> { rows.reshape([batch, tokens, attn.heads, attn.head_dim]).swap_dims(1, 2) };
        let key = per_head(attn.project(normed.clone(), 0, width));
        let value = per_head(attn.project(normed, width, width));
        let query: Tensor<4> = self.query.val().reshape([1, attn.heads, 1, attn.head_dim]);
        let query = query.expand([batch, attn.heads, 1, attn.head_dim]);
        let attention = activation::softmax(query.matmul(key.swap_dims(2, 3)), 3);
        let output = attn.output(attention.clone().matmul(value));
        (attention, output.squeeze_dim(1))
    }

    /// What of rows that each of the probe's heads sees, `[rows, heads, width]`, comes out, without biases: `[rows, pooled width]`.
    fn through(&self, rows: Tensor<3>, norm: &LayerNorm) -> Tensor<2> {
        let (attn, pooled) = (&self.attn, self.width());
        let [count, heads, width] = rows.dims();
        let scaled = rows * norm.gamma.val().reshape([1, 1, width]);
        let values: Tensor<3> =
            attn.in_proj.weight.val().narrow(1, pooled, pooled).reshape([width, heads, attn.head_dim]);
        let moved = scaled.swap_dims(0, 1).matmul(values.swap_dims(0, 1));
        moved.swap_dims(0, 1).reshape([count, pooled]).matmul(attn.out_proj.weight.val())
    }

    /// What comes out whatever the image: of the norm's bias and of the biases behind it, `[1, pooled width]`.
    fn constant(&self, norm: &LayerNorm) -> Tensor<2> {
        let (attn, width) = (&self.attn, self.width());
        let bias = norm.beta.as_ref().map_or_else(|| norm.gamma.val().zeros_like(), |beta| beta.val());
        let [from] = bias.dims();
        let value = attn.project(bias.reshape([1, 1, from]), width, width);
        let value: Tensor<4> = value.reshape([1, 1, attn.heads, attn.head_dim]).swap_dims(1, 2);
        attn.output(value).squeeze_dim(1)
    }
}

impl BurnVisionTower {
    /// Pools the tokens after the last block, `[batch, tokens, width]`, by the probe. The trace has the contributions of heads and
    /// components themselves, times `|r|`.
    pub(super) fn pool_by_attention(
        &self,
        pool: &AttentionPool,
        residual: &Tensor<3>,
        kept: BlockOutputs,
    ) -> HeadTrace {
        let (attention, pooled) = pool.attend(self.ln_post.forward(residual.clone()));
        let row: Tensor<3> = pooled.clone().unsqueeze_dim(1);
        let update: Option<Tensor<2>> = pool
            .mlp
            .as_ref()
            .zip(pool.ln_2.as_ref())
            .map(|(mlp, norm)| mlp.forward(norm.forward(row.clone())).squeeze_dim(1));
        let behind: Behind = pool.is_normed.then(|| self.moments(&row));
        let project = |rows: Tensor<2>| rows.matmul(self.proj.val());
        let attention: Tensor<3> = attention.squeeze_dim(2);
        let (means, inverse) = self.moments(residual);
        let weights = attention.clone() * inverse.swap_dims(1, 2);
        let seen = Seen { sums: weights.clone().sum_dim(2), centres: weights.clone().matmul(means), tokens: weights };
        let share = 1.0 / (2 * self.layers() + 1) as f64;
        let constant = pool.constant(&self.ln_post).mul_scalar(share);
        let component = |rows: Tensor<3>| {
            let seen_rows = seen.tokens.clone().matmul(rows) - seen.centres.clone().mul_scalar(share);
            let through = pool.through(seen_rows, &self.ln_post) + constant.clone();
            self.project_share(through.unsqueeze_dim(1), &behind, share).squeeze_dim(1)
        };
        let mut residual_components: Vec<Tensor<2>> = kept.components.into_iter().map(component).collect();
        if let Some(update) = update.as_ref().filter(|_| !residual_components.is_empty()) {
            residual_components.push(project(update.clone()));
        }
        let mut mean_attention = kept.mean_attention;
        if let Some(last) = mean_attention.pop() {
            mean_attention.push(attention.mean_dim(1).matmul(last));
        }
        let head = |(layer, z): (usize, Tensor<4>)| {
            let block = &self.transformer.resblocks[layer].attn;
            let rows = of_heads(block, z, &seen, share);
            let [batch, heads, probes, width] = rows.dims();
            let through = pool.through(rows.reshape([batch * heads, probes, width]), &self.ln_post);
            let through = through + constant.clone().div_scalar(heads as f64);
            let through = through.reshape([batch, heads, pool.width()]);
            (layer, self.project_share(through, &behind, share / heads as f64))
        };
        let token_trace = |(layer, attention, values): (usize, Tensor<4>, Tensor<4>)| {
            let [batch, heads, tokens, _] = attention.dims();
            let [_, probes, _] = seen.tokens.dims();
            let weights = match &behind {
                Some((_, inverse)) => seen.tokens.clone() * inverse.clone(),
                None => seen.tokens.clone(),
            };
            let weights = weights.unsqueeze_dim::<4>(1).expand([batch, heads, probes, tokens]);
            let looks = weights.matmul(attention).reshape([batch, heads * probes, tokens]);
            TokenTrace { layer, attention: looks, values }
        };
        let whole: Tensor<2> = self.project_share(row, &behind, 1.0).squeeze_dim(1);
        let representation = match update {
            Some(update) => whole + project(update),
            None => whole,
        };
        HeadTrace {
            tokens: kept.tokens.into_iter().map(token_trace).collect(),
            z: kept.z.into_iter().map(head).collect(),
            representation,
            residual: pooled,
            residual_components,
            mean_attention,
            norm_epsilon: self.norm_epsilon,
            scales: Some(Tensor::cat(vec![seen.sums, seen.centres], 2).mean_dim(1).squeeze_dim(1)),
            are_contributions: true,
        }
    }

    /// Output projection of rows that are parts of what is pooled, `[batch, rows, pooled width]` to `[batch, rows, d]`, each with so much
    /// of its mean and of the projection's bias.
    fn project_share(&self, rows: Tensor<3>, behind: &Behind, share: f64) -> Tensor<3> {
        let rows = match behind {
            Some((mean, inverse)) => (rows - mean.clone().mul_scalar(share)) * inverse.clone(),
            None => rows,
        };
        let projected = rows.matmul(self.proj.val().unsqueeze());
        match &self.proj_bias {
            Some(bias) => projected + bias.val().mul_scalar(share).unsqueeze(),
            None => projected,
        }
    }
}

/// What each of the probe's heads sees of each head of a block, with its share of bias and mean: `[batch, heads, probe heads, width]`
/// of `z` `[batch, heads, tokens, head_dim]`.
fn of_heads(block: &Attention, z: Tensor<4>, seen: &Seen, share: f64) -> Tensor<4> {
    let [batch, heads, tokens, head_dim] = z.dims();
    let width = heads * head_dim;
    let [_, probes, _] = seen.tokens.dims();
    let weights = seen.tokens.clone().unsqueeze_dim::<4>(1).expand([batch, heads, probes, tokens]);
    // The weights of the blocks may be rounded for passes; what is added up here is not.
    let output: Tensor<4> = block.out_proj.weight.val().cast(DType::F32).reshape([1, heads, head_dim, width]);
    let rows = weights.matmul(z).matmul(output.expand([batch, heads, head_dim, width]));
    let part = |of: &Tensor<3>| of.clone().div_scalar(heads as f64).unsqueeze_dim::<4>(1);
    let rows = rows - part(&seen.centres).mul_scalar(share);
    match &block.out_proj.bias {
        Some(bias) => rows + part(&seen.sums) * bias.val().reshape([1, 1, 1, width]),
        None => rows,
    }
}
