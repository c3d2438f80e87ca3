use std::{
    fs::{File, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use fs_err as fs;

use crate::{
    activations::PartReader,
    atomic::{remove_durably, write_atomic},
    error::{ArtifactError, Result},
    rows::{ImageRow, ImageStatus},
    schema::Table,
    stage::StageRecord,
    tables::read_metadata,
};

/// What a run is about: one model over one data set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    dataset: String,
    model: String,
}

impl RunId {
    /// Checks that both names can be folders.
    pub fn new(dataset: &str, model: &str) -> Result<Self> {
        for (what, name) in [("dataset", dataset), ("model", model)] {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
            if name.is_empty() || name.starts_with('.') || !plain {
                return Err(ArtifactError::Name { what, name: name.to_owned() });
            }
        }
        Ok(Self { dataset: dataset.to_owned(), model: model.to_owned() })
    }

    /// Name of the data set.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// Id of the model.
    pub fn model(&self) -> &str {
        &self.model
    }
}

/// The folder `runs/<dataset>/<model>/` and the names inside it.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    id: RunId,
    path: PathBuf,
}

impl RunDirectory {
    /// Names a run's folder without touching the disk.
    pub fn at(runs: &Path, id: &RunId) -> Self {
        Self { id: id.clone(), path: runs.join(id.dataset()).join(id.model()) }
    }

    /// Names and creates a run's folder.
    pub fn create(runs: &Path, id: &RunId) -> Result<Self> {
        let run = Self::at(runs, id);
        fs::create_dir_all(&run.path)?;
        Ok(run)
    }

