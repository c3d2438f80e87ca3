use headspan_headspace::{HeadId, Readout};
use headspan_model::ReadoutFolder;
use serde::Serialize;

use crate::{
    error::{ExploreError, Result},
    model::ImageTrace,
    neighbours::{dot, into_head},
    run::ExploreRun,
    selection::HeadSelection,
};

/// How much each token of an image contributes to a direction through some heads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenScores {
    /// Heads that were summed.
    pub heads: Vec<HeadId>,
    /// Patches along one side.
    pub grid: usize,
    /// Score of each patch, `[grid, grid]`, rows from the top.
    pub patches: Vec<f32>,
    /// Score of the tokens that stand nowhere in the picture: class token and registers.
    pub class_token: f32,
}

/// Maps of several directions on one scale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContrastiveMaps {
    /// A map for each direction.
    pub maps: Vec<TokenScores>,
    /// For each direction its map less the largest of the others, `[grid, grid]`: above zero where it wins.
    pub differences: Vec<Vec<f32>>,
    /// The largest absolute value of all differences: the one scale to show them on.
    pub scale: f32,
}

impl TokenScores {
    /// Sum over all tokens: the heads' contribution to the direction, `Σ_h t · c_h`.
    pub fn total(&self) -> f64 {
        f64::from(self.class_token) + self.patches.iter().map(|score| f64::from(*score)).sum::<f64>()
    }
}

/// Topic segmentation (arXiv 2409.06579, section 5): the score of token `n` for direction `t` is
/// `Σ_h attention_h[n] · v_n[h] · R_hᵀ t / (σ|r|)`, and its even share of the constant terms. In a tower that pools by attention it is
/// `Σ_h Σ_p β_hp[n] · v_n[h] · g_hp / |r|` (`docs/mathematics.md`). `direction` is `[d]`: a text's
/// embedding, or what a neighbour is made of. The image must have been traced with the layers of the selection.
pub fn segment(run: &ExploreRun, trace: &ImageTrace, heads: &HeadSelection, direction: &[f32]) -> Result<TokenScores> {
    let heads = run.resolve(heads)?;
    let d = run.d();
    if direction.len() != d || direction.iter().any(|value| !value.is_finite()) {
        let found = format!("{} numbers", direction.len());
        return Err(ExploreError::Invalid { what: "the direction", found, expected: format!("{d} finite numbers") });
    }
    let readouts = heads.iter().map(|head| run.readout(*head)).collect::<Result<Vec<_>>>()?;
    let (patches, class_token) = token_scores(&heads, &readouts, trace, direction)?;
    Ok(TokenScores { heads, grid: trace.grid, patches, class_token })
}

/// Scores of the patches, and of the other tokens together, for a direction `[d]` through heads, each with its readout.
pub(crate) fn token_scores(
    heads: &[HeadId],
    readouts: &[&Readout],
    trace: &ImageTrace,
    direction: &[f32],
) -> Result<(Vec<f32>, f32)> {
    let mut scores = vec![0.0_f64; trace.grid * trace.grid + trace.prefix];
    match &trace.folder {
        Some(folder) => add_pooled(folder, heads, trace, direction, &mut scores)?,
        None => add_read(heads, readouts, trace, direction, &mut scores)?,
    }
    let (elsewhere, patches) = scores.split_at(trace.prefix);
    Ok((patches.iter().map(|score| *score as f32).collect(), elsewhere.iter().sum::<f64>() as f32))
}

