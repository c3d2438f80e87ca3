//! Configuration: the layers of files, environment and flags, resolved once into [`Settings`].

mod layers;

use std::path::PathBuf;

use headspan_clip::DeviceChoice;
use headspan_extract::{DatasetSettings, ImagesSettings};
use headspan_label::{LexiconSettings, OpenAiSettings};
use headspan_metrics::Settings as MetricsSettings;
use serde::{Deserialize, Serialize};

pub(crate) use layers::Layers;

/// Name that stands for the pool built into the program.
pub(crate) const BUILT_IN: &str = "built-in";

/// Everything a run is told, after all layers. Each section is the slice of one stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Folder of all runs.
    pub(crate) runs: PathBuf,
    /// Name of the data set: the folder below `runs`.
    pub(crate) dataset: String,
    /// Models of a sweep.
    pub(crate) models: Vec<String>,
    /// Checkpoint folder; none takes the fetched weights of the model's id.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Where the model runs.
    pub(crate) device: DeviceChoice,
    /// The images.
    pub(crate) data: DatasetSettings,
    /// How images are extracted.
    pub(crate) images: ImagesSettings,
    /// The descriptions.
    pub(crate) texts: TextsSection,
    /// TEXTSPAN.
    pub(crate) textspan: TextspanSection,
    /// Labels.
    pub(crate) label: LabelSection,
    /// Scores.
    pub(crate) metrics: MetricsSection,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            runs: PathBuf::from("runs"),
            dataset: "images".to_owned(),
            models: Vec::new(),
            checkpoint: None,
            device: DeviceChoice::Auto,
            data: DatasetSettings::default(),
            images: ImagesSettings::default(),
            texts: TextsSection::default(),
            textspan: TextspanSection::default(),
            label: LabelSection::default(),
            metrics: MetricsSection::default(),
        }
    }
}

/// Descriptions and the prompts of their categories.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TextsSection {
    /// Pool file, or `built-in` for our tagged pool.
    pub(crate) file: PathBuf,
    /// Prompts of the property categories (columns text, category), or `built-in`.
    pub(crate) categories: PathBuf,
    /// Texts of one forward pass; 0 lets headspan choose.
    pub(crate) batch_size: usize,
}

impl Default for TextsSection {
    fn default() -> Self {
        Self { file: PathBuf::from(BUILT_IN), categories: PathBuf::from(BUILT_IN), batch_size: 0 }
    }
}

/// TEXTSPAN (arXiv 2310.05916, section 4.2).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TextspanSection {
    /// Texts of a head.
    pub(crate) texts: usize,
    /// Rank that texts are projected to; the numerical rank of the head where that is smaller.
    pub(crate) rank: usize,
}

impl Default for TextspanSection {
    fn default() -> Self {
        Self { texts: 60, rank: 80 }
    }
}

/// Which labeller, and how each works.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LabelSection {
    /// The labeller.
    pub(crate) labeller: Labeller,
    /// The offline labeller.
    pub(crate) lexicon: LexiconSettings,
    /// The labeller behind an OpenAI-compatible endpoint.
    pub(crate) openai: OpenAiSettings,
    /// File of imported labels.
    pub(crate) import: Option<PathBuf>,
}

/// Who labels heads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Labeller {
    /// Offline, by the categories of the pool.
    #[default]
    Lexicon,
    /// A language model behind an OpenAI-compatible endpoint.
    Openai,
    /// A file of labels.
    Import,
}

impl Labeller {
    /// Name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lexicon => "lexicon",
            Self::Openai => "openai",
            Self::Import => "import",
        }
    }
}

/// Scores and how names are folded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsSection {
    /// Synonym table, or `built-in`.
    pub(crate) synonyms: PathBuf,
    /// The scores' own settings.
    pub(crate) scores: MetricsSettings,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { synonyms: PathBuf::from(BUILT_IN), scores: MetricsSettings::default() }
    }
}
