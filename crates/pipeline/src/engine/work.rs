use headspan_artifacts::RunDirectory;
use headspan_extract::{Keep, PartPlan, Shard};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The extraction of one run as shards: independent of each other, and safe to lose, to repeat or to run twice at once. A part is
/// committed at once (by a rename, or by a put on a condition), and every shard that extracts it writes the same numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Shards, counted from 0.
    pub shards: u64,
    /// Images of the data set.
    pub images: u64,
    /// Images of one activation part.
    pub part_rows: u64,
    /// What is kept of them; work that was submitted before there was a choice keeps all.
    #[serde(default)]
    pub keep: Keep,
    /// Fingerprint that a part has if it fits settings, images and weights.
    pub fingerprint: String,
}

/// How far a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardParts {
    /// The shard.
    pub shard: u64,
    /// Its parts that are committed and fit.
    pub done: u64,
    /// All its parts.
    pub total: u64,
}

impl ShardParts {
    /// Whether nothing of it is left to do. Of more shards than parts, the last ones have nothing to do at all.
    pub fn is_done(&self) -> bool {
        self.done == self.total
    }
}

impl Work {
    /// How the images fall into parts.
    pub fn plan(&self) -> PartPlan {
        PartPlan { images: self.images, rows: self.part_rows, keep: self.keep }
    }

    /// How far each shard is, by the parts that are there.
    pub fn progress(&self, run: &RunDirectory) -> Result<Vec<ShardParts>> {
        let plan = self.plan();
        let all: Vec<u64> = (0..plan.parts()).collect();
        let committed = plan.committed(run, &all, &self.fingerprint)?;
        let of_shard = |index| {
            let parts = plan.of_shard(Some(Shard { index, count: self.shards }));
            let done = parts.iter().filter(|part| committed[**part as usize]).count() as u64;
            ShardParts { shard: index, done, total: parts.len() as u64 }
        };
        Ok((0..self.shards).map(of_shard).collect())
    }

    /// Every shard done, as of a run whose extraction is known to be: no part is looked at.
    pub fn finished(&self) -> Vec<ShardParts> {
        let plan = self.plan();
        let of_shard = |index| {
            let total = plan.of_shard(Some(Shard { index, count: self.shards })).len() as u64;
            ShardParts { shard: index, done: total, total }
        };
        (0..self.shards).map(of_shard).collect()
    }

    /// Shards with parts that are missing or do not fit.
    pub fn missing(&self, run: &RunDirectory) -> Result<Vec<u64>> {
        let progress = self.progress(run)?;
        Ok(progress.iter().filter(|shard| !shard.is_done()).map(|shard| shard.shard).collect())
    }
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::{
        ActivationBatch, ActivationShape, HeadId, ImageRow, ImageStatus, PartWriter, RunId, write_rows,
    };

    use super::*;

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    fn commit(run: &RunDirectory, part: u64, fingerprint: &str) -> Outcome {
        let row = ImageRow {
            image_index: part,
            image_id: format!("{part}.png"),
            class_id: None,
            class_index: None,
            width: 8,
            height: 8,
            status: ImageStatus::Ok,
            error: None,
        };
        write_rows(&run.part_images(part), run.id(), fingerprint, &[row])?;
        let shape = ActivationShape { heads: HeadId::of_layers(&[0], 1).collect(), head_dim: 2, d: 2 };
        let mut writer = PartWriter::create(&run.part(part), run.id(), fingerprint, &shape)?;
        writer.write(ActivationBatch {
            image_index: vec![part],
            inv_scale: vec![1.0],
            mean_scale: vec![1.0],
            inv_norm: vec![1.0],
            representation: vec![0.0, 1.0],
            heads: vec![vec![0.0, 1.0]],
        })?;
        Ok(writer.commit()?)
    }

    #[test]
    fn only_shards_with_missing_or_unfit_parts_are_missing() -> Outcome {
        let root = tempfile::tempdir()?;
        let run = RunDirectory::create(root.path(), &RunId::new("d", "m")?)?;
        // Five parts in three shards: 0 and 3, 1 and 4, 2.
        let work = Work { shards: 3, images: 50, part_rows: 10, keep: Keep::All, fingerprint: "f00d".to_owned() };
        assert_eq!(work.missing(&run)?, [0, 1, 2]);
        for part in 0..5 {
            commit(&run, part, "f00d")?;
        }
        assert_eq!(work.missing(&run)?, [0_u64; 0]);
        fs_err::remove_file(run.part(4))?;
        assert_eq!(work.missing(&run)?, [1]);
        assert_eq!(work.progress(&run)?[1], ShardParts { shard: 1, done: 1, total: 2 });
        // A part of other settings is no part of this work.
        commit(&run, 2, "beef")?;
        assert_eq!(work.missing(&run)?, [1, 2]);
        Ok(())
    }

    #[test]
    fn shards_beyond_the_parts_have_nothing_to_do() -> Outcome {
        let root = tempfile::tempdir()?;
        let run = RunDirectory::create(root.path(), &RunId::new("d", "m")?)?;
        let work = Work { shards: 16, images: 2, part_rows: 1, keep: Keep::All, fingerprint: "f00d".to_owned() };
        assert_eq!(work.missing(&run)?, [0, 1]);
        Ok(())
    }
}
