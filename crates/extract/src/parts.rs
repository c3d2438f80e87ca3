use std::{collections::HashSet, ops::Range, path::PathBuf};

use headspan_artifacts::RunDirectory;

use crate::{
    error::Result,
    keep::Keep,
    nodes::{Nodes, remove},
    sample::Sample,
    settings::Shard,
};

/// How a data set falls into parts: part `p` holds the images `p·rows .. (p+1)·rows`, whoever extracts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    /// Images of the data set.
    pub images: u64,
    /// Images of a part.
    pub rows: u64,
    /// What is kept of them.
    pub keep: Keep,
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

    /// Parts that one shard of a job array extracts; all parts without one. Where sums are joined, they are neighbours: a shard then
    /// joins most of its own, however far the others are, and few files wait.
    pub fn of_shard(&self, shard: Option<Shard>) -> Vec<u64> {
        let Some(Shard { index, count }) = shard else { return (0..self.parts()).collect() };
        if self.keep == Keep::All {
            return (index..self.parts()).step_by(usize::try_from(count).unwrap_or(usize::MAX)).collect();
        }
        let (each, more) = (self.parts() / count, self.parts() % count);
        let first = index * each + index.min(more);
        (first..first + each + u64::from(index < more)).collect()
    }

    /// Which of some parts are committed with this fingerprint: of activations, image rows and activations, because a run of other settings
    /// that was ended between the two leaves rows that are not of these activations. What cannot be read counts as not there and is written
    /// again; a store that does not answer is an error.
    pub fn committed(&self, run: &RunDirectory, parts: &[u64], fingerprint: &str) -> Result<Vec<bool>> {
        // One look at the folder costs less than one at each of many files.
        let run = &if parts.len() > FEW { run.look()? } else { run.clone() };
        if let Some(nodes) = Nodes::of(self, run, fingerprint) {
            let all = nodes.committed()?;
            return Ok(parts.iter().map(|part| all[*part as usize]).collect());
        }
        let files: Vec<_> = parts.iter().flat_map(|part| [run.part(*part), run.part_images(*part)]).collect();
        let found = run.fingerprints(&files)?;
        Ok(found.chunks(2).map(|both| both.iter().all(|found| found.as_deref() == Some(fingerprint))).collect())
    }

    /// Counts what is there.
    pub fn status(&self, run: &RunDirectory, fingerprint: &str) -> Result<PartStatus> {
        let parts: Vec<u64> = (0..self.parts()).collect();
        let done = self.committed(run, &parts, fingerprint)?.into_iter().filter(|done| *done).count() as u64;
        Ok(PartStatus { total: self.parts(), done })
    }

    /// Counts the parts whose activations are there by their names, whatever settings they are of.
    pub(crate) fn named(&self, run: &RunDirectory) -> Result<PartStatus> {
        let there: HashSet<PathBuf> = run.parts()?.into_iter().collect();
        let done = (0..self.parts()).filter(|part| there.contains(&run.part(*part))).count() as u64;
        Ok(PartStatus { total: self.parts(), done })
    }

    /// Files of activations that the run has in the end.
    fn activation_files(&self) -> u64 {
        match self.keep {
            Keep::All => self.parts(),
            Keep::Moments => 0,
            Keep::Sample(count) => Sample::of(self, count).files(),
        }
    }

    /// Removes activations that a larger data set, a smaller part size or another choice of what to keep left behind; and what such
    /// choices leave beside them, if all activations are kept.
    pub(crate) fn remove_surplus(&self, run: &RunDirectory) -> Result<()> {
        let wanted: HashSet<PathBuf> = (0..self.activation_files()).map(|part| run.part(part)).collect();
        run.parts()?.iter().filter(|path| !wanted.contains(*path)).try_for_each(|path| remove(path))?;
        if self.keep != Keep::All {
            return Ok(());
        }
        run.all_sums()?.iter().try_for_each(|parts| remove(&run.sums(parts)))?;
        let several = |parts: &&Range<u64>| parts.end - parts.start > 1;
        run.all_images_of()?.iter().filter(several).try_for_each(|parts| remove(&run.images_of(parts)))?;
        run.all_part_samples()?.iter().try_for_each(|part| remove(&run.part_sample(*part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_exactly_one_part_and_every_part_in_one_shard() {
        for keep in [Keep::All, Keep::Moments, Keep::Sample(3)] {
            let plan = PartPlan { images: 2500, rows: 1000, keep };
            let ranges: Vec<_> = (0..plan.parts()).map(|part| plan.images_of(part)).collect();
            assert_eq!(ranges, [0..1000, 1000..2000, 2000..2500]);
            for (rows, count) in [(1000, 1), (1000, 2), (1000, 5), (7, 4), (7, 64), (1, 2500)] {
                let plan = PartPlan { rows, ..plan };
                let shards: Vec<Vec<u64>> =
                    (0..count).map(|index| plan.of_shard(Some(Shard { index, count }))).collect();
                let mut seen = shards.concat();
                seen.sort_unstable();
                assert_eq!(seen, plan.of_shard(None), "{keep} {rows} {count}");
                // The same number of parts however they are dealt: engines count on it.
                let sizes = |index: u64| (0..plan.parts()).filter(|part| part % count == index).count();
                assert!((0..).zip(&shards).all(|(index, own)| own.len() == sizes(index)), "{keep} {rows} {count}");
            }
        }
    }

    #[test]
    fn parts_whose_sums_are_joined_are_neighbours_in_a_shard() {
        let plan = PartPlan { images: 10, rows: 1, keep: Keep::Moments };
        let of = |index| plan.of_shard(Some(Shard { index, count: 3 }));
        assert_eq!([of(0), of(1), of(2)], [vec![0, 1, 2, 3], vec![4, 5, 6], vec![7, 8, 9]]);
        assert_eq!(PartPlan { keep: Keep::All, ..plan }.of_shard(Some(Shard { index: 1, count: 3 })), [1, 4, 7]);
    }
}