    /// All runs below `runs`, of one data set or of all, in order of their names. A folder counts as a run when it has
    /// something of a run in it.
    pub fn list(runs: &Path, dataset: Option<&str>) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        if !runs.is_dir() {
            return Ok(found);
        }
        for dataset_name in folders(runs)? {
            if dataset.is_some_and(|wanted| wanted != dataset_name) {
                continue;
            }
            for model in folders(&runs.join(&dataset_name))? {
                let Ok(id) = RunId::new(&dataset_name, &model) else { continue };
                let run = Self::at(runs, &id);
                if run.stages_folder().is_dir() || run.has_parts() || run.jobs_record().is_file() {
                    found.push(run);
                }
            }
        }
        Ok(found)
    }

    /// What the run is about.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `<name>.parquet`.
    pub fn table(&self, table: Table) -> PathBuf {
        self.path.join(format!("{table}.parquet"))
    }

    /// `activations/`.
    pub fn activations_folder(&self) -> PathBuf {
        self.path.join("activations")
    }

    /// `activations/part-NNNNN.parquet`.
    pub fn part(&self, part: u64) -> PathBuf {
        self.activations_folder().join(format!("part-{part:05}.parquet"))
    }

    /// Image rows of one part, kept beside the activations so that a continued run knows what was skipped.
    pub fn part_images(&self, part: u64) -> PathBuf {
        self.path.join("parts").join(format!("images-{part:05}.parquet"))
    }

    /// All activation parts that are there, in order.
    pub fn parts(&self) -> Result<Vec<PathBuf>> {
        let folder = self.activations_folder();
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut parts = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("part-") && path.extension().is_some_and(|extension| extension == "parquet") {
                parts.push(path);
            }
        }
        // By number: from the hundred thousandth on names are longer.
        parts.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        Ok(parts)
    }

    /// The activation parts, in order, checked to be all of those that `images.parquet`, with the rows `images`, was made with. Errors if
    /// one is lost or of another extraction, or if none were kept.
    pub fn parts_of(&self, images: &[ImageRow]) -> Result<Vec<PartReader>> {
        self.refuse_moments_alone()?;
        let unfinished = |why: String| ArtifactError::Unfinished { run: self.path.clone(), why };
        let fingerprint = read_metadata(&self.table(Table::Images))?.fingerprint;
        let parts = self.parts()?.iter().map(|path| PartReader::open(path)).collect::<Result<Vec<_>>>()?;
        if parts.iter().any(|part| part.metadata().fingerprint != fingerprint) {
            return Err(unfinished("its activations and its images come from different settings or inputs".to_owned()));
        }
        let rows: u64 = parts.iter().map(|part| part.metadata().rows).sum();
        let good = images.iter().filter(|row| row.status == ImageStatus::Ok).count() as u64;
        if rows != good {
            return Err(unfinished(format!("its activations cover {rows} images, its table of images has {good}")));
        }
        Ok(parts)
    }

    /// `jobs.json`: what other machines were asked to do for the run.
    pub fn jobs_record(&self) -> PathBuf {
        self.path.join("jobs.json")
    }

    /// `jobs/`: scripts of these jobs, and what they logged.
    pub fn jobs_folder(&self) -> PathBuf {
        self.path.join("jobs")
    }

    fn stages_folder(&self) -> PathBuf {
        self.path.join("stages")
    }

    fn record_path(&self, stage: &str) -> PathBuf {
        self.stages_folder().join(format!("{stage}.json"))
    }

    /// The record of a finished stage, none if it never finished.
    pub fn record(&self, stage: &str) -> Result<Option<StageRecord>> {
        let path = self.record_path(stage);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|source| ArtifactError::Record { path, source })
    }

    /// Commits a stage: to be called after all its artifacts are in place.
    pub fn commit(&self, record: &StageRecord) -> Result<()> {
        let path = self.record_path(&record.stage);
        let mut bytes =
            serde_json::to_vec_pretty(record).map_err(|source| ArtifactError::Record { path: path.clone(), source })?;
        bytes.push(b'\n');
        Ok(write_atomic(&path, &bytes)?)
    }

    /// Forgets that a stage finished, before its artifacts are replaced.
    pub fn forget(&self, stage: &str) -> Result<()> {
        Ok(remove_durably(&self.record_path(stage))?)
    }

    /// Removes temporary files that a killed process left; only the holder of the whole run's lock may call it.
    pub fn sweep_temporary(&self) -> Result<()> {
        let parts = self.path.join("parts");
        for folder in [self.path.clone(), self.activations_folder(), parts, self.stages_folder(), self.jobs_folder()] {
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.starts_with(".headspan-") && path.extension().is_some_and(|ending| ending == "tmp") {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the run for this process alone. Fails at once if another holds it or any shard of it.
    pub fn lock(&self) -> Result<RunLock> {
        self.lock_file("run", false)
    }

    /// Takes one shard `index` of `count` (job arrays): several processes may hold different shards of one run, none may
    /// hold the whole run meanwhile.
    pub fn lock_shard(&self, index: u64, count: u64) -> Result<(RunLock, RunLock)> {
        let shared = self.lock_file("run", true)?;
        Ok((shared, self.lock_file(&format!("shard-{index}-of-{count}"), false)?))
    }

    /// Takes the record of jobs: of two processes that submit the same run, one does. Shards may be held meanwhile.
    pub fn lock_jobs(&self) -> Result<RunLock> {
        self.lock_file("jobs", false)
    }

    fn lock_file(&self, name: &str, shared: bool) -> Result<RunLock> {
        fs::create_dir_all(&self.path)?;
        let path = self.path.join(format!(".{name}.lock"));
        let mut file: File =
            fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?.into_parts().0;
        let taken = if shared { file.try_lock_shared() } else { file.try_lock() };
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The holder's number only makes the message better; without it the message still says what to do.
                if file.read_to_string(&mut owner).is_err() || owner.trim().is_empty() {
                    "unknown".clone_into(&mut owner);
                }
                return Err(ArtifactError::Locked { path, owner: owner.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if !shared {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
        }
        Ok(RunLock { _file: file })
    }
}

/// A held lock; the operating system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

fn folders(parent: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(name) = entry.file_name().to_str()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", "..", ".hidden", "a/b", "a b", "ä"] {
            assert!(RunId::new(name, "model").is_err(), "{name}");
            assert!(RunId::new("data", name).is_err(), "{name}");
        }
        assert!(RunId::new("imagenet-val", "ViT-B-16_laion2b_s34b_b88k").is_ok());
    }

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds() -> Result<(), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let run = RunDirectory::create(root.path(), &RunId::new("d", "m")?)?;
        let held = run.lock()?;
        let message = run.lock().err().ok_or("the lock was given twice")?.to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        assert!(run.lock_shard(0, 2).is_err());
        drop(held);
        let _first = run.lock_shard(0, 2)?;
        let _second = run.lock_shard(1, 2)?;
        assert!(run.lock_shard(1, 2).is_err());
        assert!(run.lock().is_err());
        let _jobs = run.lock_jobs()?;
        assert!(run.lock_jobs().is_err());
        Ok(())
    }
}
