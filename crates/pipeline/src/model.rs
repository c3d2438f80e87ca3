use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use headspan_artifacts::{Fingerprint, FingerprintBuilder, hash_file};
use headspan_model::{
    Alignment, Checkpoint, CheckpointFiles, ClipError, DeviceChoice, FoundFiles, LoadedModel, ModelConfig,
    ModelOptions, Notice, TokenStyle, Tokenizer, open_device,
};

use crate::{
    activation,
    align::checked_fingerprint,
    error::{PipelineError, Result},
    memory,
    registry::{ModelChoice, ModelSource},
    weights::{cached_files, cached_tokenizer},
};

/// The files of a model and what they say, without its weights in memory.
pub struct ModelFiles {
    /// Where weights and configuration are.
    pub files: FoundFiles,
    /// The tokenizer's file: beside the weights, or CLIP's; none for an image tower alone.
    pub tokenizer: Option<PathBuf>,
    /// What the configuration says, with what the user says.
    pub config: ModelConfig,
    /// The checkpoint folder, absolute, where they are in one of the user's.
    pub folder: Option<PathBuf>,
    /// Hash of weights and configuration.
    pub checkpoint_hash: String,
    /// Hash of the tokenizer, empty without one.
    pub tokenizer_hash: String,
}

impl ModelFiles {
    /// Finds and hashes the files.
    pub fn open(choice: &ModelChoice, options: &ModelOptions) -> Result<Self> {
        let files = match &choice.source {
            ModelSource::Folder(place) => found(place, options)?,
            ModelSource::Hub(_) if options.architecture.is_some() => {
                return Err(PipelineError::KnownArchitecture { model: choice.id.clone() });
            }
            ModelSource::Hub(model) => {
                let CheckpointFiles { config, weights, tokenizer } = cached_files(model)?;
                FoundFiles { config: Some(config), weights, tokenizer: Some(tokenizer) }
            }
        };
        let alignment = files.config.as_deref().map(Alignment::of_config).transpose()?.flatten();
        if alignment.is_some() && options.architecture.is_some() {
            return Err(ClipError::FixedByAlignment.into());
        }
        let alone = ModelOptions { architecture: options.architecture.clone(), ..ModelOptions::default() };
        let written = ModelConfig::with_options(files.config.as_deref(), &alone)?;
        let config = ModelConfig::with_options(files.config.as_deref(), options)?;
        let checkpoint_hash = match (&alignment, &files.config) {
            (Some(alignment), Some(path)) => checked_fingerprint(path, alignment)?,
            _ => checkpoint_hash(&files, options, &written, &config)?,
        };
        let tokenizer = tokenizer(&files, &config)?;
        let tokenizer_hash = tokenizer.as_deref().map(hash_file).transpose()?.unwrap_or_default();
        let folder = match &choice.source {
            ModelSource::Folder(folder) => Some(std::path::absolute(folder)?),
            ModelSource::Hub(_) => None,
        };
        Ok(Self { files, tokenizer, config, folder, checkpoint_hash, tokenizer_hash })
    }

    /// The tokenizer. An error for an image tower alone, and for a tokenizer that headspan does not know.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let text = self.config.texts()?;
        let path = self.tokenizer.as_deref().ok_or(ClipError::NoTexts)?;
        Ok(Tokenizer::of(path, text)?)
    }
}

/// The files of a checkpoint of the user's. With the name of an architecture, the weights are enough.
fn found(place: &Path, options: &ModelOptions) -> Result<FoundFiles> {
    let missing = |source| PipelineError::NoCheckpoint { folder: place.to_owned(), source };
    fs_err::metadata(place).map_err(missing)?;
    if options.architecture.is_some() {
        return Ok(FoundFiles::find(place)?);
    }
    let found = FoundFiles::find(place);
    // A folder that has neither is hardly a checkpoint: the configuration is what is missed first.
    match found {
        Ok(FoundFiles { config: None, .. }) | Err(ClipError::MissingFile { .. }) => {
            Err(CheckpointFiles::find(place).err().unwrap_or_else(|| CheckpointFiles::no_config(place)).into())
        }
        found => Ok(found?),
    }
}

