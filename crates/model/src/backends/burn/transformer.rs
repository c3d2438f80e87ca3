use std::f64::consts::PI;

use burn::{
    module::Module,
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Bool, Device, Tensor, activation},
};

use super::{
    inner::{Rotation, inverse_deviation},
    product,
};
use crate::families::BlockShape;

/// Geometry of a stack of pre-norm blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformerConfig {
    /// Width of the residual stream.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Width of the hidden layer of an MLP.
    pub mlp_width: usize,
    /// Epsilon of the LayerNorms.
    pub norm_epsilon: f64,
    /// QuickGELU instead of exact GELU.
    pub quick_gelu: bool,
    /// GELU approximated by `tanh`.
    pub gelu_tanh: bool,
    /// What a block has beyond these.
    pub shape: BlockShape,
}

impl TransformerConfig {
    /// Makes the blocks.
    pub fn init(&self, device: &Device) -> Transformer {
        Transformer { resblocks: (0..self.layers).map(|_| ResidualBlock::new(self, device)).collect() }
    }
}

/// Stack of pre-norm blocks. Field names are OpenCLIP's, so that checkpoints need no map for them.
#[derive(Module, Debug)]
pub struct Transformer {
    /// The blocks, first to last.
    pub resblocks: Vec<ResidualBlock>,
}

/// One pre-norm block: `x + attention(ln_1(x))`, then `x + mlp(ln_2(x))`.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    /// Norm before attention.
    pub ln_1: LayerNorm,
    /// Multi-head self-attention.
    pub attn: Attention,
    /// Norm before the MLP.
    pub ln_2: LayerNorm,
    /// The MLP.
    pub mlp: Mlp,
}

impl ResidualBlock {
    fn new(config: &TransformerConfig, device: &Device) -> Self {
        let norm = LayerNormConfig::new(config.width).with_epsilon(config.norm_epsilon);
        let epsilon = |is_normed: bool| is_normed.then_some(config.norm_epsilon);
        let BlockShape { attention_norm, gated_mlp, mlp_norm } = config.shape;
        let expanded = if gated_mlp { 2 * config.mlp_width } else { config.mlp_width };
        Self {
            ln_1: norm.init(device),
            attn: Attention {
                in_proj: LinearConfig::new(config.width, 3 * config.width).init(device),
                out_proj: LinearConfig::new(config.width, config.width).init(device),
                heads: config.heads,
                head_dim: config.width / config.heads,
                inner_epsilon: epsilon(attention_norm),
            },
            ln_2: norm.init(device),
            mlp: Mlp {
                c_fc: LinearConfig::new(config.width, expanded).init(device),
                c_proj: LinearConfig::new(config.mlp_width, config.width).init(device),
                quick_gelu: config.quick_gelu,
                gelu_tanh: config.gelu_tanh,
                is_gated: gated_mlp,
                inner_epsilon: epsilon(mlp_norm),
            },
        }
    }

    /// The block over all tokens: `[batch, tokens, width]` to the same shape.
    pub fn forward(&self, residual: Tensor<3>, mask: Option<&Tensor<4, Bool>>) -> Tensor<3> {
        let heads = self.attn.attend(self.ln_1.forward(residual.clone()), Queries::All, mask, None);
        let residual = residual + self.attn.output(heads.z);
        let update = self.mlp.forward(self.ln_2.forward(residual.clone()));
        residual + update
    }
}

/// Which tokens ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queries {
    /// Every token.
    All,
    /// Only token 0, which is all that the last block of an image tower needs.
    ClassToken,
}

/// What the heads of one block computed, still in head space.
pub(crate) struct HeadOutputs {
    /// Attention-weighted values `z`, `[batch, heads, queries, head_dim]`, divided by the deviation of the inner norm, if there is one.
    pub(crate) z: Tensor<4>,
    /// Attention probabilities, `[batch, heads, queries, tokens]`.
    pub(crate) attention: Tensor<4>,
    /// Values `v`, `[batch, heads, tokens, head_dim]`.
    pub(crate) values: Tensor<4>,
    /// One over the deviation of the inner norm, `[batch, 1, queries, 1]`.
    pub(crate) inverse: Option<Tensor<4>>,
}

impl HeadOutputs {
    /// What each value is multiplied with in `z`, `[batch, heads, queries, tokens]`.
    pub(crate) fn weights(&self) -> Tensor<4> {
        match &self.inverse {
            Some(inverse) => self.attention.clone() * inverse.clone(),
            None => self.attention.clone(),
        }
    }
}

/// Multi-head self-attention with PyTorch's fused input projection.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, keys and values in one product, `[width, 3·width]`.
    pub in_proj: Linear,
    /// Output projection `W_O`, `[width, width]`.
    pub out_proj: Linear,
    /// Number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Epsilon of the norm of all heads' outputs together, where there is one; the rest of that norm is in `out_proj`.
    #[module(skip)]
    pub inner_epsilon: Option<f64>,
}

