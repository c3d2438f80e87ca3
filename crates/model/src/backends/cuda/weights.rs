//! From Burn's modules to a card's memory, once.

use burn::{
    module::Param,
    nn::{LayerNorm, Linear as BurnLinear},
    tensor::Tensor,
};

use super::{engine::Engine, error::CudaProblem};
use crate::{
    backends::burn::{BurnVisionTower, ResidualBlock},
    error::Result,
    families::Pooling,
    precision::Precision,
    readout::read,
};

/// An image tower in a card's memory.
pub(super) struct Tower<B> {
    pub(super) side: usize,
    pub(super) patch: usize,
    /// Tokens of an image, the class token first.
    pub(super) tokens: usize,
    pub(super) width: usize,
    /// Width of the hidden layer of an MLP.
    pub(super) hidden: usize,
    pub(super) heads: usize,
    /// Length of the joint embedding.
    pub(super) d: usize,
    /// QuickGELU instead of GELU.
    pub(super) quick: bool,
    pub(super) norm_epsilon: f64,
    /// Type of the factors of the blocks' linear layers; all else is float32, as on the CPU.
    pub(super) precision: Precision,
    /// Patch embedding, `[width, 3·patch²]`.
    pub(super) patches: B,
    /// Position embeddings, the class token's with the class embedding, `[tokens, width]`.
    pub(super) positions: B,
    pub(super) ln_pre: Norm<B>,
    pub(super) blocks: Vec<Block<B>>,
    pub(super) ln_post: Norm<B>,
    /// Output projection, `[width, d]`.
    pub(super) projection: B,
}

/// A LayerNorm, twice `[width]`.
pub(super) struct Norm<B> {
    pub(super) weight: B,
    pub(super) bias: B,
}

/// A linear layer, `[from, to]` and `[to]`.
pub(super) struct Linear<B> {
    pub(super) weight: B,
    pub(super) bias: B,
}

/// A pre-norm block. The factor `1/√head_dim` of the scores is in the query's weight and bias.
pub(super) struct Block<B> {
    pub(super) ln_1: Norm<B>,
    /// Queries, keys and values, `[width, 3·width]`.
    pub(super) fused: Linear<B>,
    pub(super) output: Linear<B>,
    pub(super) ln_2: Norm<B>,
    pub(super) expand: Linear<B>,
    pub(super) contract: Linear<B>,
}

impl<B> Tower<B> {
    /// Values of one image.
    pub(super) fn image_length(&self) -> usize {
        3 * self.side * self.side
    }

    pub(super) fn head_dim(&self) -> usize {
        self.width / self.heads
    }
}

/// Uploads a tower; its linear layers in the precision.
pub(super) fn upload<E: Engine>(tower: &BurnVisionTower, precision: Precision, engine: &E) -> Result<Tower<E::Buffer>> {
    let [width, _, patch, _] = tower.conv1.val().dims();
    let [_, d] = tower.proj.val().dims();
    let (class_embedding, ln_pre) = covered(tower)?;
    let mut positions = read(tower.positional_embedding.val())?;
    let class = read(class_embedding.val())?;
    positions.iter_mut().zip(&class).for_each(|(position, class)| *position += class);
    let tokens = positions.len() / width;
    let first = &tower.transformer.resblocks[0];
    let [_, hidden] = first.mlp.c_fc.weight.val().dims();
    let exact = |values: Vec<f32>| engine.upload(&values, Precision::Float32);
    let block = |block| Uploader { engine, precision }.block(block);
    let norm = |norm| Uploader { engine, precision }.norm(norm);
    Ok(Tower {
        side: (tokens - 1).isqrt() * patch,
        patch,
        tokens,
        width,
        hidden,
        heads: first.attn.heads,
        d,
        quick: first.mlp.quick_gelu,
        norm_epsilon: tower.norm_epsilon,
        precision,
        patches: exact(read(tower.conv1.val())?)?,
        positions: exact(positions)?,
        ln_pre: norm(ln_pre)?,
        blocks: tower.transformer.resblocks.iter().map(block).collect::<Result<_>>()?,
        ln_post: norm(&tower.ln_post)?,
        projection: exact(read(tower.proj.val())?)?,
    })
}

/// Class embedding and first norm of a tower that the pass computes: OpenAI's, whose representation is the class token.
fn covered(tower: &BurnVisionTower) -> Result<(&Param<Tensor<1>>, &LayerNorm), CudaProblem> {
    let no = |what| Err(CudaProblem::Tower { what });
    if tower.pooling != Pooling::ClassToken {
        return no("towers that pool other tokens than the class token");
    }
    if tower.rotary.is_some() {
        return no("rotary positions");
    }
    if tower.prefix != 1 {
        return no("towers with register tokens");
    }
    let [_, _, patch, _] = tower.conv1.val().dims();
    if !tower.image_size.is_multiple_of(patch) {
        return no("images that no whole number of patches fills");
    }
    if tower.transformer.resblocks.iter().any(|block| block.mlp.gelu_tanh) {
        return no("GELU approximated by `tanh`");
    }
    match (&tower.class_embedding, &tower.ln_pre) {
        (Some(class), Some(ln_pre)) => Ok((class, ln_pre)),
        _ => no("towers without a norm before the first block"),
    }
}

struct Uploader<'a, E> {
    engine: &'a E,
    precision: Precision,
}

impl<E: Engine> Uploader<'_, E> {
    fn block(&self, block: &ResidualBlock) -> Result<Block<E::Buffer>> {
        Ok(Block {
            ln_1: self.norm(&block.ln_1)?,
            fused: self.fused(block)?,
            output: self.linear(&block.attn.out_proj)?,
            ln_2: self.norm(&block.ln_2)?,
            expand: self.linear(&block.mlp.c_fc)?,
            contract: self.linear(&block.mlp.c_proj)?,
        })
    }

    fn fused(&self, block: &ResidualBlock) -> Result<Linear<E::Buffer>> {
        let attention = &block.attn;
        let width = attention.heads * attention.head_dim;
        let scale = 1.0 / (attention.head_dim as f32).sqrt();
        let mut weight = read(attention.in_proj.weight.val())?;
        let mut bias = bias_of(&attention.in_proj)?;
        for row in weight.chunks_exact_mut(3 * width).chain([bias.as_mut_slice()]) {
            row[..width].iter_mut().for_each(|value| *value *= scale);
        }
        self.upload(&weight, &bias)
    }

    fn linear(&self, linear: &BurnLinear) -> Result<Linear<E::Buffer>> {
        self.upload(&read(linear.weight.val())?, &bias_of(linear)?)
    }

    fn upload(&self, weight: &[f32], bias: &[f32]) -> Result<Linear<E::Buffer>> {
        Ok(Linear {
            weight: self.engine.upload(weight, self.precision)?,
            bias: self.engine.upload(bias, Precision::Float32)?,
        })
    }

    fn norm(&self, norm: &LayerNorm) -> Result<Norm<E::Buffer>> {
        let weight = read(norm.gamma.val())?;
        let bias = norm.beta.as_ref().map_or_else(|| Ok(vec![0.0; weight.len()]), |beta| read(beta.val()))?;
        Ok(Norm {
            weight: self.engine.upload(&weight, Precision::Float32)?,
            bias: self.engine.upload(&bias, Precision::Float32)?,
        })
    }
}

fn bias_of(linear: &BurnLinear) -> Result<Vec<f32>> {
    let [_, columns] = linear.weight.val().dims();
    linear.bias.as_ref().map_or_else(|| Ok(vec![0.0; columns]), |bias| read(bias.val()))
}
