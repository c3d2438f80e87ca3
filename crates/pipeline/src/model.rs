use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use headspan_artifacts::{Fingerprint, hash_file};
use headspan_model::{CheckpointFiles, DeviceChoice, LoadedModel, ModelConfig, Tokenizer, open_device};

use crate::{
    error::{PipelineError, Result},
    registry::{ModelChoice, ModelSource},
    weights::cached_files,
};

/// The files of a model and what they say, without its weights in memory.
pub struct ModelFiles {
    /// Where they are.
    pub files: CheckpointFiles,
    /// What the configuration says.
    pub config: ModelConfig,
    /// The checkpoint folder, absolute, where they are in one of the user's.
    pub folder: Option<PathBuf>,
    /// Hash of weights and configuration.
    pub checkpoint_hash: String,
    /// Hash of the tokenizer.
    pub tokenizer_hash: String,
}

impl ModelFiles {
    /// Finds and hashes the files.
    pub fn open(choice: &ModelChoice) -> Result<Self> {
        let files = match &choice.source {
            ModelSource::Folder(folder) => {
                let missing = |source| PipelineError::NoCheckpoint { folder: folder.clone(), source };
                fs_err::metadata(folder).map_err(missing)?;
                CheckpointFiles::find(folder)?
            }
            ModelSource::Hub(model) => cached_files(model)?,
        };
        let config = ModelConfig::read(&files.config)?;
        let hash = |path: &Path| hash_file(path);
        let checkpoint_hash = Fingerprint::builder("checkpoint", 1)
            .input("config", &hash(&files.config)?)
            .input("weights", &hash(&files.weights)?)
            .finish()
            .to_string();
        let tokenizer_hash = hash(&files.tokenizer)?;
        let folder = match &choice.source {
            ModelSource::Folder(folder) => Some(std::path::absolute(folder)?),
            ModelSource::Hub(_) => None,
        };
        Ok(Self { files, config, folder, checkpoint_hash, tokenizer_hash })
    }
}

/// A model whose weights are loaded when a stage first needs them, so that a run with nothing to do reads none.
pub struct RunModel {
    files: ModelFiles,
    wanted: DeviceChoice,
    loaded: OnceLock<LoadedModel>,
}

impl RunModel {
    /// Finds and hashes the files of a model that will run on `wanted`.
    pub fn open(choice: &ModelChoice, wanted: DeviceChoice) -> Result<Self> {
        Ok(Self { files: ModelFiles::open(choice)?, wanted, loaded: OnceLock::new() })
    }

    /// Its files.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    pub(crate) fn get(&self) -> Result<&LoadedModel> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let (device, weights) = (open_device(self.wanted)?, &self.files.files.weights);
        tracing::info!("loading `{}` on {}", weights.display(), device.choice());
        let model = LoadedModel::load(weights, &self.files.config, device)?;
        Ok(self.loaded.get_or_init(|| model))
    }

    pub(crate) fn tokenizer(&self) -> Result<Tokenizer> {
        let text = &self.files.config.text;
        Ok(Tokenizer::read(&self.files.files.tokenizer, text.context_length, text.vocab_size)?)
    }
}
