use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Map, builder::DefaultState};
use fs_err as fs;

use crate::settings::{
    Overrides, Settings,
    keys::{similar_key, unknown_key},
    values::{VALUES, WrongValue, wrong_value},
};

/// Prefix of environment variables: `HEADSPAN__TEXTSPAN__RANK=60`.
const PREFIX: &str = "HEADSPAN";
/// Default settings in the program itself, which a file of this name in the configuration folder takes the place of.
const DEFAULTS: (&str, &str) = ("default.toml", include_str!("../../../../configs/default.toml"));

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A file is not valid; the source names key, line and column.
    #[error("settings file `{}` is not valid", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The setting that an unknown key may mean.
        meant: Option<&'static str>,
        /// What the TOML library said.
        source: Box<toml::de::Error>,
    },
    /// A single setting is not valid; the source names the key.
    #[error("setting `{assignment}` is not valid")]
    Assignment {
        /// The setting with its value, as it was given.
        assignment: String,
        /// The setting that an unknown key may mean.
        meant: Option<&'static str>,
        /// What the TOML library said.
        source: Box<toml::de::Error>,
    },
    /// An environment variable names no setting.
    #[error("environment variable `{name}` is not a setting")]
    Variable {
        /// The variable.
        name: String,
        /// The variable of the setting that it may mean.
        meant: Option<String>,
    },
    /// A setting has a value that it does not take.
    #[error("{}`{key}` is {value}, expected {expected}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Value {
        /// The file or the environment; none where several layers were merged.
        place: Option<String>,
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Settings cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// An environment variable has the wrong type.
    #[error("environment variables `{PREFIX}__…` are not valid settings")]
    Environment {
        /// What is wrong, with the key.
        source: Box<config::ConfigError>,
    },
    /// The layers cannot be merged.
    #[error("the settings cannot be merged")]
    Merge {
        /// What is wrong, with the key.
        source: Box<config::ConfigError>,
    },
    /// A path is not text, as settings are.
    #[error("`{}` is not UTF-8", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Collects layers of settings, the later ones stronger: `default.toml`, the model's file, files that are named, the
/// environment, flags.
pub struct SettingsFiles {
    builder: config::ConfigBuilder<DefaultState>,
    read: Vec<String>,
}

impl SettingsFiles {
    /// `default.toml` of the configuration folder, or the one in the program where the folder has none.
    pub fn new(configs: &Path) -> Result<Self, SettingsError> {
        let files = Self { builder: Config::builder(), read: Vec::new() };
        let path = configs.join(DEFAULTS.0);
        if path.is_file() { files.file(&path) } else { files.text(Path::new("default.toml (built in)"), DEFAULTS.1) }
    }

    /// Settings of one model, from `models/<id>.settings.toml` in the configuration folder if it is there.
    pub fn of_model(self, configs: &Path, id: &str) -> Result<Self, SettingsError> {
        let path = configs.join("models").join(format!("{id}.settings.toml"));
        if path.is_file() { self.file(&path) } else { Ok(self) }
    }

