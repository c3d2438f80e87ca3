//! Settings: files, environment and flags, merged once into [`Settings`].

mod files;
mod keys;
mod overrides;
mod values;

use std::path::PathBuf;

use headspan_extract::ImagesSettings;
use headspan_images::DatasetSettings;
use headspan_label::LabelSettings;
use headspan_metrics::Settings as MetricsSettings;
use headspan_model::{DeviceChoice, ModelOptions};
use serde::{Deserialize, Serialize};

pub use files::{SettingsError, SettingsFiles, assigned, meant_variable};
pub use overrides::{
    DataOverrides, ImagesOverrides, LabelOverrides, ModelOverrides, Overrides, TextsOverrides, TextspanOverrides,
};
pub use values::{VALUES, Values};

/// Name that stands for the pool built into the program.
pub const BUILT_IN: &str = "built-in";

/// Everything a run is told, after all layers. Each section is the slice of one stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder of all runs.
    pub runs: PathBuf,
    /// Name of the data set: the folder below `runs`.
    pub dataset: String,
    /// Models of a sweep.
    pub models: Vec<String>,
    /// Checkpoint folder; none takes the fetched weights of the model's id.
    pub checkpoint: Option<PathBuf>,
    /// Where the model runs.
    pub device: DeviceChoice,
    /// What the checkpoint's configuration does not say, or says otherwise.
    pub model: ModelOptions,
    /// The images.
    pub data: DatasetSettings,
    /// How images are extracted.
    pub images: ImagesSettings,
    /// The descriptions.
    pub texts: TextsSection,
    /// TEXTSPAN.
    pub textspan: TextspanSection,
    /// Labels.
    pub label: LabelSettings,
    /// Scores.
    pub metrics: MetricsSection,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runs: PathBuf::from("runs"),
            dataset: "images".to_owned(),
            models: Vec::new(),
            checkpoint: None,
            device: DeviceChoice::Auto,
            model: ModelOptions::default(),
            data: DatasetSettings::default(),
            images: ImagesSettings::default(),
            texts: TextsSection::default(),
            textspan: TextspanSection::default(),
            label: LabelSettings::default(),
            metrics: MetricsSection::default(),
        }
    }
}

impl Settings {
    /// Replaces `~` at the start of paths by the home folder: only a shell does it, and not in files or after `=`.
    fn expand_home(&mut self) {
        let Some(home) = std::env::home_dir() else { return };
        let data = &mut self.data;
        let paths = [
            &mut self.runs,
            &mut data.path,
            &mut self.texts.file,
            &mut self.texts.categories,
            &mut self.metrics.synonyms,
        ];
        let optional = [
            self.checkpoint.as_mut(),
            data.classes.as_mut(),
            data.root.as_mut(),
            self.label.import.as_mut(),
            self.label.openai.prompts.as_mut(),
        ];
        for path in paths.into_iter().chain(optional.into_iter().flatten()) {
            if let Ok(rest) = path.strip_prefix("~") {
                *path = home.join(rest);
            }
        }
    }

    /// What labeller and scores must agree on and do not, in a sentence: the labeller judges the first texts of a head, and
    /// the scores count the judgements of as many. None if they agree.
    pub fn disagreement(&self) -> Option<String> {
        let (labeller, scored) = (self.label.labeller.labeller(), self.metrics.scores.texts);
        let threshold = self.metrics.scores.association_threshold;
        if threshold > scored {
            return Some(format!(
                "no head can be associated: {threshold} texts must be consistent (`metrics.scores.association_threshold`), \
                 and only {scored} are considered (`metrics.scores.texts`)"
            ));
        }
        let judged = labeller.judged_texts(&self.label).filter(|judged| *judged < scored)?;
        let name = labeller.name();
        Some(format!(
            "the scores consider {scored} texts per head (`metrics.scores.texts`), and the labeller judges only {judged} (`label.{name}.texts`)"
        ))
    }
}

/// Descriptions and the prompts of their categories.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextsSection {
    /// Pool file, or `built-in` for our tagged pool.
    pub file: PathBuf,
    /// Prompts of the property categories (columns text, category), or `built-in`.
    pub categories: PathBuf,
    /// Texts of one forward pass; 0 lets headspan choose.
    pub batch_size: usize,
}

impl Default for TextsSection {
    fn default() -> Self {
        Self { file: PathBuf::from(BUILT_IN), categories: PathBuf::from(BUILT_IN), batch_size: 0 }
    }
}

/// TEXTSPAN (arXiv 2310.05916, section 4.2).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextspanSection {
    /// Texts of a head.
    pub texts: usize,
    /// Number of principal directions kept per head; the numerical rank of the head where that is smaller.
    pub rank: usize,
}

impl Default for TextspanSection {
    fn default() -> Self {
        Self { texts: 60, rank: 80 }
    }
}

/// Scores and how names are folded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Synonym table, or `built-in`.
    pub synonyms: PathBuf,
    /// The scores' own settings.
    pub scores: MetricsSettings,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { synonyms: PathBuf::from(BUILT_IN), scores: MetricsSettings::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_texts_that_nobody_judges_are_told() {
        let mut settings = Settings::default();
        assert_eq!(settings.disagreement(), None);
        settings.label.lexicon.texts = 3;
        let told = settings.disagreement().unwrap_or_default();
        assert!(told.contains("5 texts") && told.contains("`label.lexicon.texts`"), "{told}");
        settings.metrics.scores.texts = 3;
        assert_eq!(settings.disagreement(), None);
        settings.metrics.scores.texts = 2;
        assert!(settings.disagreement().is_some_and(|told| told.contains("no head can be associated")));
    }
}