/// The tokenizer that texts of a model have: the one beside its weights, else CLIP's from the cache where the vocabulary is CLIP's.
pub(crate) fn tokenizer(files: &FoundFiles, config: &ModelConfig) -> Result<Option<PathBuf>> {
    /// Tokens of CLIP's vocabulary.
    const CLIP: usize = 49_408;
    let Some(text) = config.text else { return Ok(None) };
    if let Some(tokenizer) = &files.tokenizer {
        return Ok(Some(tokenizer.clone()));
    }
    let folder = files.weights.parent().unwrap_or(Path::new(".")).to_owned();
    if text.vocab_size != CLIP || text.tokens != TokenStyle::Clip {
        return Err(CheckpointFiles::no_tokenizer(&folder).into());
    }
    cached_tokenizer().map(Some).ok_or(PipelineError::NoTokenizer { folder })
}

/// Hash of the weights and of what makes a model of them. What the user says goes in only where it says something else than the
/// configuration: the same model is the same run.
fn checkpoint_hash(
    files: &FoundFiles,
    options: &ModelOptions,
    written: &ModelConfig,
    config: &ModelConfig,
) -> Result<String> {
    let mut builder = match (&options.architecture, &files.config) {
        (None, Some(path)) => hashed(["config", &hash_file(path)?], &files.weights)?,
        (name, _) => hashed(["architecture", &name.as_deref().unwrap_or_default().to_lowercase()], &files.weights)?,
    };
    let quick_gelu = config.activation().quick_gelu;
    if quick_gelu != written.activation().quick_gelu {
        builder = builder.input("quick_gelu", if quick_gelu { "true" } else { "false" });
    }
    if config.vision.image_size != written.vision.image_size {
        builder = builder.input("image_size", &config.vision.image_size.to_string());
    }
    Ok(builder.finish().to_string())
}

/// Of a configuration, with what it is told by, and of weights.
fn hashed([name, configuration]: [&str; 2], weights: &Path) -> Result<FingerprintBuilder> {
    let mut builder = Fingerprint::builder("checkpoint", 1).input(name, configuration);
    for file in Checkpoint::files(weights)? {
        builder = builder.input("weights", &hash_file(&file)?);
    }
    Ok(builder)
}

/// As [`ModelFiles::checkpoint_hash`], of a model of which nothing is said beside its configuration.
pub(crate) fn hash_of(config: &Path, weights: &Path) -> Result<String> {
    Ok(hashed(["config", &hash_file(config)?], weights)?.finish().to_string())
}

/// Logs what the user may not expect of a model.
pub(crate) fn tell(choice: &ModelChoice, files: &ModelFiles, checkpoint: &Checkpoint) -> Result<()> {
    notices(choice, &files.config, checkpoint)?.iter().for_each(log_notice);
    Ok(())
}

/// What the user may not expect of a model.
pub(crate) fn notices(choice: &ModelChoice, config: &ModelConfig, checkpoint: &Checkpoint) -> Result<Vec<Notice>> {
    let mut notices = config.notices(checkpoint);
    let doubt = activation::doubt(choice, checkpoint.path(), config.activation())?;
    notices.extend(doubt.map(|text| Notice { text, is_warning: true }));
    Ok(notices)
}

/// Logs a notice by its weight.
pub fn log_notice(notice: &Notice) {
    if notice.is_warning { tracing::warn!("{}", notice.text) } else { tracing::info!("{}", notice.text) }
}

/// A model whose weights are loaded when a stage first needs them, so that a run with nothing to do reads none.
pub struct RunModel {
    choice: ModelChoice,
    files: ModelFiles,
    wanted: DeviceChoice,
    loaded: OnceLock<LoadedModel>,
}

impl RunModel {
    /// Finds and hashes the files of a model that will run on `wanted`.
    pub fn open(choice: &ModelChoice, wanted: DeviceChoice, options: &ModelOptions) -> Result<Self> {
        let files = ModelFiles::open(choice, options)?;
        Ok(Self { choice: choice.clone(), files, wanted, loaded: OnceLock::new() })
    }

    /// Its files.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    pub(crate) fn get(&self) -> Result<&LoadedModel> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let (device, weights, config) = (open_device(self.wanted)?, &self.files.files.weights, &self.files.config);
        tracing::info!("loading `{}` on {}", weights.display(), device.choice());
        let checkpoint = Checkpoint::open(weights)?;
        memory::check(weights, (checkpoint.loaded_bytes() + config.bytes_beside()?) as u64)?;
        let model = LoadedModel::of_checkpoint(&checkpoint, config, device)?;
        tell(&self.choice, &self.files, &checkpoint)?;
        Ok(self.loaded.get_or_init(|| model))
    }

    pub(crate) fn tokenizer(&self) -> Result<Tokenizer> {
        self.files.tokenizer()
    }
}
