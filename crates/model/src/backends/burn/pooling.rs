//! From the tokens after the last block to the representation, and what the decomposition needs of it.

use burn::tensor::{Tensor, TensorData};

use crate::{
    backends::burn::{
        BurnVisionTower,
        trace::{HeadTrace, TokenTrace},
    },
    families::Pooling,
};

/// What is kept of the blocks: of the class token alone where it is the representation, else of all tokens (`queries`).
#[derive(Default)]
pub(super) struct BlockOutputs {
    /// Layer and `z`, `[batch, heads, queries, head_dim]`.
    pub(super) z: Vec<(usize, Tensor<4>)>,
    /// The first block's input, then every MLP's output, each `[batch, queries, width]`.
    pub(super) components: Vec<Tensor<3>>,
    /// Layer, attention `[batch, heads, queries, tokens]` and values `[batch, heads, tokens, head_dim]`.
    pub(super) tokens: Vec<(usize, Tensor<4>, Tensor<4>)>,
    /// Attention averaged over the heads, `[batch, queries, tokens]`.
    pub(super) mean_attention: Vec<Tensor<3>>,
}

/// The tokens' shares in what is pooled.
struct Shares {
    /// They sum to one, `[batch, 1, tokens]`.
    shares: Tensor<3>,
    /// `Σ 1/σ` and `Σ m/σ` of the tokens, each divided by the number of pooled ones, `[batch, 2]`, if each is normalised by itself.
    scales: Option<Tensor<2>>,
}

impl BurnVisionTower {
    /// Pools the tokens after the last block, `[batch, queries, width]`, and in the same way everything that their sum is made of.
    pub(super) fn pool(&self, residual: Tensor<3>, kept: BlockOutputs) -> HeadTrace {
        if let Some(pool) = &self.attn_pool {
            return self.pool_by_attention(pool, &residual, kept);
        }
        let Pooling::Mean { norm_first, .. } = self.pooling else {
            return self.of_class_token(residual, kept);
        };
        let Shares { shares, scales } = self.shares(&residual, norm_first);
        let pooled = |values: Tensor<3>| -> Tensor<2> { shares.clone().matmul(values).squeeze_dim(1) };
        let per_head = |values: Tensor<4>| -> Tensor<3> {
            let [batch, heads, tokens, _] = values.dims();
            let shares = shares.clone().unsqueeze_dim::<4>(1).expand([batch, heads, 1, tokens]);
            shares.matmul(values).squeeze_dim(2)
        };
        let normed = if norm_first {
            self.even_shares(&residual).matmul(self.ln_post.forward(residual.clone())).squeeze_dim(1)
        } else {
            self.ln_post.forward(pooled(residual.clone()))
        };
        let mut mean_attention = kept.mean_attention;
        if let Some(last) = mean_attention.pop() {
            mean_attention.push(shares.clone().matmul(last));
        }
        let token_trace = |(layer, attention, values)| TokenTrace { layer, attention: per_head(attention), values };
        HeadTrace {
            z: kept.z.into_iter().map(|(layer, z)| (layer, per_head(z))).collect(),
            residual: pooled(residual),
            representation: self.project(normed),
            residual_components: kept.components.into_iter().map(pooled).collect(),
            tokens: kept.tokens.into_iter().map(token_trace).collect(),
            mean_attention,
            norm_epsilon: self.norm_epsilon,
            scales,
            are_contributions: false,
        }
    }

    fn of_class_token(&self, residual: Tensor<3>, kept: BlockOutputs) -> HeadTrace {
        let only = |values: Tensor<3>| -> Tensor<2> { values.squeeze_dim(1) };
        let token_trace = |(layer, attention, values): (usize, Tensor<4>, Tensor<4>)| TokenTrace {
            layer,
            attention: attention.squeeze_dim(2),
            values,
        };
        let residual = only(residual);
        HeadTrace {
            representation: self.project(self.ln_post.forward(residual.clone())),
            z: kept.z.into_iter().map(|(layer, z)| (layer, z.squeeze_dim(2))).collect(),
            residual,
            residual_components: kept.components.into_iter().map(only).collect(),
            tokens: kept.tokens.into_iter().map(token_trace).collect(),
            mean_attention: kept.mean_attention,
            norm_epsilon: self.norm_epsilon,
            scales: None,
            are_contributions: false,
        }
    }

    /// One over the number of pooled tokens for each of them, zero for the others, `[batch, 1, tokens]`.
    fn even_shares(&self, residual: &Tensor<3>) -> Tensor<3> {
        let [batch, tokens, _] = residual.dims();
        let skipped = self.pooling.skipped(self.prefix);
        let share = 1.0 / (tokens - skipped) as f32;
        let row: Vec<f32> = (0..tokens).map(|token| if token < skipped { 0.0 } else { share }).collect();
        Tensor::<3>::from_data(TensorData::new(row, [1, 1, tokens]), &residual.device()).expand([batch, 1, tokens])
    }

    fn shares(&self, residual: &Tensor<3>, norm_first: bool) -> Shares {
        let even = self.even_shares(residual);
        if !norm_first {
            return Shares { shares: even, scales: None };
        }
        let (means, inverse) = self.moments(residual);
        let weights = even * inverse.swap_dims(1, 2);
        let total = weights.clone().sum_dim(2);
        let mean = weights.clone().matmul(means);
        let scales = Tensor::cat(vec![total.clone(), mean], 2).squeeze_dim(1);
        Shares { shares: weights / total, scales: Some(scales) }
    }

    /// Mean and `1/σ` of each token, each `[batch, tokens, 1]`.
    pub(super) fn moments(&self, residual: &Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let means = residual.clone().mean_dim(2);
        let deviations = residual.clone() - means.clone();
        let variance = (deviations.clone() * deviations).mean_dim(2);
        (means, variance.add_scalar(self.norm_epsilon).sqrt().recip())
    }
}
