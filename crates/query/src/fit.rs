use headspan_headspace::HeadId;
use serde::Serialize;

use crate::run::ExploreRun;

/// How well the first texts of a head fit its property.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadFit {
    /// Texts that fit.
    pub consistent: usize,
    /// Texts that were judged.
    pub judged: usize,
    /// Share of the variance along the judged texts that lies along those that fit, 0 to 1: a text of a hundredth of the variance
    /// counts for little.
    pub share: f64,
}

impl HeadFit {
    /// From judgements and the variance shares of the texts, in the order of picks; none if nothing was judged.
    fn new(judgements: &[Option<bool>], shares: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut consistent, mut judged, mut fitting, mut all) = (0_u32, 0_u32, 0.0, 0.0);
        for (fits, share) in judgements.iter().zip(shares.chain(std::iter::repeat(0.0))) {
            let Some(fits) = *fits else { continue };
            judged += 1;
            all += share;
            if fits {
                consistent += 1;
                fitting += share;
            }
        }
        let share = if all > 0.0 { fitting / all } else { f64::from(consistent) / f64::from(judged.max(1)) };
        (judged > 0).then_some(Self { consistent: consistent as usize, judged: judged as usize, share })
    }
}

impl ExploreRun {
    /// How well a head's first texts fit its property; none without a label or judgements.
    pub fn fit(&self, head: HeadId) -> Option<HeadFit> {
        let shares = self.textspan(head).iter().map(|pick| pick.variance_share);
        HeadFit::new(&self.label(head)?.consistent, shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_count_by_their_variance() {
        let fit = HeadFit::new(&[Some(true), Some(false), None, Some(true)], [0.6, 0.2, 0.1, 0.2].into_iter());
        let fit = fit.map(|fit| (fit.consistent, fit.judged, (100.0 * fit.share).round()));
        assert_eq!(fit, Some((2, 3, 80.0)));
        assert_eq!(HeadFit::new(&[None], [0.5].into_iter()), None);
        let without = HeadFit::new(&[Some(true), Some(false)], std::iter::empty());
        assert_eq!(without.map(|fit| fit.share), Some(0.5), "without shares each text counts as one");
    }
}