impl Attention {
    /// Attention of every head, without the output projection. `input` is `[batch, tokens, width]` after the norm; `mask`
    /// is true where a query must not look. The class token is never rotated.
    pub(crate) fn attend(
        &self,
        input: Tensor<3>,
        queries: Queries,
        mask: Option<&Tensor<4, Bool>>,
        rotation: Option<&Rotation>,
    ) -> HeadOutputs {
        let [batch, tokens, width] = input.dims();
        let split = |rows: Tensor<3>, count: usize| -> Tensor<4> {
            rows.reshape([batch, count, self.heads, self.head_dim]).swap_dims(1, 2)
        };
        let (query, key, value) = match queries {
            Queries::All => {
                let [query, key, value] = thirds(linear(&self.in_proj, input), width);
                (split(query, tokens), split(key, tokens), split(value, tokens))
            }
            Queries::ClassToken => {
                let class_token = input.clone().narrow(1, 0, 1);
                let query = self.project(class_token, 0, width);
                let key_value = self.project(input, width, 2 * width);
                let key = key_value.clone().narrow(2, 0, width);
                let value = key_value.narrow(2, width, width);
                (split(query, 1), split(key, tokens), split(value, tokens))
            }
        };
        let rotated = |rows: Tensor<4>| match rotation {
            Some(rotation) => rotation.rotate(rows),
            None => rows,
        };
        let query = if queries == Queries::All { rotated(query) } else { query };
        let key = rotated(key);
        // Scaling the query instead of the scores is the same product with fewer multiplications.
        let query = query.div_scalar((self.head_dim as f64).sqrt());
        let mut scores = query.matmul(key.swap_dims(2, 3));
        if let Some(mask) = mask {
            scores = scores.mask_fill(mask.clone(), f32::NEG_INFINITY);
        }
        let attention = activation::softmax(scores, 3);
        let z = attention.clone().matmul(value.clone());
        let inverse = self.inner_epsilon.map(|epsilon| inverse_deviation(z.clone(), [1, 3], epsilon));
        let z = match &inverse {
            Some(inverse) => z * inverse.clone(),
            None => z,
        };
        HeadOutputs { z, attention, values: value, inverse }
    }

    /// Output projection of `z` `[batch, heads, queries, head_dim]`: `[batch, queries, width]`.
    pub(crate) fn output(&self, z: Tensor<4>) -> Tensor<3> {
        let [batch, heads, queries, head_dim] = z.dims();
        linear(&self.out_proj, z.swap_dims(1, 2).reshape([batch, queries, heads * head_dim]))
    }

    /// Some columns of the fused input projection.
    pub(super) fn project(&self, input: Tensor<3>, from: usize, count: usize) -> Tensor<3> {
        let weight = self.in_proj.weight.val().narrow(1, from, count);
        let bias = self.in_proj.bias.as_ref().map(|bias| bias.val().narrow(0, from, count));
        product::linear(input, weight, bias)
    }
}

fn linear(layer: &Linear, input: Tensor<3>) -> Tensor<3> {
    product::linear(input, layer.weight.val(), layer.bias.as_ref().map(|bias| bias.val()))
}

fn thirds(fused: Tensor<3>, width: usize) -> [Tensor<3>; 3] {
    [fused.clone().narrow(2, 0, width), fused.clone().narrow(2, width, width), fused.narrow(2, 2 * width, width)]
}

/// Two layers with GELU between, or with a gate.
#[derive(Module, Debug)]
pub struct Mlp {
    /// First layer, `[width, mlp_width]`; with a gate `[width, 2·mlp_width]`.
    pub c_fc: Linear,
    /// Second layer, `[mlp_width, width]`.
    pub c_proj: Linear,
    /// QuickGELU instead of exact GELU.
    pub quick_gelu: bool,
    /// GELU approximated by `tanh`.
    pub gelu_tanh: bool,
    /// Whether the first half of the first layer's output is a gate, whose SiLU the second is multiplied with.
    pub is_gated: bool,
    /// Epsilon of the norm before the second layer, where there is one; the rest of that norm is in `c_proj`.
    #[module(skip)]
    pub inner_epsilon: Option<f64>,
}

impl Mlp {
    /// `[batch, tokens, width]` to the same shape.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let hidden = linear(&self.c_fc, input);
        let active = if self.is_gated {
            let [_, _, both] = hidden.dims();
            let gate = hidden.clone().narrow(2, 0, both / 2);
            activation::silu(gate) * hidden.narrow(2, both / 2, both / 2)
        } else if self.quick_gelu {
            hidden.clone() * activation::sigmoid(hidden.mul_scalar(1.702))
        } else if self.gelu_tanh {
            // (1 + tanh y)/2 is the sigmoid of 2y.
            let cubed = hidden.clone() * hidden.clone() * hidden.clone();
            let inner = (hidden.clone() + cubed.mul_scalar(0.044_715)).mul_scalar((8.0 / PI).sqrt());
            hidden * activation::sigmoid(inner)
        } else {
            activation::gelu(hidden)
        };
        let active = match self.inner_epsilon {
            Some(epsilon) => active.clone() * inverse_deviation(active, [2], epsilon),
            None => active,
        };
        linear(&self.c_proj, active)
    }
}
