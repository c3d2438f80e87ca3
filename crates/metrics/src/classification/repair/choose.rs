//! Heads that are chosen by what they do on one half of the images.

use faer::Mat;
use headspan_headspace::product;

use crate::classification::{
    Replacement,
    error::Result,
    repair::judge::{Counts, Half, Judge},
    scores::wide,
    trials::Trial,
};

/// Greedily, at most `most` heads: each time the one whose removal, with those before it, raises the accuracy of the worst group most, of equal ones
/// the one that leaves most of the accuracy of all images. Stops where none raises it. Each with the accuracy of the worst group, over the half that
/// gives choices.
pub(super) fn by_ablation(judge: &Judge, replacement: Replacement, most: usize) -> Result<Vec<(usize, f64)>> {
    let heads = judge.heads().len();
    let mut chosen: Vec<(usize, f64)> = Vec::new();
    let mut worst = judge.counts(Half::Choice, &[Trial::nothing()])?.first().map_or(1.0, Counts::worst_share);
    while chosen.len() < most.min(heads.saturating_sub(1)) {
        let own: Vec<usize> = chosen.iter().map(|(head, _)| *head).collect();
        let others: Vec<usize> = (0..heads).filter(|head| !own.contains(head)).collect();
        let with = |head: &usize| Trial::of_heads(own.iter().copied().chain([*head]).collect(), replacement);
        let trials: Vec<Trial> = others.iter().map(with).collect();
        let counts = judge.counts(Half::Choice, &trials)?;
        let key = |at: usize| (counts[at].worst_share(), counts[at].all.share());
        let better = |best: usize, at: usize| if key(at) > key(best) { at } else { best };
        let Some(best) = (0..others.len()).reduce(better) else { break };
        if key(best).0 <= worst {
            break;
        }
        worst = key(best).0;
        chosen.push((others[best], worst));
    }
    Ok(chosen)
}

/// The `count` heads whose outputs vary most along the directions `t` of a cue from image to image, each with its standard deviation there,
/// `√(Σ_t tᵀ B Σ Bᵀ t / Σ_t t·t)`, the largest first. Σ is the covariance of `u` over the half that gives choices.
pub(super) fn by_text(judge: &Judge, directions: &[Vec<f32>], count: usize) -> Vec<(usize, f64)> {
    let length: f64 = directions.iter().flatten().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let d = directions.first().map_or(1, Vec::len);
    let cue: Mat<f64> = wide(&directions.concat(), d);
    let mut found: Vec<(usize, f64)> = judge
        .outputs()
        .map(|(readout, moments)| {
            let along = product(cue.as_ref(), wide(&readout.matrix, readout.columns()).as_ref());
            let varied = product(along.as_ref(), moments.covariance().as_ref());
            let entry = |row: usize, at: usize| varied[(row, at)] * along[(row, at)];
            let sum: f64 = (0..along.nrows()).flat_map(|row| (0..along.ncols()).map(move |at| entry(row, at))).sum();
            (sum.max(0.0) / length.max(f64::MIN_POSITIVE)).sqrt()
        })
        .enumerate()
        .collect();
    // Heads of one standard deviation stay in their order.
    found.sort_by(|one, other| other.1.total_cmp(&one.1));
    found.truncate(count);
    found
}