/// Adds the tokens' scores through the heads' readouts.
fn add_read(
    heads: &[HeadId],
    readouts: &[&Readout],
    trace: &ImageTrace,
    direction: &[f32],
    scores: &mut [f64],
) -> Result<()> {
    let direction: Vec<f64> = direction.iter().map(|value| f64::from(*value)).collect();
    for (head, readout) in heads.iter().zip(readouts) {
        let into_head = into_head(readout, &direction, 1.0);
        let (weights, constants) = into_head.split_at(readout.head_dim);
        let layer = trace.layer(head.layer)?;
        let row = head.head as usize * layer.tokens;
        let attention = &layer.attention[row..][..layer.tokens];
        let values = &layer.values[row * layer.head_dim..][..layer.tokens * layer.head_dim];
        let constant: f64 =
            constants.iter().zip(trace.scalars.to_array()).map(|(weight, s)| f64::from(weight * s)).sum();
        let share = constant / layer.tokens as f64;
        for ((score, attention), value) in scores.iter_mut().zip(attention).zip(values.chunks_exact(layer.head_dim)) {
            *score += f64::from(attention * trace.scalars.inv_scale * dot(value, weights)) + share;
        }
    }
    Ok(())
}

/// Adds the tokens' scores in a tower that pools by attention.
fn add_pooled(
    folder: &ReadoutFolder,
    heads: &[HeadId],
    trace: &ImageTrace,
    direction: &[f32],
    scores: &mut [f64],
) -> Result<()> {
    let asked = folder.token_directions(heads, direction)?.unwrap_or_default();
    for (head, asked) in heads.iter().zip(&asked) {
        let layer = trace.layer(head.layer)?;
        let (head_dim, tokens, looks) = (layer.head_dim, layer.tokens, layer.looks());
        let values = &layer.values[head.head as usize * tokens * head_dim..][..tokens * head_dim];
        let attention = &layer.attention[head.head as usize * looks * tokens..][..looks * tokens];
        let mut own = vec![0.0_f64; tokens];
        for (attention, asked) in attention.chunks_exact(tokens).zip(asked.chunks_exact(head_dim)) {
            for ((score, attention), value) in own.iter_mut().zip(attention).zip(values.chunks_exact(head_dim)) {
                *score += f64::from(attention * trace.scalars.inv_norm * dot(value, asked));
            }
        }
        // What a head gives whatever its values are is the rest of its contribution.
        let whole: f64 = trace.head(*head)?.iter().zip(direction).map(|(c, t)| f64::from(*c) * f64::from(*t)).sum();
        let share = (whole - own.iter().sum::<f64>()) / tokens as f64;
        scores.iter_mut().zip(own).for_each(|(score, own)| *score += own + share);
    }
    Ok(())
}

/// Contrastive segmentation: a map for each direction, and where it is ahead of all the others.
pub fn contrast(
    run: &ExploreRun,
    trace: &ImageTrace,
    heads: &HeadSelection,
    directions: &[&[f32]],
) -> Result<ContrastiveMaps> {
    if directions.len() < 2 {
        let found = directions.len().to_string();
        return Err(ExploreError::Invalid { what: "texts to contrast", found, expected: "two or more".to_owned() });
    }
    let maps = directions.iter().map(|direction| segment(run, trace, heads, direction)).collect::<Result<Vec<_>>>()?;
    let against = |own: usize, patch: usize| {
        let others = maps.iter().enumerate().filter(|(index, _)| *index != own);
        others.map(|(_, map)| map.patches[patch]).fold(f32::NEG_INFINITY, f32::max)
    };
    let differences: Vec<Vec<f32>> = maps
        .iter()
        .enumerate()
        .map(|(own, map)| map.patches.iter().enumerate().map(|(patch, score)| score - against(own, patch)).collect())
        .collect();
    let scale = differences.iter().flatten().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    Ok(ContrastiveMaps { maps, differences, scale })
}

impl ExploreRun {
    /// Why an image is near a query: its mean contribution under the heads, divided by their number, so that
    /// [`segment`]ing the query with it gives the patches' parts of the dot product.
    pub fn reason(&self, image: u64, heads: &HeadSelection) -> Result<Vec<f32>> {
        let heads = self.resolve(heads)?;
        let direction = self.direction(crate::neighbours::Query::Image(image), &heads)?;
        Ok(direction.iter().map(|value| (value / heads.len() as f64) as f32).collect())
    }
}