    /// A file that must exist. It is checked alone first, so that an unknown key is reported with its file and line.
    pub fn file(self, path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path)?;
        self.text(path, &text)
    }

    /// One setting, such as `textspan.rank=60`: its key, and its value as TOML. A value that is no TOML is taken for text, so that a path
    /// needs no quotes.
    pub fn assignment(mut self, assignment: &str) -> Result<Self, SettingsError> {
        let (key, value) = assigned(assignment);
        let text = format!("{key} = {value}\n");
        // The value may be an address with a signature, and the library's error shows the line.
        let is_address = assignment.contains("://");
        let told = assignment.split_once('?').filter(|_parts| is_address).map_or(assignment, |(told, _)| told);
        let failed = |source: toml::de::Error| {
            let shown = toml::from_str::<Settings>(&format!("{key} = \"…\"\n")).err().filter(|_| told != assignment);
            let (assignment, source) = (told.to_owned(), Box::new(shown.unwrap_or(source)));
            SettingsError::Assignment { assignment, meant: meant_key(&text), source }
        };
        let own = toml::from_str::<Settings>(&text).map_err(failed)?;
        self = self.layer(&own, &text, format!("setting `{told}`"))?;
        self.read.push(told.to_owned());
        Ok(self)
    }

    /// The text of a file.
    pub fn text(mut self, path: &Path, text: &str) -> Result<Self, SettingsError> {
        let failed = |source: toml::de::Error| SettingsError::File {
            path: path.to_owned(),
            meant: meant_key(text),
            source: Box::new(source),
        };
        let own = toml::from_str::<Settings>(text).map_err(failed)?;
        self = self.layer(&own, text, format!("settings file `{}`", path.display()))?;
        self.read.push(path.display().to_string());
        Ok(self)
    }

    /// A layer in TOML, which was read as `own` alone.
    fn layer(mut self, own: &Settings, text: &str, place: String) -> Result<Self, SettingsError> {
        check(own, Some(place))?;
        self.builder = self.builder.add_source(File::from_str(text, FileFormat::Toml));
        Ok(self)
    }

    /// The environment. Values stay text: the types of the settings read them, and a name such as `007` stays what it is.
    pub fn environment(mut self, variables: Map<String, String>) -> Result<Self, SettingsError> {
        let ours: Map<String, String> =
            variables.into_iter().filter(|(name, _)| name.starts_with(&format!("{PREFIX}__"))).collect();
        for name in ours.keys() {
            known_variable(name)?;
        }
        let source =
            || Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(ours.clone()));
        let own = Config::builder()
            .add_source(source())
            .build()
            .and_then(Config::try_deserialize::<Settings>)
            .map_err(|source| SettingsError::Environment { source: Box::new(source) })?;
        check(&own, Some(format!("environment variables `{PREFIX}__…`")))?;
        self.builder = self.builder.add_source(source());
        if !ours.is_empty() {
            self.read.push(format!("environment: {}", names(&ours)));
        }
        Ok(self)
    }

    /// Typed values, the strongest layer.
    pub fn overrides(mut self, overrides: &Overrides) -> Result<Self, SettingsError> {
        for path in overrides.paths() {
            if path.to_str().is_none() {
                return Err(SettingsError::NotUtf8 { path: path.to_owned() });
            }
        }
        let source = Config::try_from(overrides).map_err(|source| SettingsError::Merge { source: Box::new(source) })?;
        self.builder = self.builder.add_source(source);
        Ok(self)
    }

    /// What was read so far, weakest first.
    pub fn read(&self) -> &[String] {
        &self.read
    }

    /// Merges all layers.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let merged = self.builder.build().and_then(Config::try_deserialize);
        let mut settings: Settings = merged.map_err(|source| SettingsError::Merge { source: Box::new(source) })?;
        check(&settings, None)?;
        settings.expand_home();
        settings.data = settings.data.with_queries_aside();
        Ok(settings)
    }
}

/// The setting that an unknown key of a layer may mean.
fn meant_key(text: &str) -> Option<&'static str> {
    let table = toml::from_str::<serde_json::Value>(text).ok();
    table.and_then(|table| unknown_key(&table)).and_then(|key| similar_key(&key))
}

/// Refuses a value that its setting does not take.
fn check(settings: &Settings, place: Option<String>) -> Result<(), SettingsError> {
    match wrong_value(settings)? {
        None => Ok(()),
        Some(WrongValue { key, value, expected }) => Err(SettingsError::Value { place, key, value, expected }),
    }
}

/// Refuses a variable that names no setting.
fn known_variable(name: &str) -> Result<(), SettingsError> {
    let key = name.trim_start_matches(PREFIX).trim_start_matches("__").to_lowercase().replace("__", ".");
    // A setting may be a table of its own, such as `data.sample`.
    let names = |known: &str| key == known || key.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'));
    if VALUES.iter().any(|values| names(values.key)) {
        return Ok(());
    }
    let meant = similar_key(&key).map(variable);
    Err(SettingsError::Variable { name: name.to_owned(), meant })
}

/// The variable of a setting.
fn variable(key: &str) -> String {
    format!("{PREFIX}__{}", key.to_uppercase().replace('.', "__"))
}

