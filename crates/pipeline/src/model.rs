use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use headspan_artifacts::{Fingerprint, hash_file};
use headspan_model::{Checkpoint, CheckpointFiles, Clip, ClipConfig, DeviceChoice, Tokenizer, open_device};

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
    pub config: ClipConfig,
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
        let config = ClipConfig::read(&files.config)?;
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
    loaded: OnceLock<Loaded>,
}

/// A model on its device.
pub(crate) struct Loaded {
    pub(crate) model: Clip,
    /// The same model on the CPU, when `device` is a GPU.
    pub(crate) cpu_model: Option<Clip>,
    pub(crate) device: burn::tensor::Device,
    pub(crate) kind: DeviceChoice,
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

    pub(crate) fn get(&self) -> Result<&Loaded> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let (device, kind) = open_device(self.wanted)?;
        tracing::info!("loading `{}` on {kind}", self.files.files.weights.display());
        let checkpoint = Checkpoint::open(&self.files.files.weights)?;
        let model = checkpoint.load(&self.files.config, &device)?;
        let cpu_model = match kind {
            DeviceChoice::Cpu => None,
            _ => Some(checkpoint.load(&self.files.config, &burn::tensor::Device::flex())?),
        };
        Ok(self.loaded.get_or_init(|| Loaded { model, cpu_model, device, kind }))
    }

    pub(crate) fn tokenizer(&self) -> Result<Tokenizer> {
        let text = &self.files.config.text;
        Ok(Tokenizer::read(&self.files.files.tokenizer, text.context_length, text.vocab_size)?)
    }
}
