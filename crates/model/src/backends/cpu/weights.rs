//! From Burn's modules to the layout of the products.

use burn::nn::{LayerNorm, Linear as BurnLinear};
use rayon::prelude::*;

use super::{
    blocks::{Block, Linear, Stack},
    product::{Activation, Packing},
    rows::Norm,
    text::TextWeights,
    tower::Tower,
};
use crate::{
    backends::burn::{BurnTextTower, BurnVisionTower, ResidualBlock, Transformer},
    error::Result,
    readout::read,
};

/// Products of the blocks are in the precision asked for; patch embedding and output projection, a few hundredths of the work,
/// stay exact. Each block of the tower is let go once it was read.
pub(super) fn read_tower(tower: BurnVisionTower, packing: Packing) -> Result<Tower> {
    let [width, _, patch, _] = tower.conv1.val().dims();
    let depth = 3 * patch * patch;
    let [_, d] = tower.proj.val().dims();
    let mut positions = read(tower.positional_embedding.val())?;
    if let Some(class) = &tower.class_embedding {
        let class = read(class.val())?;
        positions.iter_mut().zip(&class).for_each(|(position, class)| *position += class);
    }
    let epsilon = tower.norm_epsilon as f32;
    let exact = packing.exact();
    Ok(Tower {
        side: tower.image_size,
        patch,
        prefix: tower.prefix,
        pooling: tower.pooling,
        patches: exact.columns(&read(tower.conv1.val())?, depth, depth, width),
        positions,
        ln_pre: tower.ln_pre.as_ref().map(|ln_pre| norm(ln_pre, epsilon)).transpose()?,
        ln_post: norm(&tower.ln_post, epsilon)?,
        projection: exact.rows(&read(tower.proj.val())?, d, width, d),
        blocks: read_blocks(tower.transformer, false, epsilon, packing)?,
    })
}

/// As [`read_tower`], of a text tower but for its token embedding.
pub(super) fn read_text_tower(tower: BurnTextTower, packing: Packing) -> Result<TextWeights> {
    let [width, d] = tower.text_projection.val().dims();
    let epsilon = tower.norm_epsilon as f32;
    Ok(TextWeights {
        positions: read(tower.positional_embedding.val())?,
        ln_final: norm(&tower.ln_final, epsilon)?,
        projection: packing.exact().rows(&read(tower.text_projection.val())?, d, width, d),
        blocks: read_blocks(tower.transformer, true, epsilon, packing)?,
    })
}

fn read_blocks(blocks: Transformer, is_causal: bool, epsilon: f32, packing: Packing) -> Result<Stack> {
    let first = &blocks.resblocks[0];
    let heads = first.attn.heads;
    let activation = match (first.mlp.quick_gelu, first.mlp.gelu_tanh) {
        (true, _) => Activation::QuickGelu,
        (false, true) => Activation::GeluTanh,
        (false, false) => Activation::Gelu,
    };
    let read = |block| read_block(block, epsilon, packing);
    Ok(Stack {
        arch: packing.arch,
        heads,
        activation,
        is_causal,
        blocks: blocks.resblocks.into_par_iter().map(read).collect::<Result<_>>()?,
    })
}

fn read_block(block: ResidualBlock, epsilon: f32, packing: Packing) -> Result<Block> {
    let attention = block.attn;
    let width = attention.heads * attention.head_dim;
    let mut fused = read(attention.in_proj.weight.val())?;
    let mut bias = read_bias(&attention.in_proj)?;
    let scale = 1.0 / (attention.head_dim as f32).sqrt();
    for row in fused.chunks_exact_mut(3 * width) {
        row[..width].iter_mut().for_each(|weight| *weight *= scale);
    }
    bias[..width].iter_mut().for_each(|bias| *bias *= scale);
    let key_value_bias = bias.split_off(width);
    Ok(Block {
        ln_1: norm(&block.ln_1, epsilon)?,
        query: Linear { weight: packing.rows(&fused, 3 * width, width, width), bias },
        key_value: Linear { weight: packing.rows(&fused[width..], 3 * width, width, 2 * width), bias: key_value_bias },
        output: linear(&attention.out_proj, packing)?,
        ln_2: norm(&block.ln_2, epsilon)?,
        expand: linear(&block.mlp.c_fc, packing)?,
        contract: linear(&block.mlp.c_proj, packing)?,
    })
}

fn linear(linear: &BurnLinear, packing: Packing) -> Result<Linear> {
    let [depth, columns] = linear.weight.val().dims();
    let weight = packing.rows(&read(linear.weight.val())?, columns, depth, columns);
    Ok(Linear { weight, bias: read_bias(linear)? })
}

fn read_bias(linear: &BurnLinear) -> Result<Vec<f32>> {
    let [_, columns] = linear.weight.val().dims();
    linear.bias.as_ref().map_or_else(|| Ok(vec![0.0; columns]), |bias| read(bias.val()))
}

fn norm(norm: &LayerNorm, epsilon: f32) -> Result<Norm> {
    let weight = read(norm.gamma.val())?;
    let bias = norm.beta.as_ref().map_or_else(|| Ok(vec![0.0; weight.len()]), |beta| read(beta.val()))?;
    Ok(Norm { weight, bias, epsilon })
}
