//! Which images a map is fitted on.

use crate::{
    error::{ExtractError, Result},
    sample::key,
};

/// Share of the images of a fit by which its penalty is chosen.
const VALIDATION: f64 = 0.2;

/// Fewest held-out images: a variance needs two.
pub(super) const LEAST_HELD_OUT: u64 = 2;

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The fit, whatever its penalty.
    Fit,
    /// The choice of the penalty, and then the fit.
    Validation,
    /// The figures alone.
    HeldOut,
}

impl Use {
    /// By the image's position in the data set alone, so that the split is the same in every fit.
    pub(super) fn of(image: u64, held_out: f64) -> Self {
        // Keys of keys: independent of the sample that a run keeps.
        let (one, other) = (key(key(image)), key(key(key(image))));
        if share(one) < held_out {
            Self::HeldOut
        } else if share(other) < VALIDATION {
            Self::Validation
        } else {
            Self::Fit
        }
    }
}

/// A key as a number from 0 to 1.
fn share(key: u64) -> f64 {
    (key >> 11) as f64 / (1_u64 << 53) as f64
}

/// Refuses a data set of which too few images would be left, before any is decoded.
pub(super) fn check(held_out: f64, images: u64, needed: u64) -> Result<()> {
    let (mut fitted, mut measured) = (0, 0);
    for image in 0..images {
        if fitted >= needed && measured >= LEAST_HELD_OUT {
            return Ok(());
        }
        if Use::of(image, held_out) == Use::HeldOut { measured += 1 } else { fitted += 1 }
    }
    enough([fitted, measured], needed)
}

/// Refuses too few images of a fit, or too few held-out ones.
pub(super) fn enough([fitted, held_out]: [u64; 2], needed: u64) -> Result<()> {
    let is_enough = fitted >= needed && held_out >= LEAST_HELD_OUT;
    is_enough.then_some(()).ok_or(ExtractError::TooFewImages { fitted, held_out, needed, least: LEAST_HELD_OUT })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 100,000 images, each share is met within five standard deviations.
    #[test]
    fn shares_are_met_and_independent_of_the_sample() {
        let all: Vec<(u64, Use)> = (0..100_000).map(|image| (image, Use::of(image, 0.25))).collect();
        let count = |wanted: Use| all.iter().filter(|(_, found)| *found == wanted).count() as f64;
        for (wanted, expected) in [(Use::HeldOut, 25_000.0), (Use::Validation, 15_000.0), (Use::Fit, 60_000.0)] {
            assert!((count(wanted) - expected).abs() < 700.0, "{wanted:?} {}", count(wanted));
        }
        let mut sampled: Vec<&(u64, Use)> = all.iter().collect();
        sampled.sort_by_key(|(image, _)| key(*image));
        let held_out = sampled[..10_000].iter().filter(|(_, found)| *found == Use::HeldOut).count();
        assert!((2_280..2_720).contains(&held_out), "{held_out}");
    }

    #[test]
    fn too_few_images_are_found_out_before_work() {
        assert!(check(0.2, 1_000_000_000_000, 768).is_ok(), "it does not look at all of them");
        let error = check(0.2, 50, 64).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("64"), "{error}");
        assert!(check(0.2, 2, 1).is_err() && check(0.2, 0, 0).is_err());
    }
}
