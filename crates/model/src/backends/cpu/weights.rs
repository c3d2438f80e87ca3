//! From Burn's modules to the layout of the products.

use burn::nn::{LayerNorm, Linear as BurnLinear};
use rayon::prelude::*;

use super::{
    attention_pool::{AttentionPool, PoolMlp, linear as apply},
    blocks::{Block, Linear, Stack},
    inner::Inner,
    packed::Packing,
    product::Activation,
    rows::Norm,
    text::TextWeights,
    tower::Tower,
};
use crate::{
    backends::burn::{
        AttentionPool as BurnAttentionPool, BurnTextTower, BurnVisionTower, Mlp, ResidualBlock, Transformer,
    },
    error::Result,
    readout::read,
};

/// Products of the blocks are in the precision asked for; patch embedding and output projection, a few hundredths of the work,
/// stay exact. Each block of the tower is let go once it was read.
pub(super) fn read_tower(tower: BurnVisionTower, packing: Packing) -> Result<Tower> {
    let attention_pool = tower.attn_pool.as_ref().map(|pool| read_pool(pool, &tower, packing.exact())).transpose()?;
    let [width, _, patch, _] = tower.conv1.val().dims();
    let depth = 3 * patch * patch;
    // Behind the queries of CoCa what is pooled has another width.
    let [pooled, d] = tower.proj.val().dims();
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
        attention_pool,
        patches: exact.columns(&read(tower.conv1.val())?, depth, depth, width),
        positions,
        ln_pre: tower.ln_pre.as_ref().map(|ln_pre| norm(ln_pre, epsilon)).transpose()?,
        ln_post: norm(&tower.ln_post, epsilon)?,
        projection: exact.rows(&read(tower.proj.val())?, d, pooled, d),
        projection_bias: tower.proj_bias.as_ref().map(|bias| read(bias.val())).transpose()?,
        blocks: Stack {
            inner: Inner { rotary: tower.rotary, ..inner(&tower.transformer) },
            ..read_blocks(tower.transformer, false, epsilon, packing)?
        },
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
        bias: tower.text_projection_bias.as_ref().map(|bias| read(bias.val())).transpose()?,
        class: tower.cls_emb.as_ref().map(|class| read(class.val())).transpose()?,
        blocks: read_blocks(tower.transformer, tower.causal, epsilon, packing)?,
    })
}

fn read_blocks(blocks: Transformer, is_causal: bool, epsilon: f32, packing: Packing) -> Result<Stack> {
    let first = &blocks.resblocks[0];
    let (heads, activation) = (first.attn.heads, activation(&first.mlp));
    let read = |block| read_block(block, epsilon, packing);
    Ok(Stack {
        arch: packing.arch,
        heads,
        activation,
        is_causal,
        inner: Inner::default(),
        blocks: blocks.resblocks.into_par_iter().map(read).collect::<Result<_>>()?,
    })
}

/// What the blocks of an image tower have between their layers, but for rotary positions.
fn inner(blocks: &Transformer) -> Inner {
    let ResidualBlock { attn, mlp, .. } = &blocks.resblocks[0];
    let single = |epsilon: Option<f64>| epsilon.map(|epsilon| epsilon as f32);
    Inner {
        rotary: None,
        attention_epsilon: single(attn.inner_epsilon),
        is_gated: mlp.is_gated,
        mlp_epsilon: single(mlp.inner_epsilon),
    }
}

fn activation(mlp: &Mlp) -> Activation {
    match (mlp.is_gated, mlp.quick_gelu, mlp.gelu_tanh) {
        (true, ..) => Activation::Identity,
        (_, true, _) => Activation::QuickGelu,
        (_, false, true) => Activation::GeluTanh,
        (_, false, false) => Activation::Gelu,
    }
}

/// Attention pooling, in single precision, with each block's output projection head by head.
fn read_pool(pool: &BurnAttentionPool, tower: &BurnVisionTower, packing: Packing) -> Result<AttentionPool> {
    let (heads, head_dim, epsilon) = (pool.attn.heads, pool.attn.head_dim, tower.norm_epsilon as f32);
    let [width, _] = pool.attn.in_proj.weight.val().dims();
    let pooled = heads * head_dim;
    let (fused, key_value) = (read(pool.attn.in_proj.weight.val())?, linear(&pool.attn.in_proj, packing)?);
    let values = (0..heads).map(|head| packing.rows(&fused[pooled + head * head_dim..], 2 * pooled, width, head_dim));
    let output = linear(&pool.attn.out_proj, packing)?;
    let pool_mlp = |mlp: &Mlp, ln_2: &LayerNorm| -> Result<PoolMlp> {
        Ok(PoolMlp {
            norm: norm(ln_2, epsilon)?,
            expand: linear(&mlp.c_fc, packing)?,
            contract: linear(&mlp.c_proj, packing)?,
            activation: activation(mlp),
        })
    };
    // Weights of attention sum to one, so that the norm's bias goes through as it is.
    let value = apply(&norm(&tower.ln_post, epsilon)?.bias, &key_value, Activation::Identity).split_off(pooled);
    let constant = apply(&value, &output, Activation::Identity);
    let heads_of = |block: &ResidualBlock| -> Result<_> {
        let attn = &block.attn;
        let weight = read(attn.out_proj.weight.val())?;
        let rows = weight.chunks_exact(attn.head_dim * width);
        Ok((rows.map(|rows| packing.rows(rows, width, attn.head_dim, width)).collect(), read_bias(&attn.out_proj)?))
    };
    Ok(AttentionPool {
        heads,
        query: read(pool.query.val())?,
        values: values.collect(),
        key_value,
        output,
        mlp: pool.mlp.as_ref().zip(pool.ln_2.as_ref()).map(|(mlp, ln_2)| pool_mlp(mlp, ln_2)).transpose()?,
        is_normed: pool.is_normed,
        constant,
        blocks: tower.transformer.resblocks.iter().map(heads_of).collect::<Result<_>>()?,
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