/// The variable that one without effect may mean: `HEADSPAN_TEXTSPAN_RANK` has too few underscores.
pub fn meant_variable(name: &str) -> Option<String> {
    let plain = |name: &str| name.replace('_', "");
    let without_effect = name.starts_with(PREFIX) && !name.starts_with(&format!("{PREFIX}__"));
    let known = VALUES.iter().map(|values| variable(values.key)).find(|known| plain(known) == plain(name));
    known.filter(|_| without_effect)
}

fn names(variables: &Map<String, String>) -> String {
    let mut names: Vec<&str> = variables.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}

/// Key and value of a setting as a person gives it, `textspan.rank=60`. What is not TOML is text.
pub fn assigned(assignment: &str) -> (&str, toml::Value) {
    let (key, value) = assignment.split_once('=').unwrap_or((assignment, ""));
    let value = value.trim();
    let table = toml::from_str::<toml::Table>(&format!("value = {value}"));
    let one = table.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    (key.trim(), one.unwrap_or_else(|| value.into()))
}

#[cfg(test)]
mod tests {
    use headspan_extract::LayerSelection;

    use super::*;
    use crate::settings::{ImagesOverrides, TextspanOverrides};

    fn files() -> SettingsFiles {
        SettingsFiles { builder: Config::builder(), read: Vec::new() }
    }

