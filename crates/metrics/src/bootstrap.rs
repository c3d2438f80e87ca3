use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    association::{HeadConsistency, JudgedHead},
    settings::Settings,
};

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

/// Interval of a share over heads and judges: heads are drawn with replacement, as for [`interval_within`], and for each draw one judge, whose
/// judgements stand for the labeller's. Where several language models judged each text, one of them is drawn for each text. The draws of heads are those of
/// [`interval_within`], so that with one judge the interval is the same.
pub(crate) fn interval_of_judges(
    heads: &[JudgedHead],
    settings: &Settings,
    figure: impl Fn(&[HeadConsistency]) -> Option<f64>,
) -> Option<(f64, f64)> {
    if heads.len() < 2 || settings.bootstrap_samples == 0 {
        return None;
    }
    let judges = 1 + heads[0].others.len();
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    // A stream of its own, so that the draws of heads do not depend on how many judges there are.
    let mut judging = ChaCha8Rng::seed_from_u64(settings.seed);
    judging.set_stream(2);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::new(); judges];
    let mut of_one_judge_a_text: Vec<Vec<f64>> = vec![Vec::new(); judges];
    for _ in 0..settings.bootstrap_samples {
        let chosen: Vec<&JudgedHead> = (0..heads.len()).map(|_| &heads[random.random_range(0..heads.len())]).collect();
        let judge = if judges > 1 { judging.random_range(0..judges) } else { 0 };
        let by: Vec<HeadConsistency> = chosen.iter().map(|head| head.by(judge)).collect();
        let Some(value) = figure(&by) else { continue };
        drawn[judge].push(value);
        let dissents = judge == 0 && chosen.iter().any(|head| head.dissent > 0.0);
        let mut one_each = || chosen.iter().map(|head| one_judge(head, &mut judging)).collect::<Vec<_>>();
        of_one_judge_a_text[judge].extend(if dissents { figure(&one_each()) } else { Some(value) });
    }
    let value = figure(&heads.iter().map(|head| head.own).collect::<Vec<_>>())?;
    let mut interval = (value, value);
    // One judge a text also draws heads together, which narrows what heads differ by: the interval holds both ways.
    for way in [&drawn, &of_one_judge_a_text] {
        let mut values = Vec::with_capacity(settings.bootstrap_samples);
        for (judge, (of_judge, drawn)) in drawn.iter().zip(way).enumerate() {
            // Each judge's draws are centred on the judge's own figure: what is left of the shift is the judges' disagreement.
            let whole = figure(&heads.iter().map(|head| head.by(judge)).collect::<Vec<_>>())?;
            let shift = whole - of_judge.iter().sum::<f64>() / of_judge.len().max(1) as f64;
            values.extend(drawn.iter().map(|drawn| drawn + shift));
        }
        let (low, high) = percentiles(&mut values, settings.confidence)?;
        interval = (interval.0.min(low.clamp(0.0, 1.0)), interval.1.max(high.clamp(0.0, 1.0)));
    }
    Some(interval)
}

/// The head's texts, each by one of the labeller's judges: it sides with the others with the share of those who did.
fn one_judge(head: &JudgedHead, random: &mut ChaCha8Rng) -> HeadConsistency {
    let HeadConsistency { consistent, judged } = head.own;
    let mut turned = |texts: usize| (0..texts).filter(|_| random.random_bool(head.dissent)).count();
    let (lost, won) = (turned(consistent), turned(judged - consistent));
    HeadConsistency { consistent: consistent - lost + won, judged }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::{associated_heads, mean_consistency};

    fn heads(others: &[[usize; 8]], dissent: f64) -> Vec<JudgedHead> {
        let of = |consistent| HeadConsistency { consistent, judged: 5 };
        let own = [5, 4, 3, 2, 5, 1, 0, 3];
        let head = |at: usize| {
            let others = others.iter().map(|judge| of(judge[at])).collect();
            JudgedHead { own: of(own[at]), others, dissent }
        };
        (0..own.len()).map(head).collect()
    }

    fn width(interval: Option<(f64, f64)>) -> f64 {
        interval.map_or(0.0, |(low, high)| high - low)
    }

    #[test]
    fn one_judge_leaves_the_interval_as_it_is() {
        let settings = Settings::default();
        let alone: Vec<HeadConsistency> = heads(&[], 0.0).iter().map(|head| head.own).collect();
        let associated = |heads: &[HeadConsistency]| associated_heads(heads, 3);
        let one = heads(&[], 0.0);
        assert_eq!(interval_of_judges(&one, &settings, associated), interval(&alone, &settings, associated));
        let (judged, plain) =
            (interval_of_judges(&one, &settings, mean_consistency), interval(&alone, &settings, mean_consistency));
        assert_eq!(judged, plain);
    }

    #[test]
    fn judges_who_disagree_widen_the_interval() {
        let settings = Settings::default();
        let agreed = width(interval_of_judges(&heads(&[[5, 4, 3, 2, 5, 1, 0, 3]], 0.0), &settings, mean_consistency));
        let strict = interval_of_judges(&heads(&[[0; 8]], 0.0), &settings, mean_consistency);
        assert!(width(strict) > agreed + 0.1, "{strict:?} and {agreed}");
        assert!(strict.is_some_and(|(low, high)| low == 0.0 && high >= 23.0 / 40.0), "{strict:?}");
        // Where heads do not differ, the judges of a text are all that an interval is made of; where heads do, it gets no narrower by them.
        let unanimous = |dissent| -> Vec<JudgedHead> {
            let own = HeadConsistency { consistent: 5, judged: 5 };
            (0..8).map(|_| JudgedHead { own, others: Vec::new(), dissent }).collect()
        };
        let of = |heads: &[JudgedHead]| width(interval_of_judges(heads, &settings, mean_consistency));
        assert!(of(&unanimous(0.0)) < 1e-12 && of(&unanimous(0.33)) > 0.1);
        assert!(of(&heads(&[], 0.33)) >= of(&heads(&[], 0.0)));
    }
}
