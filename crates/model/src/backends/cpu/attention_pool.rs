//! Attention pooling by a learned probe (SigLIP, CoCa), and the contributions to what it gives (`docs/mathematics.md`).

use super::{
    blocks::{Kept, Linear, Stack},
    packed::{Packed, Packing},
    pooling::moments,
    product::{Activation, Product, ProductScratch, Rows},
    rows::{Norm, Normalise},
    tower::{Passed, Tower, matrix_product, project_normed},
};
use crate::{
    precision::Precision,
    readout::PoolWeights,
    trace::{HostTokens, TraceRequest},
};

/// A probe that attends to all tokens, and an MLP or a norm behind it, with what its decomposition multiplies.
#[derive(Debug)]
pub(super) struct AttentionPool {
    pub(super) heads: usize,
    /// The probe's queries, divided by `√head_dim`, `[pooled width]`.
    pub(super) query: Vec<f32>,
    /// Keys and values, `[width, 2·pooled width]`.
    pub(super) key_value: Linear,
    pub(super) output: Linear,
    /// The MLP behind it.
    pub(super) mlp: Option<PoolMlp>,
    /// Whether a norm is behind it, whose weights are in the projection.
    pub(super) is_normed: bool,
    /// The values' part of `key_value` of each of the probe's heads, `[width, head_dim]`.
    pub(super) values: Vec<Packed>,
    /// What comes out whatever the image, `[pooled width]`.
    pub(super) constant: Vec<f32>,
    /// Per block the output projection of each head, `[head_dim, width]`, and its bias `[width]`.
    pub(super) blocks: Vec<(Vec<Packed>, Vec<f32>)>,
}

/// The MLP behind a probe, with its norm.
#[derive(Debug)]
pub(super) struct PoolMlp {
    pub(super) norm: Norm,
    pub(super) expand: Linear,
    pub(super) contract: Linear,
    pub(super) activation: Activation,
}

impl PoolMlp {
    /// Of `[images, pooled width]`.
    fn update(&self, rows: &[f32], stack: &Stack) -> Vec<f32> {
        let mut normed = vec![0.0; rows.len()];
        Normalise { input: rows, output: &mut normed, norm: &self.norm }.run(stack.arch, 1);
        let hidden = linear(&normed, &self.expand, self.activation);
        linear(&hidden, &self.contract, Activation::Identity)
    }
}

/// The part of each token of one image in the tokens that the probe's heads see.
struct Seen {
    /// Attention, `[heads, tokens]`.
    attention: Vec<f32>,
    /// Attention over `σ`, `[heads, tokens]`.
    weights: Vec<f32>,
    /// Sums of the weights, and of the tokens' means times them, of each head.
    sums: Vec<[f64; 2]>,
    /// Mean and `1/σ` of what comes out, where a norm is behind it.
    behind: Option<[f64; 2]>,
}

impl AttentionPool {
    /// Width of what comes out.
    fn width(&self) -> usize {
        self.query.len()
    }

    /// The weights that directions are read through.
    pub(super) fn readout_weights(&self) -> Option<PoolWeights> {
        Some(PoolWeights {
            values: self.values.iter().map(Packed::to_rows).collect::<Option<_>>()?,
            output: self.output.weight.to_rows()?,
        })
    }

    /// Attention of the probe to keys and values `[tokens, 2·width]`: what is seen, and what comes out before the output projection,
    /// `[width]`.
    fn attend(&self, key_value: &[f32], moments: &[[f64; 2]]) -> (Seen, Vec<f32>) {
        let (width, tokens) = (self.width(), moments.len());
        let head_dim = width / self.heads;
        let mut seen = Seen { attention: Vec::new(), weights: Vec::new(), sums: Vec::new(), behind: None };
        let mut values = vec![0.0; width];
        for head in 0..self.heads {
            let query = &self.query[head * head_dim..][..head_dim];
            let row = |token: usize| &key_value[token * 2 * width + head * head_dim..];
            let score = |token| query.iter().zip(row(token)).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>();
            let scores: Vec<f64> = (0..tokens).map(score).collect();
            let largest = scores.iter().fold(f64::NEG_INFINITY, |most, score| most.max(*score));
            let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = exponentials.iter().sum();
            let mut sums = [0.0, 0.0];
            let mut value = vec![0.0_f64; head_dim];
            for (token, (exponential, [mean, inv_sigma])) in exponentials.iter().zip(moments).enumerate() {
                let attention = exponential / total;
                sums[0] += attention * inv_sigma;
                sums[1] += attention * inv_sigma * mean;
                seen.attention.push(attention as f32);
                seen.weights.push((attention * inv_sigma) as f32);
                value.iter_mut().zip(&row(token)[width..]).for_each(|(sum, v)| *sum += attention * f64::from(*v));
            }
            seen.sums.push(sums);
            values[head * head_dim..][..head_dim].iter_mut().zip(value).for_each(|(to, sum)| *to = sum as f32);
        }
        (seen, values)
    }

