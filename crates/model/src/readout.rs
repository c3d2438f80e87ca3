use burn::{nn::Linear, tensor::Tensor};
use headspan_headspace::{HeadId, Readout, Scalars, vector_length};
use rayon::prelude::*;

use crate::{
    backends::burn::{AttentionPool, BurnVisionTower},
    error::{ClipError, Result},
};

/// The weights that readouts are folded from, read from the device once.
#[derive(Debug)]
pub struct ReadoutFolder {
    layers: usize,
    heads: usize,
    head_dim: usize,
    width: usize,
    d: usize,
    /// `diag(w) P`, `[width, d]`.
    weighted_projection: Vec<f64>,
    /// `wᵀP`, `[d]`.
    weight_readout: Vec<f64>,
    /// `bᵀP`, `[d]`, and the projection's own bias.
    bias_readout: Vec<f64>,
    /// Per layer `W_O` as Burn stores it, `[heads·head_dim, width]`, and its bias `[width]`.
    output: Vec<(Vec<f32>, Vec<f32>)>,
    /// Of a tower that pools by attention: traces give contributions, and a readout is the identity.
    pooling: Option<Pooling>,
}

/// From the tokens of a tower that pools by attention to contributions.
#[derive(Debug)]
struct Pooling {
    weights: PoolWeights,
    /// `ln_post`'s weight, `[width]`.
    norm: Vec<f32>,
    /// Output projection `P`, `[pooled width, d]`.
    projection: Vec<f32>,
}

impl Pooling {
    /// What a direction, `[d]`, asks of a token through each of the probe's heads, `M_pᵀ P t`, `[heads, width]`.
    fn to_tokens(&self, direction: &[f32]) -> Vec<Vec<f64>> {
        let dot = |row: &[f32], other: &[f64]| row.iter().zip(other).map(|(a, b)| f64::from(*a) * b).sum::<f64>();
        let direction: Vec<f64> = direction.iter().map(|x| f64::from(*x)).collect();
        let pooled: Vec<f64> = self.projection.chunks_exact(direction.len()).map(|row| dot(row, &direction)).collect();
        let values: Vec<f64> = self.weights.output.chunks_exact(pooled.len()).map(|row| dot(row, &pooled)).collect();
        let of_head = |(matrix, value): (&Vec<f32>, &[f64])| -> Vec<f64> {
            let rows = matrix.chunks_exact(value.len()).zip(&self.norm);
            rows.map(|(row, weight)| dot(row, value) * f64::from(*weight)).collect()
        };
        let head_dim = values.len() / self.weights.values.len();
        self.weights.values.iter().zip(values.chunks_exact(head_dim)).map(of_head).collect()
    }
}

/// The weights of an image tower that make its readouts.
pub(crate) struct ReadoutWeights {
    pub(crate) heads: usize,
    /// `ln_post`, `[width]`.
    pub(crate) norm_weight: Vec<f32>,
    /// `[width]`.
    pub(crate) norm_bias: Vec<f32>,
    /// Output projection `P`, `[width, d]`.
    pub(crate) projection: Vec<f32>,
    /// Its bias, `[d]`, if it has one.
    pub(crate) projection_bias: Option<Vec<f32>>,
    /// Per layer `W_O`, `[heads·head_dim, width]`, and its bias `[width]`.
    pub(crate) output: Vec<(Vec<f32>, Vec<f32>)>,
    /// Of a tower that pools by attention.
    pub(crate) pool: Option<PoolWeights>,
}

/// Weights of attention pooling by which a head's values become a contribution.
#[derive(Debug)]
pub(crate) struct PoolWeights {
    /// Values of each of the probe's heads, `[width, head_dim]`.
    pub(crate) values: Vec<Vec<f32>>,
    /// Output projection, `[heads·head_dim, pooled width]`.
    pub(crate) output: Vec<f32>,
}

impl PoolWeights {
    /// Width of what comes out of tokens of so many numbers.
    fn pooled(&self, width: usize) -> usize {
        self.values.iter().map(Vec::len).sum::<usize>() / width
    }

    fn read(pool: &AttentionPool) -> Result<Self> {
        let (heads, head_dim) = (pool.attn.heads, pool.attn.head_dim);
        let pooled = heads * head_dim;
        let fused = read(pool.attn.in_proj.weight.val())?;
        // Keys stand before values.
        let of_head = |head: usize| -> Vec<f32> {
            let from = pooled + head * head_dim;
            fused.chunks_exact(2 * pooled).flat_map(|row| &row[from..from + head_dim]).copied().collect()
        };
        Ok(Self { values: (0..heads).map(of_head).collect(), output: read(pool.attn.out_proj.weight.val())? })
    }
}

