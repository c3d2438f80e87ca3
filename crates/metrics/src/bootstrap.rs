use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::settings::Settings;

/// Percentile interval of a share over heads drawn with replacement ([`interval_within`]).
pub(crate) fn interval<T: Clone>(
    heads: &[T],
    settings: &Settings,
    figure: impl Fn(&[T]) -> Option<f64>,
) -> Option<(f64, f64)> {
    interval_within((0.0, 1.0), heads, settings, figure)
}

/// Percentile interval of a figure with these bounds over heads drawn with replacement, centred on the figure itself: a resample holds some
/// heads twice, which repeats their properties and shifts every figure of entanglement upwards. For a mean the shift is
/// nought but for the draw. The draw depends on the seed and on nothing else.
pub(crate) fn interval_within<T: Clone>(
    (least, most): (f64, f64),
    heads: &[T],
    settings: &Settings,
    figure: impl Fn(&[T]) -> Option<f64>,
) -> Option<(f64, f64)> {
    if heads.len() < 2 || settings.bootstrap_samples == 0 {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut values = Vec::with_capacity(settings.bootstrap_samples);
    let mut resample = Vec::with_capacity(heads.len());
    for _ in 0..settings.bootstrap_samples {
        resample.clear();
        resample.extend((0..heads.len()).map(|_| heads[random.random_range(0..heads.len())].clone()));
        values.extend(figure(&resample));
    }
    let value = figure(heads)?;
    let shift = value - values.iter().sum::<f64>() / values.len() as f64;
    let (low, high) = percentiles(&mut values, settings.confidence)?;
    let centred = |bound: f64| (bound + shift).clamp(least, most);
    Some((centred(low).min(value), centred(high).max(value)))
}

/// The bounds between which this share of the values lies; none without values.
pub(crate) fn percentiles(values: &mut [f64], confidence: f64) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let outside = (1.0 - confidence) / 2.0;
    let at = |share: f64| values.get(((values.len().max(1) - 1) as f64 * share).round() as usize).copied();
    Some((at(outside)?, at(1.0 - outside)?))
}

/// Mean and standard deviation of a figure over labels drawn at random from `pool`, for `heads` heads.
pub(crate) fn null(
    pool: &[u32],
    heads: usize,
    settings: &Settings,
    figure: impl Fn(&[u32]) -> Option<f64>,
) -> Option<(f64, f64)> {
    if pool.is_empty() || settings.permutations < 2 {
        return None;
    }
    // Another stream than the bootstrap's, or the two would be correlated.
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    random.set_stream(1);
    let mut values = Vec::with_capacity(settings.permutations);
    for _ in 0..settings.permutations {
        let drawn: Vec<u32> = (0..heads).map(|_| pool[random.random_range(0..pool.len())]).collect();
        values.push(figure(&drawn)?);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some((mean, variance.sqrt()))
}
