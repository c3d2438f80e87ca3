use std::path::Path;

use headspan_artifacts::{ArtifactError, RunDirectory, write_atomic};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How fast a process extracted images, reading and decoding included. Each process leaves it in its run when it ends, so that the next
/// submission can be cut by time. Of several processes the last one counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Images that it extracted or skipped.
    pub images: u64,
    /// Seconds that it took, without loading the model.
    pub seconds: f64,
    /// Where the model ran: `cpu`, `cuda:0`, `wgpu:1`.
    pub device: String,
}

impl Rate {
    /// Images a second.
    pub fn per_second(&self) -> f64 {
        self.images as f64 / self.seconds
    }

    /// Leaves it in the run.
    pub fn note(&self, run: &RunDirectory) -> Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(write_atomic(&run.rate_record(), &bytes)?)
    }

    /// The rate of a run, or else of the same model over other images below `runs`; on GPUs, or on processors.
    pub fn of(runs: &Path, run: &RunDirectory, on_gpus: bool) -> Result<Option<Self>> {
        if let Some(own) = Self::read(run)?.filter(|rate| rate.is_on_gpu() == on_gpus) {
            return Ok(Some(own));
        }
        let Rates { on_processors, on_gpus: fast } = Rates::elsewhere(runs, run)?;
        Ok(if on_gpus { fast } else { on_processors })
    }

    fn is_on_gpu(&self) -> bool {
        self.device != "cpu"
    }

    fn read(run: &RunDirectory) -> Result<Option<Self>> {
        let path = run.rate_record();
        let Some(bytes) = run.read(&path)? else { return Ok(None) };
        let rate: Self = serde_json::from_slice(&bytes).map_err(|source| ArtifactError::Record { path, source })?;
        Ok(Some(rate).filter(|rate| rate.images > 0 && rate.seconds > 0.0))
    }

    /// Number of shards of whole parts that take about so many minutes each.
    pub fn shards(&self, images: u64, part_rows: u64, minutes: f64) -> u64 {
        let rows = part_rows.max(1);
        let parts_of_shard = (self.per_second() * 60.0 * minutes / rows as f64).max(1.0) as u64;
        images.div_ceil(rows).div_ceil(parts_of_shard).max(1)
    }
}

/// The rates of a model, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    /// On processors.
    pub on_processors: Option<Rate>,
    /// On GPUs.
    pub on_gpus: Option<Rate>,
}

impl Rates {
    /// Those that a plan shows: that of the run, or, if it has none, those of the same model over other images.
    pub fn known(runs: &Path, run: &RunDirectory) -> Result<Self> {
        let Some(own) = Rate::read(run)? else { return Self::elsewhere(runs, run) };
        let mut rates = Self::default();
        rates.fill(own);
        Ok(rates)
    }

    /// Those of the same model over other images, the first of each.
    fn elsewhere(runs: &Path, run: &RunDirectory) -> Result<Self> {
        let mut rates = Self::default();
        for other in RunDirectory::list(runs, None)? {
            if other.id().model() == run.id().model()
                && let Some(rate) = Rate::read(&other)?
            {
                rates.fill(rate);
            }
        }
        Ok(rates)
    }

    fn fill(&mut self, rate: Rate) {
        let kind = if rate.is_on_gpu() { &mut self.on_gpus } else { &mut self.on_processors };
        kind.get_or_insert(rate);
    }
}

/// How many shards an extraction is cut into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ShardCount {
    /// So many.
    Exactly(u64),
    /// Shards that take about so many minutes each, by the rate that was measured last: on GPUs, or on processors.
    OfMinutes {
        /// Minutes of a shard.
        minutes: f64,
        /// Whether tasks have GPUs.
        on_gpus: bool,
    },
    /// Shards that read about so many bytes each.
    OfBytes(u64),
}

/// Number of shards that read about `limit` bytes each of `bytes`, none with less than a part.
pub(crate) fn shards_of_bytes(bytes: u64, limit: u64, parts: u64) -> u64 {
    bytes.div_ceil(limit.max(1)).clamp(1, parts.max(1))
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::RunId;

    use super::*;

    fn rate(images: u64, seconds: f64, device: &str) -> Rate {
        Rate { images, seconds, device: device.to_owned() }
    }

    #[test]
    fn shards_are_whole_parts_of_about_the_time() {
        // 100 images a second: 18,000 in three minutes, which are 17 parts of 1,024.
        let measured = rate(1_000, 10.0, "cpu");
        assert_eq!(measured.shards(1_000_000, 1_024, 3.0), 977_u64.div_ceil(17));
        // A part is the least, and an empty data set is a shard.
        assert_eq!(measured.shards(10_000, 1_024, 0.001), 10);
        assert_eq!(measured.shards(0, 1_024, 3.0), 1);
        assert_eq!(measured.shards(10_000, 1_024, 1e9), 1);
    }

    #[test]
    fn shards_of_bytes_have_a_part_at_least() {
        assert_eq!(shards_of_bytes(1_000, 300, 100), 4);
        assert_eq!(shards_of_bytes(1_000, 1, 7), 7);
        assert_eq!((shards_of_bytes(0, 300, 100), shards_of_bytes(1_000, 2_000, 0)), (1, 1));
    }

    #[test]
    fn the_rate_of_the_run_comes_first_then_that_of_the_model_elsewhere() -> Result<()> {
        let root = tempfile::tempdir()?;
        let run = |dataset: &str, model: &str| RunDirectory::create(root.path(), &RunId::new(dataset, model)?);
        let (own, other) = (run("d", "m")?, run("a", "m")?);
        rate(9, 1.0, "cpu").note(&run("b", "another")?)?;
        assert_eq!(Rate::of(root.path(), &own, false)?, None);
        rate(7, 1.0, "cpu").note(&other)?;
        assert_eq!(Rate::of(root.path(), &own, false)?, Some(rate(7, 1.0, "cpu")));
        assert_eq!(Rate::of(root.path(), &own, true)?, None);
        rate(5, 1.0, "cuda:1").note(&own)?;
        assert_eq!(Rate::of(root.path(), &own, true)?, Some(rate(5, 1.0, "cuda:1")));
        assert_eq!(Rate::of(root.path(), &own, false)?, Some(rate(7, 1.0, "cpu")));
        Ok(())
    }
}
