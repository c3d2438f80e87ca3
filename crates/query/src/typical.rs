use headspan_headspace::Readout;

use crate::{
    baseline::Subtraction, error::Result, model::ImageTrace, run::ExploreRun, segmentation::token_scores,
    selection::HeadSelection,
};

/// Texts of the pool that a map is held against, at even steps.
const TYPICAL: usize = 16;

/// Root mean square of the scores of an image's patches for texts of the run's pool, each less what is subtracted: the unit in which
/// people can read a map's scores. A map whose scores are about one says no more than that of any text.
pub fn typical_score(
    run: &ExploreRun,
    trace: &ImageTrace,
    heads: &HeadSelection,
    subtraction: &Subtraction,
) -> Result<f32> {
    let (heads, pool) = (run.resolve(heads)?, run.pool()?);
    let readouts = heads.iter().map(|head| run.readout(*head)).collect::<Result<Vec<&Readout>>>()?;
    let step = pool.texts().len().div_ceil(TYPICAL).max(1);
    let (mut squares, mut count) = (0.0_f64, 0_usize);
    for text in (0..pool.texts().len()).step_by(step).filter_map(|text| pool.embedding(text)) {
        let (patches, _elsewhere) = token_scores(&heads, &readouts, trace, &subtraction.of(text))?;
        squares += patches.iter().map(|score| f64::from(*score).powi(2)).sum::<f64>();
        count += patches.len();
    }
    Ok((squares / count.max(1) as f64).sqrt() as f32)
}
