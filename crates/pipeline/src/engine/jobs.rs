use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use headspan_artifacts::{ArtifactError, RunDirectory, write_atomic};
use serde::{Deserialize, Serialize};

use crate::{engine::work::Work, error::Result};

/// What an engine was asked to do for a run: the file `jobs.json` beside its records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// In the order in which they were made.
    pub submissions: Vec<Submission>,
}

/// One call that handed shards to an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// From 1; scripts and logs have it in their names.
    pub number: u64,
    /// Name of the engine.
    pub engine: String,
    /// Seconds since 1970.
    pub submitted_at: u64,
    /// What the shards are shards of.
    pub work: Work,
    /// Those that were missing, in order.
    pub shards: Vec<ShardTask>,
    /// What joins the shards and does the later stages.
    pub rest: Option<Task>,
}

/// Something that an engine was asked to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What the engine calls it.
    pub id: String,
    /// File of its log: below the run's folder, or a whole path where the run lies in a store.
    pub log: PathBuf,
}

/// A shard that an engine was asked to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTask {
    /// The shard.
    pub shard: u64,
    /// What runs it.
    #[serde(flatten)]
    pub task: Task,
}

impl Jobs {
    /// The record of a run; empty where nothing was submitted.
    pub fn read(run: &RunDirectory) -> Result<Self> {
        let path = run.jobs_record();
        let Some(bytes) = run.read(&path)? else { return Ok(Self::default()) };
        Ok(serde_json::from_slice(&bytes).map_err(|source| ArtifactError::Record { path, source })?)
    }

    /// Replaces the record at once.
    pub fn write(&self, run: &RunDirectory) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(write_atomic(&run.jobs_record(), &bytes)?)
    }

    /// The last submission.
    pub fn last(&self) -> Option<&Submission> {
        self.submissions.last()
    }

    /// The last task of each shard of the present work.
    pub fn tasks(&self) -> BTreeMap<u64, &Task> {
        let Some(last) = self.last() else { return BTreeMap::new() };
        let same = self.submissions.iter().filter(|one| one.work == last.work);
        same.flat_map(|one| &one.shards).map(|shard| (shard.shard, &shard.task)).collect()
    }

    /// The last task that joins shards.
    pub fn rest(&self) -> Option<&Task> {
        self.submissions.iter().rev().find_map(|one| one.rest.as_ref())
    }
}

/// The last line of a log that says something; none where the log is not there or empty. Reads no more than its end.
pub(super) fn last_line(log: &Path) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    const END: u64 = 4096;
    // A log that cannot be read says nothing; the state of the task stands all the same.
    let mut file = fs_err::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END))).ok()?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(plain)
}

/// Without control characters, such as the colours of a terminal.
fn plain(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::RunId;
    use headspan_extract::Keep;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn submission(number: u64, shards: &[u64], of: u64) -> Submission {
        let task = |id: String| Task { log: PathBuf::from(format!("jobs/{id}.log")), id };
        Submission {
            number,
            engine: "none".to_owned(),
            submitted_at: 0,
            work: Work { shards: of, images: 100, part_rows: 10, keep: Keep::All, fingerprint: "f00d".to_owned() },
            shards: shards
                .iter()
                .map(|shard| ShardTask { shard: *shard, task: task(format!("{number}_{shard}")) })
                .collect(),
            rest: Some(task(format!("{number}_rest"))),
        }
    }

    #[test]
    fn the_last_task_of_a_shard_counts_and_other_work_does_not() -> Outcome {
        let root = tempfile::tempdir()?;
        let run = RunDirectory::create(root.path(), &RunId::new("d", "m")?)?;
        assert_eq!(Jobs::read(&run)?, Jobs::default());
        let jobs =
            Jobs { submissions: vec![submission(1, &[7], 8), submission(2, &[0, 1], 2), submission(3, &[1], 2)] };
        jobs.write(&run)?;
        let jobs = Jobs::read(&run)?;
        let tasks: Vec<_> = jobs.tasks().into_iter().map(|(shard, task)| (shard, task.id.as_str())).collect();
        assert_eq!(tasks, [(0, "2_0"), (1, "3_1")]);
        assert_eq!(jobs.rest().map(|task| task.id.as_str()), Some("3_rest"));
        assert_eq!(RunDirectory::list(root.path(), None)?.len(), 1, "a run that was only submitted is a run");
        Ok(())
    }

    #[test]
    fn the_last_line_that_says_something() -> Outcome {
        let root = tempfile::tempdir()?;
        let log = root.path().join("log");
        assert_eq!(last_line(&log), None);
        fs_err::write(&log, format!("{}\nERROR \u{1b}[31mno images\u{1b}[0m\n\n  \n", "x".repeat(10_000)))?;
        assert_eq!(last_line(&log).as_deref(), Some("ERROR [31mno images[0m"));
        Ok(())
    }
}