    /// What of rows that each of the probe's heads sees, `[rows, heads, width]`, comes out, without biases: `[rows, pooled width]`.
    fn through(&self, rows: &[f32], norm: &Norm) -> Vec<f32> {
        let (width, pooled, heads) = (norm.weight.len(), self.width(), self.heads);
        let (count, head_dim) = (rows.len() / (heads * width), pooled / heads);
        let mut moved = vec![0.0; count * pooled];
        for (head, values) in self.values.iter().enumerate() {
            let of_head = rows.chunks_exact(width).skip(head).step_by(heads);
            let scaled: Vec<f32> =
                of_head.flat_map(|row| row.iter().zip(&norm.weight).map(|(value, weight)| value * weight)).collect();
            let found = matrix_product(&scaled, values);
            for (row, found) in moved.chunks_exact_mut(pooled).zip(found.chunks_exact(head_dim)) {
                row[head * head_dim..][..head_dim].copy_from_slice(found);
            }
        }
        matrix_product(&moved, &self.output.weight)
    }
}

impl Tower {
    /// Pools the tokens of some images after the last block, `[images, tokens, width]`, by the probe. What is kept of heads and
    /// components are their contributions themselves, times `|r|`.
    pub(super) fn pool_by_attention(
        &self,
        pool: &AttentionPool,
        rows: &[f32],
        kept: Kept,
        request: &TraceRequest,
    ) -> Passed {
        let (tokens, width) = (self.tokens(), self.width());
        let mut normed = vec![0.0; rows.len()];
        Normalise { input: rows, output: &mut normed, norm: &self.ln_post }.run(self.blocks.arch, 1);
        let key_value = linear(&normed, &pool.key_value, Activation::Identity);
        let images = rows.chunks_exact(tokens * width).zip(key_value.chunks_exact(2 * tokens * pool.width()));
        let (mut seen, values): (Vec<Seen>, Vec<Vec<f32>>) = images
            .map(|(rows, key_value)| {
                let moments: Vec<_> = rows.chunks_exact(width).map(|row| moments(row, self.ln_post.epsilon)).collect();
                pool.attend(key_value, &moments)
            })
            .unzip();
        let pooled = linear(&values.concat(), &pool.output, Activation::Identity);
        if pool.is_normed {
            for (seen, row) in seen.iter_mut().zip(pooled.chunks_exact(pool.width())) {
                seen.behind = Some(moments(row, self.ln_post.epsilon));
            }
        }
        let mut representation: Vec<f32> = Vec::new();
        for (row, seen) in pooled.chunks_exact(pool.width()).zip(&seen) {
            representation.extend(self.project_share(row.to_vec(), seen, 1.0));
        }
        let update = pool.mlp.as_ref().map(|mlp| matrix_product(&mlp.update(&pooled, &self.blocks), &self.projection));
        representation.iter_mut().zip(update.iter().flatten()).for_each(|(value, update)| *value += update);
        let mut components: Vec<Vec<f32>> =
            kept.components.iter().map(|component| self.component(pool, component, &seen)).collect();
        if !components.is_empty() {
            components.extend(update);
        }
        let mut mean_attention = kept.mean_attention;
        if let Some(last) = mean_attention.last_mut() {
            *last = mean_looks(last, &seen, tokens);
        }
        let looks = |layer: HostTokens| {
            let images = layer.attention.len() / seen.len().max(1);
            let images = layer.attention.chunks_exact(images.max(1)).zip(&seen);
            let attention = images.flat_map(|(squares, seen)| self.looks(squares, seen)).collect();
            HostTokens { attention, ..layer }
        };
        let token_looks = kept.tokens.into_iter().map(looks).collect();
        let layers = (0..pool.blocks.len()).filter(|layer| request.layers.contains(layer));
        let z = layers.zip(&kept.z).map(|(layer, z)| self.heads_of(pool, layer, z, &seen)).collect();
        Passed {
            representation,
            residual: pooled,
            scales: seen.iter().map(Seen::mean_sums).collect(),
            kept: Kept { z, components, tokens: token_looks, mean_attention },
        }
    }

    /// Attention of the heads of a block, `[heads, tokens, tokens]`, as the probe's heads see it, `[heads, probe heads, tokens]`.
    fn looks(&self, squares: &[f32], seen: &Seen) -> Vec<f32> {
        let tokens = self.tokens();
        let scale = seen.behind.map_or(1.0, |[_, inverse]| inverse as f32);
        let weights: Vec<f32> = seen.weights.iter().map(|weight| weight * scale).collect();
        let of_head = |square| matrix_product(&weights, &self.exact().rows(square, tokens, tokens, tokens));
        squares.chunks_exact(tokens * tokens).flat_map(of_head).collect()
    }