    /// The chain of causes, as the command line prints it.
    fn told(error: &dyn std::error::Error) -> String {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    #[test]
    fn later_layers_are_stronger() -> Result<(), SettingsError> {
        let environment = Map::from_iter([("HEADSPAN__TEXTSPAN__RANK".to_owned(), "40".to_owned())]);
        let overrides = Overrides {
            dataset: Some("007".to_owned()),
            images: Some(ImagesOverrides { layers: Some(LayerSelection::List(vec![8, 9])), ..Default::default() }),
            textspan: Some(TextspanOverrides { texts: Some(13), rank: None }),
            ..Overrides::default()
        };
        let settings = files()
            .text(Path::new("a.toml"), "[textspan]\nrank = 50\ntexts = 10\n[images]\nstrict = true\n")?
            .text(Path::new("b.toml"), "[textspan]\ntexts = 12\n")?
            .environment(environment)?
            .overrides(&overrides)?
            .settings()?;
        assert_eq!((settings.textspan.rank, settings.textspan.texts), (40, 13));
        assert_eq!((settings.dataset.as_str(), settings.images.strict), ("007", true));
        assert_eq!(settings.images.layers, LayerSelection::List(vec![8, 9]));
        Ok(())
    }

    #[test]
    fn a_single_setting_needs_no_file() -> Result<(), SettingsError> {
        let settings = files()
            .text(Path::new("a.toml"), "[textspan]\nrank = 50\n")?
            .assignment("textspan.rank=40")?
            .assignment("data.path = my photos")?
            .assignment("images.layers=[8, 9]")?
            .assignment("images.strict=true")?
            .settings()?;
        assert_eq!((settings.textspan.rank, settings.data.path.as_path()), (40, Path::new("my photos")));
        assert_eq!((settings.images.layers, settings.images.strict), (LayerSelection::List(vec![8, 9]), true));
        let unknown = files().assignment("textspan.rnak=40").err();
        assert!(matches!(unknown, Some(SettingsError::Assignment { meant: Some("textspan.rank"), .. })));
        let wrong = files().assignment("textspan.texts=0").err().map(|error| told(&error)).unwrap_or_default();
        assert_eq!(wrong, "setting `textspan.texts=0`: `textspan.texts` is `0`, expected 1 or more");
        assert!(files().assignment("textspan").is_err() && files().assignment("").is_err());
        let signed = files().assignment("data.paht=https://h/a.tar?sig=secret").err();
        let message = signed.map(|error| told(&error)).unwrap_or_default();
        assert!(message.contains("data.paht=https://h/a.tar`") && !message.contains("secret"), "{message}");
        let signed = files().assignment("data.path=https://h/a.tar?sig=secret")?;
        assert!(!signed.read().concat().contains("secret"));
        assert_eq!(signed.settings()?.data.path, Path::new("https://h/a.tar"));
        Ok(())
    }

    #[test]
    fn the_defaults_in_the_program_are_those_of_the_types() -> Result<(), Box<dyn std::error::Error>> {
        let written = SettingsFiles::new(Path::new("no such folder"))?.settings()?;
        assert_eq!(serde_json::to_value(written)?, serde_json::to_value(Settings::default())?);
        Ok(())
    }

    #[test]
    fn an_unknown_key_names_file_and_key() {
        let error = files().text(Path::new("configs/sweeps/x.toml"), "[textspan]\nrnak = 50\n").err();
        let message = error.map(|error| told(&error)).unwrap_or_default();
        assert!(message.contains("configs/sweeps/x.toml") && message.contains("rnak"), "{message}");
    }

    #[test]
    fn variables_have_the_types_of_their_settings() -> Result<(), SettingsError> {
        let variables = [
            ("DATASET", "007"),
            ("LABEL__OPENAI__MODEL", "4.10"),
            ("IMAGES__LAYERS", "8"),
            ("IMAGES__STRICT", "true"),
            ("IMAGES__PART_ROWS", "12"),
            ("METRICS__SCORES__CONFIDENCE", "0.9"),
        ];
        let named = variables.map(|(name, value)| (format!("HEADSPAN__{name}"), value.to_owned()));
        let settings = files().environment(Map::from_iter(named))?.settings()?;
        assert_eq!((settings.dataset.as_str(), settings.label.openai.model.as_str()), ("007", "4.10"));
        assert_eq!(settings.images.layers.to_string(), "8");
        assert!(settings.images.strict && settings.images.part_rows == 12);
        assert!((settings.metrics.scores.confidence - 0.9).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn an_unknown_variable_names_its_key() {
        let variables = Map::from_iter([("HEADSPAN__TEXTSPAN__RNAK".to_owned(), "40".to_owned())]);
        let message = files().environment(variables).err().map(|error| told(&error)).unwrap_or_default();
        assert!(message.contains("HEADSPAN__TEXTSPAN__RNAK"), "{message}");
    }

    #[test]
    fn a_misspelt_name_has_a_suggestion() {
        let file = files().text(Path::new("x.toml"), "rank = 50\n").err();
        assert!(matches!(file, Some(SettingsError::File { meant: Some("textspan.rank"), .. })), "{file:?}");
        let variables = Map::from_iter([("HEADSPAN__TEXTSPAN__RNAK".to_owned(), "40".to_owned())]);
        let variable = files().environment(variables).err();
        let expected = Some("HEADSPAN__TEXTSPAN__RANK");
        assert!(matches!(&variable, Some(SettingsError::Variable { meant, .. }) if meant.as_deref() == expected));
        assert_eq!(meant_variable("HEADSPAN_TEXTSPAN_RANK").as_deref(), expected);
        for other in ["HEADSPAN_LOG", "HEADSPAN_TOKEN", "HEADSPAN__TEXTSPAN__RANK", "TEXTSPAN_RANK"] {
            assert_eq!(meant_variable(other), None, "{other}");
        }
    }

    #[test]
    fn a_wrong_value_names_its_layer_and_what_the_setting_takes() {
        let file = files().text(Path::new("x.toml"), "[textspan]\ntexts = 0\n").err();
        let message = file.map(|error| told(&error)).unwrap_or_default();
        assert_eq!(message, "settings file `x.toml`: `textspan.texts` is `0`, expected 1 or more");
        let variables = Map::from_iter([("HEADSPAN__LABEL__OPENAI__TEMPERATURE".to_owned(), "inf".to_owned())]);
        let message = files().environment(variables).err().map(|error| told(&error)).unwrap_or_default();
        assert!(message.contains("`label.openai.temperature` is not finite, expected 0 to 2"), "{message}");
        let overrides = Overrides { dataset: Some("a/b".to_owned()), ..Overrides::default() };
        let merged = files().overrides(&overrides).and_then(SettingsFiles::settings).err();
        let message = merged.map(|error| told(&error)).unwrap_or_default();
        assert!(message.starts_with("`dataset` is `\"a/b\"`, expected letters"), "{message}");
    }
}