impl ReadoutWeights {
    /// Reads `ln_post`, the projection and every block's output projection.
    pub(crate) fn read(tower: &BurnVisionTower) -> Result<Self> {
        let [width, _] = tower.proj.val().dims();
        let bias_of = |bias: Option<Tensor<1>>| bias.map_or_else(|| Ok(vec![0.0; width]), read);
        let output = |linear: &Linear| -> Result<_> {
            Ok((read(linear.weight.val())?, bias_of(linear.bias.as_ref().map(|bias| bias.val()))?))
        };
        let blocks = &tower.transformer.resblocks;
        Ok(Self {
            heads: blocks[0].attn.heads,
            norm_weight: read(tower.ln_post.gamma.val())?,
            norm_bias: bias_of(tower.ln_post.beta.as_ref().map(|bias| bias.val()))?,
            projection: read(tower.proj.val())?,
            projection_bias: tower.proj_bias.as_ref().map(|bias| read(bias.val())).transpose()?,
            output: blocks.iter().map(|block| output(&block.attn.out_proj)).collect::<Result<_>>()?,
            pool: tower.attn_pool.as_ref().map(PoolWeights::read).transpose()?,
        })
    }
}

impl ReadoutFolder {
    /// Reads the weights of a tower from its device.
    pub fn new(tower: &BurnVisionTower) -> Result<Self> {
        Ok(Self::of_weights(ReadoutWeights::read(tower)?))
    }

    pub(crate) fn of_weights(weights: ReadoutWeights) -> Self {
        let ReadoutWeights { heads, norm_weight, norm_bias, projection, projection_bias, output, pool } = weights;
        let width = norm_weight.len();
        let d = projection.len() / pool.as_ref().map_or(width, |pool| pool.pooled(width));
        let weighted_projection: Vec<f64> = projection
            .chunks_exact(d)
            .zip(&norm_weight)
            .flat_map(|(row, w)| row.iter().map(move |p| f64::from(*p) * f64::from(*w)))
            .collect();
        let unweighted: Vec<f64> = projection.iter().map(|p| f64::from(*p)).collect();
        let mut bias_readout = row_product(&norm_bias, &unweighted, d);
        // A bias of the projection is as constant as the norm's behind it.
        bias_readout.iter_mut().zip(projection_bias.iter().flatten()).for_each(|(sum, bias)| *sum += f64::from(*bias));
        Self {
            layers: output.len(),
            heads,
            head_dim: width / heads,
            width,
            d,
            weight_readout: row_product(&vec![1.0; width], &weighted_projection, d),
            bias_readout,
            weighted_projection,
            output,
            pooling: pool.map(|pool| Pooling { weights: pool, norm: norm_weight, projection }),
        }
    }

    /// Number of blocks.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Share of each head in the LayerNorm's mean and bias: `s = 1/((2L+1)·H)`.
    pub fn share(&self) -> f64 {
        1.0 / ((2 * self.layers + 1) as f64 * self.heads as f64)
    }

    /// Readouts of all heads of `layers`, layer by layer and head by head.
    pub fn readouts(&self, layers: &[usize]) -> Result<Vec<Readout>> {
        if let Some(&layer) = layers.iter().find(|layer| **layer >= self.layers) {
            return Err(ClipError::NoLayer { layer, last: self.layers - 1 });
        }
        let heads: Vec<HeadId> = HeadId::of_layers(layers, self.heads).collect();
        Ok(heads.into_par_iter().map(|head| self.readout(head)).collect())
    }

    fn readout(&self, id: HeadId) -> Readout {
        if self.pooling.is_some() {
            return identity(id, self.d);
        }
        let (layer, head) = (id.layer as usize, id.head as usize);
        let (weight, bias) = &self.output[layer];
        let columns = vector_length(self.head_dim);
        let share = self.share();
        let mut matrix = vec![0.0_f32; self.d * columns];
        for j in 0..self.head_dim {
            let from_head = &weight[(head * self.head_dim + j) * self.width..][..self.width];
            for (row, value) in row_product(from_head, &self.weighted_projection, self.d).into_iter().enumerate() {
                matrix[row * columns + j] = value as f32;
            }
        }
        let attention_bias = row_product(bias, &self.weighted_projection, self.d);
        for row in 0..self.d {
            // What each scalar is multiplied with.
            let factors = Scalars {
                inv_scale: attention_bias[row] / self.heads as f64,
                mean_scale: -share * self.weight_readout[row],
                inv_norm: share * self.bias_readout[row],
            };
            matrix[row * columns + self.head_dim..][..Scalars::COUNT].copy_from_slice(&factors.stored().to_array());
        }
        Readout { head: id, d: self.d, head_dim: self.head_dim, matrix }
    }

