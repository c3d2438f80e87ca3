use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    str::FromStr,
};

use headspan_artifacts::{ArtifactError, LabelRow, MomentsRow, RunDirectory, Table, read_rows};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;

use crate::{
    CategoriesError, HeadTexts, LexiconSettings, OpenAiSettings, heads_of,
    import::{self, ImportError},
    lexicon,
    openai::{self, OpenAiError, PromptError},
};

/// Who labels heads: the seam at which a new way is added. It is a file of this crate and a line in [`LABELLERS`].
pub trait Labeller: Sync {
    /// Name in tables and settings.
    fn name(&self) -> &'static str;

    /// What it labels by, in a line for the help.
    fn summary(&self) -> &'static str;

    /// The values of the settings that its labels depend on.
    fn slice(&self, settings: &LabelSettings) -> Value;

    /// Hashes of the files that its labels depend on, by name.
    fn files(&self, settings: &LabelSettings) -> Result<BTreeMap<String, String>, LabelError>;

    /// Files and folders that its settings name, to be looked at before any work. An error if one that it needs is not named.
    fn paths<'a>(&self, settings: &'a LabelSettings) -> Result<Vec<NamedPath<'a>>, LabelError> {
        let _ = settings;
        Ok(Vec::new())
    }

    /// Checks what can be checked before there is anything to label: an extraction takes hours.
    fn check(&self, settings: &LabelSettings) -> Result<(), LabelError> {
        let _ = settings;
        Ok(())
    }

    /// How many of a head's first texts it judges; none where the labels come with judgements or without.
    fn judged_texts(&self, settings: &LabelSettings) -> Option<usize>;

    /// Labels the heads of a run.
    fn label(&self, request: &LabelRequest<'_>) -> Result<Vec<LabelRow>, LabelError>;
}

/// All labellers, the default first.
pub static LABELLERS: &[&dyn Labeller] = &[&lexicon::Lexicon, &openai::OpenAi, &import::Import];

/// A path that a setting names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedPath<'a> {
    /// The setting.
    pub key: &'static str,
    /// Where.
    pub path: &'a Path,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// What a labeller is given.
pub struct LabelRequest<'a> {
    /// The run whose heads are labelled.
    pub run: &'a RunDirectory,
    /// Settings.
    pub settings: &'a LabelSettings,
    /// Called with heads done and heads to do.
    pub progress: &'a (dyn Fn(u64, u64) -> ControlFlow<()> + Sync),
}

impl LabelRequest<'_> {
    /// Texts of every head that was extracted. Moments and readouts both list these heads; moments are the smaller table.
    pub fn heads(&self) -> Result<Vec<HeadTexts>, ArtifactError> {
        let extracted = read_rows::<MomentsRow>(&self.run.table(Table::Moments))?;
        let all = extracted.iter().map(MomentsRow::head_id);
        Ok(heads_of(read_rows(&self.run.table(Table::Textspan))?, all))
    }
}

/// Heads in labels that a run did not extract.
pub(crate) fn strangers(rows: &[LabelRow], heads: &[HeadTexts]) -> usize {
    let known: BTreeSet<_> = heads.iter().map(|head| head.head).collect();
    rows.iter().filter(|row| !known.contains(&row.head_id())).count()
}

/// Why heads have no labels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The operating system refused; the source names the path and the call.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A table of the run cannot be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The categories of descriptions cannot be found.
    #[error(transparent)]
    Categories(#[from] CategoriesError),
    /// A file of labels cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The prompts of a language model cannot be read.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// A language model cannot be asked.
    #[error(transparent)]
    LanguageModel(#[from] OpenAiError),
    /// The labeller `import` was chosen without a file.
    #[error("labeller `import` needs a file: `import` in section [label] is empty")]
    NoImportFile,
    /// A file of labels has none of a model, or none at all.
    #[error("`{}` has no labels{}", file.display(), model.as_ref().map(|model| format!(" of model `{model}`")).unwrap_or_default())]
    NoLabels {
        /// The file.
        file: PathBuf,
        /// The model, if labels of one were looked for.
        model: Option<String>,
    },
}

/// Which labeller, and how each works.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelSettings {
    /// The labeller.
    pub labeller: LabellerName,
    /// The offline labeller.
    pub lexicon: LexiconSettings,
    /// The labeller behind an OpenAI-compatible endpoint.
    pub openai: OpenAiSettings,
    /// File of imported labels.
    pub import: Option<PathBuf>,
}

/// Name of one of [`LABELLERS`], as settings have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LabellerName(&'static str);

impl LabellerName {
    /// The labeller of this name.
    pub fn labeller(self) -> &'static dyn Labeller {
        // The name came from the table.
        LABELLERS.iter().copied().find(|labeller| labeller.name() == self.0).unwrap_or(LABELLERS[0])
    }

    /// Names of all labellers.
    pub fn all() -> Vec<&'static str> {
        LABELLERS.iter().map(|labeller| labeller.name()).collect()
    }
}

impl Default for LabellerName {
    fn default() -> Self {
        Self(LABELLERS[0].name())
    }
}

impl fmt::Display for LabellerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for LabellerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for LabellerName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = LABELLERS.iter().find(|labeller| labeller.name() == name);
        let unknown = || format!("unknown labeller `{name}`: expected {}", Self::all().join(", "));
        found.map(|labeller| Self(labeller.name())).ok_or_else(unknown)
    }
}

impl Serialize for LabellerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for LabellerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labellers_are_found_by_their_names() {
        for labeller in LABELLERS {
            let name: Result<LabellerName, String> = labeller.name().parse();
            assert_eq!(name.map(|name| name.labeller().name()), Ok(labeller.name()));
        }
        assert!("oracle".parse::<LabellerName>().is_err_and(|error| error.contains("lexicon, openai, import")));
    }
}
