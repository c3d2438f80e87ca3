use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use burn::tensor::Device;
use headspan_artifacts::{Fingerprint, hash_file};
use headspan_clip::{Checkpoint, CheckpointFiles, Clip, ClipConfig, DeviceChoice, Tokenizer, open_device};

use crate::{
    hub,
    models::{ModelChoice, ModelSource},
};

/// The files of a model and what they say, without its weights in memory.
pub(crate) struct ModelFiles {
    pub(crate) files: CheckpointFiles,
    pub(crate) config: ClipConfig,
    /// The folder, where they are in one of the user's.
    pub(crate) folder: Option<PathBuf>,
    /// Hash of weights and configuration.
    pub(crate) checkpoint_hash: String,
    /// Hash of the tokenizer.
    pub(crate) tokenizer_hash: String,
}

impl ModelFiles {
    /// Finds and hashes the files.
    pub(crate) fn open(choice: &ModelChoice) -> Result<Self> {
        let files = match &choice.source {
            ModelSource::Folder(folder) => {
                fs_err::metadata(folder).context("the checkpoint folder of --checkpoint is not there")?;
                CheckpointFiles::find(folder)?
            }
            ModelSource::Hub(model) => hub::cached_files(model)?,
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

/// A model that is loaded when a stage first needs it, so that a run with nothing to do reads no weights into memory.
pub(crate) struct LoadedModel<'a> {
    files: &'a ModelFiles,
    wanted: DeviceChoice,
    loaded: OnceCell<Loaded>,
}

pub(crate) struct Loaded {
    pub(crate) model: Clip,
    /// The same model on the CPU, when `device` is a GPU.
    pub(crate) cpu_model: Option<Clip>,
    pub(crate) device: Device,
    pub(crate) kind: DeviceChoice,
}

impl<'a> LoadedModel<'a> {
    pub(crate) fn new(files: &'a ModelFiles, wanted: DeviceChoice) -> Self {
        Self { files, wanted, loaded: OnceCell::new() }
    }

    pub(crate) fn files(&self) -> &'a ModelFiles {
        self.files
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
            _ => Some(checkpoint.load(&self.files.config, &Device::flex())?),
        };
        Ok(self.loaded.get_or_init(|| Loaded { model, cpu_model, device, kind }))
    }

    pub(crate) fn tokenizer(&self) -> Result<Tokenizer> {
        let text = &self.files.config.text;
        Ok(Tokenizer::read(&self.files.files.tokenizer, text.context_length, text.vocab_size)?)
    }
}
