use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Map, Value};
use fs_err as fs;

use crate::settings::Settings;

/// Prefix of environment variables: `HEADSPAN__TEXTSPAN__RANK=60`.
const PREFIX: &str = "HEADSPAN";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayersError {
    /// A file is not valid; the message of the TOML library names key, line and column.
    #[error("`{}`: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// An environment variable names no setting, or has the wrong type.
    #[error("environment variables `{PREFIX}__…`: {message}")]
    Environment {
        /// What is wrong, with the key.
        message: String,
    },
    /// A flag has a value that its setting does not take.
    #[error("configuration: {message}")]
    Merge {
        /// What is wrong, with the key.
        message: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Collects layers, the later ones stronger: built-in defaults, `configs/default.toml`, the model's file, a sweep file, the
/// environment, flags.
pub(crate) struct Layers {
    builder: config::ConfigBuilder<config::builder::DefaultState>,
}

impl Layers {
    /// Defaults of the program, and `default.toml` of the configuration folder if there is one.
    pub(crate) fn new(configs: &Path) -> Result<Self, LayersError> {
        let mut layers = Self { builder: Config::builder() };
        let path = configs.join("default.toml");
        if path.is_file() {
            layers = layers.file(&path)?;
        }
        Ok(layers)
    }

    /// A file that must exist. It is checked alone first, so that an unknown key is reported with its file and line.
    pub(crate) fn file(self, path: &Path) -> Result<Self, LayersError> {
        let text = fs::read_to_string(path)?;
        self.text(path, &text)
    }

    /// The text of a file.
    pub(crate) fn text(mut self, path: &Path, text: &str) -> Result<Self, LayersError> {
        toml::from_str::<Settings>(text).map_err(|error| LayersError::File {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        self.builder = self.builder.add_source(File::from_str(text, FileFormat::Toml));
        Ok(self)
    }

    /// The environment.
    pub(crate) fn environment(mut self, variables: Map<String, String>) -> Result<Self, LayersError> {
        let ours: Map<String, String> =
            variables.into_iter().filter(|(name, _)| name.starts_with(&format!("{PREFIX}__"))).collect();
        // As strings: the types of the settings read them, and a name such as `007` stays what it is.
        let source =
            || Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(ours.clone()));
        Config::builder()
            .add_source(source())
            .build()
            .and_then(Config::try_deserialize::<Settings>)
            .map_err(|error| LayersError::Environment { message: error.to_string() })?;
        self.builder = self.builder.add_source(source());
        Ok(self)
    }

    /// A flag, by the key of its setting.
    pub(crate) fn flag<V: Into<Value>>(mut self, key: &str, value: Option<V>) -> Result<Self, LayersError> {
        self.builder = self
            .builder
            .set_override_option(key, value)
            .map_err(|error| LayersError::Merge { message: error.to_string() })?;
        Ok(self)
    }

    /// Merges all layers.
    pub(crate) fn settings(self) -> Result<Settings, LayersError> {
        self.builder
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| LayersError::Merge { message: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        Layers { builder: Config::builder() }
    }

    #[test]
    fn later_layers_are_stronger() -> Result<(), LayersError> {
        let environment = Map::from_iter([("HEADSPAN__TEXTSPAN__RANK".to_owned(), "40".to_owned())]);
        let settings = layers()
            .text(Path::new("a.toml"), "[textspan]\nrank = 50\ntexts = 10\n")?
            .text(Path::new("b.toml"), "[textspan]\ntexts = 12\n")?
            .environment(environment)?
            .flag("dataset", Some("photos"))?
            .settings()?;
        assert_eq!((settings.textspan.rank, settings.textspan.texts), (40, 12));
        assert_eq!(settings.dataset, "photos");
        Ok(())
    }

    #[test]
    fn an_unknown_key_names_file_and_key() {
        let error = layers().text(Path::new("configs/sweeps/x.toml"), "[textspan]\nrnak = 50\n").err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("configs/sweeps/x.toml") && message.contains("rnak"), "{message}");
    }

    #[test]
    fn variables_have_the_types_of_their_settings() -> Result<(), LayersError> {
        let variables = [
            ("DATASET", "007"),
            ("LABEL__OPENAI__MODEL", "4.10"),
            ("IMAGES__LAYERS", "8"),
            ("IMAGES__STRICT", "true"),
            ("IMAGES__PART_ROWS", "12"),
            ("METRICS__SCORES__CONFIDENCE", "0.9"),
        ];
        let named = variables.map(|(name, value)| (format!("HEADSPAN__{name}"), value.to_owned()));
        let settings = layers().environment(Map::from_iter(named))?.settings()?;
        assert_eq!((settings.dataset.as_str(), settings.label.openai.model.as_str()), ("007", "4.10"));
        assert_eq!(settings.images.layers.to_string(), "8");
        assert!(settings.images.strict && settings.images.part_rows == 12);
        assert!((settings.metrics.scores.confidence - 0.9).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn an_unknown_variable_names_its_key() {
        let variables = Map::from_iter([("HEADSPAN__TEXTSPAN__RNAK".to_owned(), "40".to_owned())]);
        let message = layers().environment(variables).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("rnak"), "{message}");
    }
}
