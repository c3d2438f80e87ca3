use std::ops::Range;

use headspan_artifacts::{RunDirectory, remove};

use crate::{error::Result, settings::Shard};

/// How a data set falls into activation parts: part `p` holds the images `p·rows .. (p+1)·rows`, whoever extracts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    /// Images of the data set.
    pub images: u64,
    /// Images of a part.
    pub rows: u64,
}

/// Parts that are looked at one by one.
const FEW: usize = 4;

/// What is there of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartStatus {
    /// Parts of the plan.
    pub total: u64,
    /// Parts that are committed with the expected fingerprint.
    pub done: u64,
}

impl PartPlan {
    /// Number of parts.
    pub fn parts(&self) -> u64 {
        self.images.div_ceil(self.rows.max(1))
    }

    /// Images of one part.
    pub fn images_of(&self, part: u64) -> Range<u64> {
        let first = part * self.rows;
        first..(first + self.rows).min(self.images)
    }

    /// Parts that one shard of a job array extracts; all parts without one.
    pub fn of_shard(&self, shard: Option<Shard>) -> Vec<u64> {
        (0..self.parts()).filter(|part| shard.is_none_or(|shard| part % shard.count == shard.index)).collect()
    }

    /// Which of some parts are committed with this fingerprint, their image rows and their activations: a run of other settings that was
    /// ended between the two leaves rows that are not of these activations. What cannot be read counts as not there and is written again; a
    /// store that does not answer is an error.
    pub fn committed(run: &RunDirectory, parts: &[u64], fingerprint: &str) -> Result<Vec<bool>> {
        // One look at the folder costs less than one at each of many files.
        let run = if parts.len() > FEW { run.look()? } else { run.clone() };
        let files: Vec<_> = parts.iter().flat_map(|part| [run.part(*part), run.part_images(*part)]).collect();
        let found = run.fingerprints(&files)?;
        Ok(found.chunks(2).map(|both| both.iter().all(|found| found.as_deref() == Some(fingerprint))).collect())
    }

    /// Counts what is there.
    pub fn status(&self, run: &RunDirectory, fingerprint: &str) -> Result<PartStatus> {
        let parts: Vec<u64> = (0..self.parts()).collect();
        let done = Self::committed(run, &parts, fingerprint)?.into_iter().filter(|done| *done).count() as u64;
        Ok(PartStatus { total: self.parts(), done })
    }

    /// Removes parts that a larger data set or a smaller part size left behind.
    pub(crate) fn remove_surplus(&self, run: &RunDirectory) -> Result<()> {
        let wanted: Vec<_> = (0..self.parts()).map(|part| run.part(part)).collect();
        for path in run.parts()? {
            if !wanted.contains(&path) {
                remove(&path).map_err(headspan_artifacts::ArtifactError::from)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_exactly_one_part_and_every_part_in_one_shard() {
        let plan = PartPlan { images: 2500, rows: 1000 };
        let ranges: Vec<_> = (0..plan.parts()).map(|part| plan.images_of(part)).collect();
        assert_eq!(ranges, [0..1000, 1000..2000, 2000..2500]);
        let mut seen: Vec<u64> = (0..2).flat_map(|index| plan.of_shard(Some(Shard { index, count: 2 }))).collect();
        seen.sort_unstable();
        assert_eq!(seen, plan.of_shard(None));
    }
}
