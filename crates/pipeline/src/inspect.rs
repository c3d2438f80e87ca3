//! What a checkpoint is, and what of that is certain: nothing is loaded, and no run is needed.

use std::path::{Path, PathBuf};

use headspan_model::{
    Alignment, Checkpoint, CheckpointLayout, ClipError, FittingArchitecture, FoundFiles, ModelConfig, ModelOptions,
    Notice, WeightsFacts,
};
use serde_json::Value;

use crate::{
    error::{PipelineError, Result},
    model::{notices, tokenizer},
    registry::{ModelChoice, ModelSource},
};

/// A checkpoint as its files describe it.
pub struct Inspection {
    /// Weights, configuration and tokenizer.
    pub files: FoundFiles,
    /// How the tensors are named.
    pub layout: CheckpointLayout,
    /// What the shapes of the tensors say.
    pub weights: WeightsFacts,
    /// The model that configuration or architecture describe; none without either, or where they cannot be used.
    pub model: Option<InspectedModel>,
    /// Architectures with these tensors, where there is no configuration.
    pub fitting: Vec<FittingArchitecture>,
    /// What its user may not expect.
    pub notices: Vec<Notice>,
    /// Why headspan cannot use it as it is.
    pub problem: Option<PipelineError>,
}

/// What a configuration, or the name of an architecture, says.
pub struct InspectedModel {
    /// Sizes, preprocessing, activation.
    pub config: ModelConfig,
    /// Where they come from.
    pub source: ConfigSource,
    /// Whether mean and standard deviation of pixels are written somewhere; else OpenAI's are assumed.
    pub pixels_are_stated: bool,
    /// The tokenizer that texts would have; none for an image tower alone, and where there is none.
    pub tokenizer: Option<PathBuf>,
}

/// Where the description of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A configuration file.
    File(PathBuf),
    /// The name of an architecture, which the user gave.
    Architecture(String),
}

/// Looks at a checkpoint: a folder, or a file of weights. An error only where no weights can be read; what else is wrong is
/// [`Inspection::problem`].
pub fn inspect(place: &Path, options: &ModelOptions) -> Result<Inspection> {
    let missing = |source| PipelineError::NoCheckpoint { folder: place.to_owned(), source };
    fs_err::metadata(place).map_err(missing)?;
    inspect_files(FoundFiles::find(place)?, place, options)
}

/// As [`inspect`], of files that were found already.
pub fn inspect_files(files: FoundFiles, place: &Path, options: &ModelOptions) -> Result<Inspection> {
    let checkpoint = Checkpoint::open(&files.weights)?;
    let mut found = Inspection {
        layout: checkpoint.layout(),
        weights: checkpoint.facts(),
        model: None,
        fitting: Vec::new(),
        notices: Vec::new(),
        problem: None,
        files,
    };
    match ModelConfig::with_options(found.files.config.as_deref(), options) {
        Ok(config) => found.describe(config, &checkpoint, place, options)?,
        Err(error) => found.problem = Some(error.into()),
    }
    if found.model.is_none() {
        found.fitting = checkpoint.fitting_architectures();
    }
    Ok(found)
}

impl Inspection {
    fn describe(
        &mut self,
        config: ModelConfig,
        checkpoint: &Checkpoint,
        place: &Path,
        options: &ModelOptions,
    ) -> Result<()> {
        let id = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let choice = ModelChoice { id, source: ModelSource::Folder(place.to_owned()) };
        self.notices = notices(&choice, &config, checkpoint)?;
        let source = match (&options.architecture, &self.files.config) {
            (None, Some(path)) => ConfigSource::File(path.clone()),
            (name, _) => ConfigSource::Architecture(name.clone().unwrap_or_default()),
        };
        let tokenizer = match tokenizer(&self.files, &config) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                self.problem = Some(error);
                None
            }
        };
        if let Err(error) = checkpoint.check(&config) {
            self.problem = Some(error.into());
        }
        let pixels_are_stated = match &source {
            ConfigSource::File(path) => pixels_are_stated(path)?,
            ConfigSource::Architecture(_) => false,
        };
        self.model = Some(InspectedModel { config, source, pixels_are_stated, tokenizer });
        Ok(())
    }
}

/// Whether a configuration, or the `preprocessor_config.json` beside it, has the mean of pixels.
fn pixels_are_stated(config: &Path) -> Result<bool> {
    let parsed = |path: &Path| -> Result<Value> {
        let text = fs_err::read_to_string(path)?;
        Ok(serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.to_owned(), source })?)
    };
    if let Some(alignment) = Alignment::of_config(config)? {
        return pixels_are_stated(&alignment.from.config);
    }
    let value = parsed(config)?;
    let sections =
        ["preprocess_cfg", "pretrained_cfg"].map(|section| value.get(section).and_then(|keys| keys.get("mean")));
    if sections.into_iter().flatten().any(Value::is_array) {
        return Ok(true);
    }
    let beside = config.with_file_name("preprocessor_config.json");
    Ok(beside.is_file() && parsed(&beside)?.get("image_mean").is_some_and(Value::is_array))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn the_mean_of_pixels_is_looked_for_where_each_library_writes_it() -> Outcome {
        let folder = tempfile::tempdir()?;
        let (config, beside) = (folder.path().join("config.json"), folder.path().join("preprocessor_config.json"));
        for (text, stated) in [
            (r#"{"preprocess_cfg": {"mean": [0, 0, 0]}}"#, true),
            (r#"{"pretrained_cfg": {"mean": [0, 0, 0]}}"#, true),
            (r#"{"preprocess_cfg": {}, "model_cfg": {"mean": [0]}}"#, false),
        ] {
            fs_err::write(&config, text)?;
            assert_eq!(pixels_are_stated(&config)?, stated, "{text}");
        }
        fs_err::write(&beside, r#"{"image_mean": [0.5, 0.5, 0.5]}"#)?;
        assert!(pixels_are_stated(&config)?);
        fs_err::write(&beside, "{}")?;
        assert!(!pixels_are_stated(&config)?);
        Ok(())
    }
}
