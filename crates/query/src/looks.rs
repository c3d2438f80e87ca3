//! Where heads look in an image, whatever they find there.

use headspan_headspace::HeadId;
use serde::Serialize;

use crate::{
    error::Result,
    model::ImageTrace,
    neighbours::{dot, factor},
    run::ExploreRun,
    selection::HeadSelection,
};

/// Attention and what comes of it, by patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Looks {
    /// The heads, over which attention is a mean and what is added a sum of lengths.
    pub heads: Vec<HeadId>,
    /// Patches along one side.
    pub grid: usize,
    /// Attention to each patch, `[grid, grid]`, rows from the top: of the class token, or of what a tower without one pools.
    pub attention: Vec<f32>,
    /// Attention to the tokens that stand nowhere in the picture; all attention together is 1.
    pub elsewhere: f32,
    /// Share of each patch in what the tokens add: the length of attention times value in the joint embedding, `[grid, grid]`. A patch that
    /// is looked at adds little if its value is short.
    pub added: Vec<f32>,
    /// Share of the tokens that stand nowhere in the picture.
    pub added_elsewhere: f32,
}

/// Where the heads of a selection look in an image that was traced with their layers. An error for a tower that pools by attention, whose heads
/// are looked at by several.
pub fn looks(run: &ExploreRun, trace: &ImageTrace, heads: &HeadSelection) -> Result<Looks> {
    let heads = run.resolve(heads)?;
    let (grid, prefix) = (trace.grid(), trace.prefix);
    let tokens = grid * grid + prefix;
    let (mut attention, mut lengths) = (vec![0.0_f64; tokens], vec![0.0_f64; tokens]);
    for head in &heads {
        let readout = run.readout(*head)?;
        let factor = factor(readout, readout.head_dim);
        let factor: Vec<f32> =
            factor.row_iter().flat_map(|row| row.iter().map(|value| *value as f32).collect::<Vec<_>>()).collect();
        for token in 0..tokens {
            let (weight, value, scalars) = trace.token(*head, token)?;
            attention[token] += f64::from(weight) / heads.len() as f64;
            let square: f32 = factor.chunks_exact(value.len()).map(|row| dot(row, value).powi(2)).sum();
            lengths[token] += f64::from(weight * scalars.inv_scale).abs() * f64::from(square).sqrt();
        }
    }
    let all: f64 = lengths.iter().sum();
    let share = |values: &[f64], whole: f64| -> (Vec<f32>, f32) {
        let part = |value: &f64| if whole > 0.0 { (value / whole) as f32 } else { 0.0 };
        let (elsewhere, patches) = values.split_at(prefix);
        (patches.iter().map(part).collect(), elsewhere.iter().map(part).sum())
    };
    let ((attention, elsewhere), (added, added_elsewhere)) = (share(&attention, 1.0), share(&lengths, all));
    Ok(Looks { heads, grid, attention, elsewhere, added, added_elsewhere })
}
