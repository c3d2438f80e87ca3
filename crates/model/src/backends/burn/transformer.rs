use std::f64::consts::PI;

use burn::{
    module::Module,
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Bool, Device, Tensor, activation},
};

use super::product;

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
        Self {
            ln_1: norm.init(device),
            attn: Attention {
                in_proj: LinearConfig::new(config.width, 3 * config.width).init(device),
                out_proj: LinearConfig::new(config.width, config.width).init(device),
                heads: config.heads,
                head_dim: config.width / config.heads,
            },
            ln_2: norm.init(device),
            mlp: Mlp {
                c_fc: LinearConfig::new(config.width, config.mlp_width).init(device),
                c_proj: LinearConfig::new(config.mlp_width, config.width).init(device),
                quick_gelu: config.quick_gelu,
                gelu_tanh: config.gelu_tanh,
            },
        }
    }

    /// The block over all tokens: `[batch, tokens, width]` to the same shape.
    pub fn forward(&self, residual: Tensor<3>, mask: Option<&Tensor<4, Bool>>) -> Tensor<3> {
        let heads = self.attn.attend(self.ln_1.forward(residual.clone()), Queries::All, mask);
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
    /// Attention-weighted values `z`, `[batch, heads, queries, head_dim]`.
    pub(crate) z: Tensor<4>,
    /// Attention probabilities, `[batch, heads, queries, tokens]`.
    pub(crate) attention: Tensor<4>,
    /// Values `v`, `[batch, heads, tokens, head_dim]`.
    pub(crate) values: Tensor<4>,
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
}

impl Attention {
    /// Attention of every head, without the output projection. `input` is `[batch, tokens, width]` after the norm; `mask`
    /// is true where a query must not look.
    pub(crate) fn attend(&self, input: Tensor<3>, queries: Queries, mask: Option<&Tensor<4, Bool>>) -> HeadOutputs {
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
        // Scaling the query instead of the scores is the same product with fewer multiplications.
        let query = query.div_scalar((self.head_dim as f64).sqrt());
        let mut scores = query.matmul(key.swap_dims(2, 3));
        if let Some(mask) = mask {
            scores = scores.mask_fill(mask.clone(), f32::NEG_INFINITY);
        }
        let attention = activation::softmax(scores, 3);
        HeadOutputs { z: attention.clone().matmul(value.clone()), attention, values: value }
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

/// Two layers with GELU between.
#[derive(Module, Debug)]
pub struct Mlp {
    /// First layer, `[width, mlp_width]`.
    pub c_fc: Linear,
    /// Second layer, `[mlp_width, width]`.
    pub c_proj: Linear,
    /// QuickGELU instead of exact GELU.
    pub quick_gelu: bool,
    /// GELU approximated by `tanh`.
    pub gelu_tanh: bool,
}

impl Mlp {
    /// `[batch, tokens, width]` to the same shape.
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let hidden = linear(&self.c_fc, input);
        let active = if self.quick_gelu {
            hidden.clone() * activation::sigmoid(hidden.mul_scalar(1.702))
        } else if self.gelu_tanh {
            // (1 + tanh y)/2 is the sigmoid of 2y.
            let cubed = hidden.clone() * hidden.clone() * hidden.clone();
            let inner = (hidden.clone() + cubed.mul_scalar(0.044_715)).mul_scalar((8.0 / PI).sqrt());
            hidden * activation::sigmoid(inner)
        } else {
            activation::gelu(hidden)
        };
        linear(&self.c_proj, active)
    }
}
