//! From the tokens after the last block to the representation, and what the decomposition needs of it.

use super::{
    blocks::Kept,
    rows::{Norm, Normalise},
    tower::{Passed, Tower, project_normed},
};
use crate::trace::HostTokens;

/// The tokens' shares in what is pooled of one image.
struct Shares {
    /// They sum to one, `[tokens]`.
    shares: Vec<f32>,
    /// `Σ 1/σ` and `Σ m/σ` of the tokens, each divided by the number of pooled ones.
    scales: Option<[f64; 2]>,
}

impl Tower {
    /// Pools the tokens of some images after the last block, `[images, tokens, width]`, and in the same way everything that their sum
    /// is made of.
    pub(super) fn pool_means(&self, rows: &[f32], kept: Kept, norm_first: bool) -> Passed {
        let (tokens, width) = (self.tokens(), self.width());
        let images = rows.chunks_exact(tokens * width);
        let shares: Vec<Shares> = images.map(|rows| self.shares(rows, norm_first)).collect();
        let pooled = |values: &[f32]| -> Vec<f32> {
            let length = values.len() / shares.len().max(1);
            let images = values.chunks_exact(length.max(1)).zip(&shares);
            images.flat_map(|(values, shares)| weighted(values, &shares.shares)).collect()
        };
        let residual = pooled(rows);
        let normed = if norm_first { self.normed_means(rows) } else { normalised(&residual, &self.ln_post, self) };
        let mut mean_attention = kept.mean_attention;
        if let Some(last) = mean_attention.last_mut() {
            *last = pooled(last);
        }
        let tokens = kept.tokens.into_iter().map(|layer| pool_attention(layer, &shares)).collect();
        Passed {
            representation: project_normed(&normed, &self.projection, self.projection_bias.as_deref()),
            residual,
            scales: shares.iter().filter_map(|shares| shares.scales).collect(),
            kept: Kept {
                z: kept.z.iter().map(|z| pooled(z)).collect(),
                components: kept.components.iter().map(|component| pooled(component)).collect(),
                tokens,
                mean_attention,
            },
        }
    }

    /// One over the number of pooled tokens for each of them, zero for the others.
    fn even_shares(&self) -> Vec<f32> {
        let (tokens, skipped) = (self.tokens(), self.pooling.skipped(self.prefix));
        let share = 1.0 / (tokens - skipped) as f32;
        (0..tokens).map(|token| if token < skipped { 0.0 } else { share }).collect()
    }

    /// Of one image's tokens, `[tokens, width]`.
    fn shares(&self, rows: &[f32], norm_first: bool) -> Shares {
        let even = self.even_shares();
        if !norm_first {
            return Shares { shares: even, scales: None };
        }
        let moments = rows.chunks_exact(self.width()).map(|row| moments(row, self.ln_post.epsilon));
        let weighed: Vec<[f64; 2]> = moments
            .zip(&even)
            .map(|([mean, inv_sigma], share)| [inv_sigma * f64::from(*share), mean * inv_sigma * f64::from(*share)])
            .collect();
        let scales = weighed.iter().fold([0.0, 0.0], |[sum, means], [weight, mean]| [sum + weight, means + mean]);
        let shares = weighed.iter().map(|[weight, _]| (weight / scales[0]) as f32).collect();
        Shares { shares, scales: Some(scales) }
    }

    /// Mean of the normalised tokens of each image, `[images, width]`.
    fn normed_means(&self, rows: &[f32]) -> Vec<f32> {
        let (normed, even) = (normalised(rows, &self.ln_post, self), self.even_shares());
        normed.chunks_exact(self.tokens() * self.width()).flat_map(|image| weighted(image, &even)).collect()
    }
}

/// Mean and `1/σ` of a row.
pub(super) fn moments(row: &[f32], epsilon: f32) -> [f64; 2] {
    let count = row.len() as f64;
    let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    [mean, 1.0 / (variance + f64::from(epsilon)).sqrt()]
}

fn normalised(rows: &[f32], norm: &Norm, tower: &Tower) -> Vec<f32> {
    let mut normed = vec![0.0; rows.len()];
    Normalise { input: rows, output: &mut normed, norm }.run(tower.blocks.arch, 1);
    normed
}

/// `Σ share · row`, of rows `[tokens, …]`.
fn weighted(rows: &[f32], shares: &[f32]) -> Vec<f32> {
    let width = rows.len() / shares.len();
    let mut sum = vec![0.0_f64; width];
    for (row, share) in rows.chunks_exact(width).zip(shares) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*share) * f64::from(*value));
    }
    sum.into_iter().map(|sum| sum as f32).collect()
}

/// Attention of all queries, `[images, heads, tokens, tokens]`, to that of what is pooled, `[images, heads, tokens]`.
fn pool_attention(layer: HostTokens, shares: &[Shares]) -> HostTokens {
    let of_image = layer.attention.len() / shares.len().max(1);
    let square = layer.tokens * layer.tokens;
    let images = layer.attention.chunks_exact(of_image.max(1)).zip(shares);
    let attention = images
        .flat_map(|(heads, shares)| heads.chunks_exact(square).flat_map(|head| weighted(head, &shares.shares)))
        .collect();
    HostTokens { attention, ..layer }
}