    /// What a direction, `[d]`, asks of the values of heads in a tower that pools by attention, each `[looks, head_dim]`: the part of a
    /// token in the direction's product with `|r|` times the contribution is `Σ_p β_p (g_p · v)`, with its attention β of each look p
    /// ([`HostTokens::attention`](crate::HostTokens)). None for any other tower, whose readouts tell it.
    pub fn token_directions(&self, heads: &[HeadId], direction: &[f32]) -> Result<Option<Vec<Vec<f32>>>> {
        let Some(pooling) = &self.pooling else { return Ok(None) };
        let to_tokens = pooling.to_tokens(direction);
        let of_head = |head: &HeadId| {
            let (layer, head) = (head.layer as usize, head.head as usize);
            let (weight, _) = self.output.get(layer).ok_or(ClipError::NoLayer { layer, last: self.layers - 1 })?;
            let rows = &weight[head * self.head_dim * self.width..][..self.head_dim * self.width];
            let dot = |row: &[f32], look: &[f64]| row.iter().zip(look).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let of_look = |look: &Vec<f64>| -> Vec<f32> {
                rows.chunks_exact(self.width).map(|row| dot(row, look) as f32).collect()
            };
            Ok(to_tokens.iter().flat_map(of_look).collect())
        };
        heads.iter().map(of_head).collect::<Result<_>>().map(Some)
    }

    /// Contribution of a whole attention layer of one image to `r/|r|`, `[d]`: `z` is that of all heads, already scaled by
    /// `1/(σ|r|)`, `[heads·head_dim]`. The sum of its heads' contributions, by another way.
    pub fn attention_contribution(&self, layer: usize, z: &[f32], scalars: Scalars<f64>) -> Result<Vec<f64>> {
        let (weight, bias) = self.output.get(layer).ok_or(ClipError::NoLayer { layer, last: self.layers - 1 })?;
        if self.pooling.is_some() {
            let sum = |at: usize| z.iter().skip(at).step_by(self.d).map(|c| f64::from(*c)).sum();
            return Ok((0..self.d).map(sum).collect());
        }
        let mut output = vec![0.0_f64; self.width];
        for (z, row) in z.iter().zip(weight.chunks_exact(self.width)) {
            for (sum, w) in output.iter_mut().zip(row) {
                *sum += f64::from(*z) * f64::from(*w);
            }
        }
        // Back to the residual stream's scale, in which components are given.
        let component: Vec<f32> =
            output.iter().zip(bias).map(|(o, b)| (o / scalars.inv_scale + f64::from(*b)) as f32).collect();
        Ok(self.component_contribution(&component, scalars))
    }

    /// Contribution of an MLP-side component of one image to `r/|r|`, `[d]`: `component` is the class token of the first
    /// block's input or of an MLP's output, `[width]`.
    pub fn component_contribution(&self, component: &[f32], scalars: Scalars<f64>) -> Vec<f64> {
        if self.pooling.is_some() {
            return component.iter().map(|own| f64::from(*own) * scalars.inv_norm).collect();
        }
        let share = self.share() * self.heads as f64;
        row_product(component, &self.weighted_projection, self.d)
            .into_iter()
            .zip(self.weight_readout.iter().zip(&self.bias_readout))
            .map(|(own, (weight, bias))| {
                own * scalars.inv_scale - share * weight * scalars.mean_scale + share * bias * scalars.inv_norm
            })
            .collect()
    }
}

/// A readout of what is a contribution already, with zeros for the scalars, `[d, d + 3]`.
fn identity(head: HeadId, d: usize) -> Readout {
    let columns = vector_length(d);
    let mut matrix = vec![0.0; d * columns];
    for row in 0..d {
        matrix[row * columns + row] = 1.0;
    }
    Readout { head, d, head_dim: d, matrix }
}

/// `rowᵀ M` in double precision; `row` is `[n]`, `matrix` `[n, columns]` row-major.
pub(crate) fn row_product(row: &[f32], matrix: &[f64], columns: usize) -> Vec<f64> {
    let mut product = vec![0.0; columns];
    for (factor, values) in row.iter().zip(matrix.chunks_exact(columns)) {
        let factor = f64::from(*factor);
        for (sum, value) in product.iter_mut().zip(values) {
            *sum += factor * value;
        }
    }
    product
}

/// Values of a tensor, row-major.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor
        .try_into_data()
        .map_err(|error| ClipError::Device { doing: "reading weights back", source: error.into() })?;
    data.try_into_vec::<f32>()
        .map_err(|error| ClipError::Device { doing: "reading weights back", source: error.into() })
}
