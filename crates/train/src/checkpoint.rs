use std::{
    error::Error,
    io::Read,
    path::{Path, PathBuf},
};

use burn::{optim::OptimizerRecord, store::ModuleRecord, tensor::Bytes};
use fs_err as fs;
use headspan_artifacts::AtomicFile;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    curve::CurvePoint,
    error::{Result, TrainError},
};

const PROGRESS: &str = "progress.json";
const MODEL: &str = "model.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const TOKENIZER: &str = "tokenizer.json";

/// How far a training has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress<R> {
    pub(crate) recipe: R,
    /// Steps done.
    pub(crate) steps: u64,
    pub(crate) curve: Vec<CurvePoint>,
}

/// All that a training continues from. The records carry the parameters' ids, by which the optimiser knows its moments.
pub(crate) struct Saved<R> {
    pub(crate) progress: Progress<R>,
    pub(crate) model: ModuleRecord,
    pub(crate) optimizer: OptimizerRecord,
    pub(crate) tokenizer: String,
}

/// Where a training folder keeps its checkpoint.
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("training.tar")
}

impl<R: Serialize + DeserializeOwned> Saved<R> {
    /// Writes one file, so that no kill can part the weights from the optimiser's state.
    pub(crate) fn write(self, path: &Path) -> Result<()> {
        let failed = |source: Box<dyn Error + Send + Sync>| TrainError::Checkpoint { path: path.to_owned(), source };
        let progress = serde_json::to_vec(&self.progress).map_err(|error| failed(error.into()))?;
        let model = self.model.into_bytes().map_err(|error| failed(error.into()))?;
        let optimizer = self.optimizer.into_bytes().map_err(|error| failed(error.into()))?;
        let mut archive = tar::Builder::new(AtomicFile::create(path)?);
        for (name, bytes) in [
            (PROGRESS, &progress[..]),
            (MODEL, &model[..]),
            (OPTIMIZER, &optimizer[..]),
            (TOKENIZER, self.tokenizer.as_bytes()),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, bytes)?;
        }
        Ok(archive.into_inner()?.commit()?)
    }

    /// Reads a checkpoint, if there is one.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let failed = |source: Box<dyn Error + Send + Sync>| TrainError::Checkpoint { path: path.to_owned(), source };
        let mut files = std::collections::BTreeMap::new();
        for member in tar::Archive::new(fs::File::open(path)?).entries().map_err(|error| failed(error.into()))? {
            let mut member = member.map_err(|error| failed(error.into()))?;
            let name = member.path().map_err(|error| failed(error.into()))?.display().to_string();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).map_err(|error| failed(error.into()))?;
            files.insert(name, bytes);
        }
        let mut take = |name: &str| files.remove(name).ok_or_else(|| failed(format!("it lacks {name}").into()));
        Ok(Some(Self {
            progress: serde_json::from_slice(&take(PROGRESS)?).map_err(|error| failed(error.into()))?,
            model: ModuleRecord::from_bytes(Bytes::from_bytes_vec(take(MODEL)?))
                .map_err(|error| failed(error.into()))?,
            optimizer: OptimizerRecord::from_bytes(Bytes::from_bytes_vec(take(OPTIMIZER)?))
                .map_err(|error| failed(error.into()))?,
            tokenizer: String::from_utf8(take(TOKENIZER)?).map_err(|error| failed(error.into()))?,
        }))
    }
}

/// First key in which two recipes differ.
pub(crate) fn difference<R: Serialize>(one: &R, other: &R) -> Option<String> {
    let (one, other) = (serde_json::to_value(one).ok()?, serde_json::to_value(other).ok()?);
    let (one, other) = (one.as_object()?, other.as_object()?);
    one.iter().find(|(key, value)| other.get(*key) != Some(*value)).map(|(key, _)| key.clone())
}