    /// Contributions of the heads of a block, `[images, heads, d]`, of their `z` `[images, tokens, width]`.
    fn heads_of(&self, pool: &AttentionPool, layer: usize, z: &[f32], seen: &[Seen]) -> Vec<f32> {
        let (tokens, width, heads) = (self.tokens(), self.width(), self.blocks.heads);
        let head_dim = width / heads;
        let (outputs, bias) = &pool.blocks[layer];
        let share = 1.0 / ((2 * pool.blocks.len() + 1) * heads) as f64;
        let mut contributions = Vec::new();
        for (z, seen) in z.chunks_exact(tokens * width).zip(seen) {
            let mut rows = Vec::with_capacity(heads * pool.heads * width);
            for (head, output) in outputs.iter().enumerate() {
                let z = self.exact().rows(&z[head * head_dim..], width, tokens, head_dim);
                let mut of_head = matrix_product(&matrix_product(&seen.weights, &z), output);
                for (row, [sum, centre]) in of_head.chunks_exact_mut(width).zip(&seen.sums) {
                    let part = |bias: &f32| f64::from(*bias) * sum / heads as f64 - share * centre;
                    row.iter_mut().zip(bias).for_each(|(value, bias)| *value += part(bias) as f32);
                }
                rows.extend(of_head);
            }
            contributions.extend(self.shared(pool, &rows, seen, share));
        }
        contributions
    }

    /// Contribution of a component, `[images, d]`, of its rows `[images, tokens, width]`.
    fn component(&self, pool: &AttentionPool, component: &[f32], seen: &[Seen]) -> Vec<f32> {
        let (tokens, width) = (self.tokens(), self.width());
        let share = 1.0 / (2 * pool.blocks.len() + 1) as f64;
        let of_image = |(rows, seen): (&[f32], &Seen)| {
            let mut rows = matrix_product(&seen.weights, &self.exact().rows(rows, width, tokens, width));
            for (row, [_, centre]) in rows.chunks_exact_mut(width).zip(&seen.sums) {
                for value in row {
                    *value -= (share * centre) as f32;
                }
            }
            self.shared(pool, &rows, seen, share)
        };
        component.chunks_exact(tokens * width).zip(seen).flat_map(of_image).collect()
    }

    /// Through the probe's heads and the projection, with a share of what comes out whatever the image.
    fn shared(&self, pool: &AttentionPool, rows: &[f32], seen: &Seen, share: f64) -> Vec<f32> {
        let mut through = pool.through(rows, &self.ln_post);
        for row in through.chunks_exact_mut(pool.width()) {
            let part = |constant: &f32| (share * f64::from(*constant)) as f32;
            row.iter_mut().zip(&pool.constant).for_each(|(value, constant)| *value += part(constant));
        }
        self.project_share(through, seen, share)
    }

    /// Output projection of rows that are parts of what is pooled, `[rows, pooled width]` to `[rows, d]`, each with so much of its mean and
    /// of the projection's bias.
    fn project_share(&self, mut rows: Vec<f32>, seen: &Seen, share: f64) -> Vec<f32> {
        if let Some([mean, inverse]) = seen.behind {
            for value in &mut rows {
                *value = ((f64::from(*value) - share * mean) * inverse) as f32;
            }
        }
        let bias = self.projection_bias.as_ref();
        let bias: Option<Vec<f32>> = bias.map(|bias| bias.iter().map(|bias| bias * share as f32).collect());
        project_normed(&rows, &self.projection, bias.as_deref())
    }

    fn exact(&self) -> Packing {
        Packing { arch: self.blocks.arch, precision: Precision::Float32, tiles: false }
    }
}

impl Seen {
    /// Over the probe's heads.
    fn mean_sums(&self) -> [f64; 2] {
        let count = self.sums.len() as f64;
        self.sums.iter().fold([0.0, 0.0], |[sum, mean], [own, centre]| [sum + own / count, mean + centre / count])
    }
}

/// Mean attention of a block, `[images, tokens, tokens]`, to that of the probe's heads together, `[images, tokens]`.
fn mean_looks(attention: &[f32], seen: &[Seen], tokens: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for (square, seen) in attention.chunks_exact(tokens * tokens).zip(seen) {
        let mut looks = vec![0.0; tokens];
        let heads = seen.sums.len();
        for of_head in seen.attention.chunks_exact(tokens) {
            for (row, weight) in square.chunks_exact(tokens).zip(of_head) {
                looks.iter_mut().zip(row).for_each(|(sum, look)| *sum += weight * look / heads as f32);
            }
        }
        all.extend(looks);
    }
    all
}

/// A linear layer of some rows.
pub(super) fn linear(rows: &[f32], layer: &Linear, activation: Activation) -> Vec<f32> {
    let (depth, columns) = (layer.weight.depth(), layer.bias.len());
    let count = rows.len() / depth;
    let mut result = vec![0.0; count * columns];
    let target = Rows { values: result.as_mut_slice(), stride: columns };
    let product = Product::new(count, Rows { values: rows, stride: depth }, &layer.weight, target);
    product.bias(&layer.bias).activation(activation).run(&mut ProductScratch::default(), 1);
    result
}
