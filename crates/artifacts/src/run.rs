use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err as fs;

use crate::{
    activations::PartReader,
    atomic::AtomicFile,
    error::{ArtifactError, Result},
    files::{folders, is_folder, is_remote, names_in, remove},
    listing::Listing,
    rows::{ImageRow, ImageStatus},
    schema::Table,
    stage::StageRecord,
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

/// The folder `runs/<dataset>/<model>/` and the names inside it. It lies on a disk, or in a store: then its path is an address.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    id: RunId,
    path: PathBuf,
    /// What lies in it in a store, if it was looked at.
    pub(crate) listing: Option<Arc<Listing>>,
}

impl RunDirectory {
    /// Names a run's folder without touching the disk.
    pub fn at(runs: &Path, id: &RunId) -> Self {
        Self { id: id.clone(), path: runs.join(id.dataset()).join(id.model()), listing: None }
    }

    /// Names and creates a run's folder. A store has no folders: there, nothing is done.
    pub fn create(runs: &Path, id: &RunId) -> Result<Self> {
        let run = Self::at(runs, id);
        if !run.is_remote() {
            fs::create_dir_all(&run.path)?;
        }
        Ok(run)
    }

    /// All runs below `runs`, of one data set or of all, in order of their names. A folder counts as a run when it has
    /// something of a run in it.
    pub fn list(runs: &Path, dataset: Option<&str>) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        if !is_remote(runs) && !runs.is_dir() {
            return Ok(found);
        }
        for dataset_name in folders(runs)? {
            if dataset.is_some_and(|wanted| wanted != dataset_name) {
                continue;
            }
            for model in folders(&runs.join(&dataset_name))? {
                let Ok(id) = RunId::new(&dataset_name, &model) else { continue };
                let run = Self::at(runs, &id);
                if run.is_begun()? {
                    found.push(run);
                }
            }
        }
        Ok(found)
    }

    /// Whether the folder has something of a run in it.
    fn is_begun(&self) -> Result<bool> {
        if self.is_remote() {
            // One request, where each of them would be one or two.
            let known = ["stages", "activations", "parts", "jobs.json", "rate.json", "precision.json"];
            return Ok(names_in(&self.path)?.iter().any(|name| known.contains(&name.as_str())));
        }
        Ok(self.stages_folder().is_dir()
            || self.has_parts()
            || self.jobs_record().is_file()
            || self.rate_record().is_file()
            || self.precision_record().is_file())
    }

    /// Whether the folder is there.
    pub fn is_there(&self) -> Result<bool> {
        Ok(is_folder(&self.path)?)
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
        let mut parts = Vec::new();
        for name in self.names_in(&folder)? {
            let path = folder.join(&name);
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
        let run = self.look()?;
        run.refuse_moments_alone()?;
        let unfinished = |why: String| ArtifactError::Unfinished { run: self.path.clone(), why };
        let fingerprint = run.table_metadata(Table::Images)?.fingerprint;
        let parts = run.each(&run.parts()?, |path| run.open_part(path))?;
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

    /// `rate.json`: how fast a process extracted images last.
    pub fn rate_record(&self) -> PathBuf {
        self.path.join("rate.json")
    }

    /// `precision.json`: the precision that was chosen for the run.
    pub fn precision_record(&self) -> PathBuf {
        self.path.join("precision.json")
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
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| ArtifactError::Record { path, source })
    }

    /// Commits a stage: to be called after all its artifacts are in place.
    pub fn commit(&self, record: &StageRecord) -> Result<()> {
        let path = self.record_path(&record.stage);
        let mut bytes =
            serde_json::to_vec_pretty(record).map_err(|source| ArtifactError::Record { path: path.clone(), source })?;
        bytes.push(b'\n');
        let mut file = AtomicFile::create(&path)?.of_fingerprint(&record.fingerprint);
        file.write_all(&bytes)?;
        Ok(file.commit()?)
    }

    /// Forgets that a stage finished, before its artifacts are replaced.
    pub fn forget(&self, stage: &str) -> Result<()> {
        Ok(remove(&self.record_path(stage))?)
    }

    /// Removes temporary files that a killed process left; only the holder of the whole run's lock may call it.
    pub fn sweep_temporary(&self) -> Result<()> {
        if self.is_remote() {
            return self.sweep_leases();
        }
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
