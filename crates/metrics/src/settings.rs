use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// How scores are computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Texts of a head that are looked at, `k`.
    pub texts: usize,
    /// Consistent texts from which a head counts as associated, `t`. At least 3 of 5 fits the published counts best.
    pub association_threshold: usize,
    /// Resamples of the heads for the intervals.
    pub bootstrap_samples: usize,
    /// Random labellings for the null of entanglement.
    pub permutations: usize,
    /// Share of the resamples inside an interval, between 0 and 1.
    #[serde(deserialize_with = "share")]
    pub confidence: f64,
    /// Seed of both draws.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            texts: 5,
            association_threshold: 3,
            bootstrap_samples: 2000,
            permutations: 2000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(from)?;
    let inside = share > 0.0 && share < 1.0;
    if inside { Ok(share) } else { Err(D::Error::custom(format!("{share} is not between 0 and 1"))) }
}
