//! The six models of arXiv 2409.06579, other published ones, models that the user adds, and any checkpoint folder beside them.

use std::path::{Path, PathBuf};

use fs_err as fs;
use headspan_artifacts::similar_name;
use serde::Deserialize;

use crate::demo;

/// One of the models that are known by id: a file of `configs/models/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// `<architecture>_<pretraining>`, as in the published tool.
    pub id: String,
    /// Architecture, by OpenCLIP's name.
    pub architecture: String,
    /// Whether the architecture's name alone means this model too: of those that the paper has, its own models.
    #[serde(default = "yes")]
    pub by_architecture: bool,
    /// Repository on the hub.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Configuration file.
    pub config: String,
    /// Candidates for the weights, best first; the first that the repository has is fetched.
    pub weights: Vec<String>,
    /// Tokenizer file.
    pub tokenizer: String,
    /// `QuickGELU` or `GELU`, for the table of `headspan models`; the configuration file of the weights decides.
    pub activation: String,
    /// Blocks.
    pub layers: usize,
    /// Heads of a block.
    pub heads: usize,
}

fn yes() -> bool {
    true
}

macro_rules! built_in {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../../configs/models/", $id, ".toml")))),+]
    };
}

/// The models of the program: the paper's six in the order of the design's table, then others that OpenCLIP has by these names.
const BUILT_IN: &[(&str, &str)] = built_in![
    "ViT-B-32_openai",
    "ViT-B-32_datacomp_m_s128m_b4k",
    "ViT-B-16_openai",
    "ViT-B-16_laion2b_s34b_b88k",
    "ViT-L-14_openai",
    "ViT-L-14_laion2b_s32b_b82k",
    "ViT-B-32_laion400m_e32",
    "ViT-B-32_laion2b_e16",
    "ViT-B-32_laion2b_s34b_b79k",
    "ViT-B-32_datacomp_xl_s13b_b90k",
    "ViT-B-32_metaclip_400m",
    "ViT-B-32_metaclip_fullcc",
    "ViT-B-32-256_datacomp_s34b_b86k",
    "ViT-B-16_laion400m_e32",
    "ViT-B-16_datacomp_xl_s13b_b90k",
    "ViT-B-16_datacomp_l_s1b_b8k",
    "ViT-B-16_dfn2b",
    "ViT-B-16_metaclip_400m",
    "ViT-B-16_metaclip_fullcc",
    "ViT-B-16-plus-240_laion400m_e31",
    "ViT-L-14_laion400m_e32",
    "ViT-L-14_datacomp_xl_s13b_b90k",
    "ViT-L-14_metaclip_400m",
    "ViT-L-14_metaclip_fullcc",
    "ViT-L-14_dfn2b",
    "ViT-L-14_dfn2b_s39b",
    "ViT-L-14-336_openai",
    "ViT-H-14_laion2b_s32b_b79k",
    "ViT-H-14_metaclip_fullcc",
    "ViT-H-14_dfn5b",
    "ViT-H-14-378_dfn5b",
    "ViT-g-14_laion2b_s12b_b42k",
    "ViT-g-14_laion2b_s34b_b88k",
    "ViT-bigG-14_laion2b_s39b_b160k",
    "ViT-bigG-14_metaclip_fullcc",
    "ViT-B-16-SigLIP_webli",
    "ViT-B-16-SigLIP-256_webli",
    "ViT-B-16-SigLIP-384_webli",
    "ViT-L-16-SigLIP-256_webli",
    "ViT-L-16-SigLIP-384_webli",
    "ViT-SO400M-14-SigLIP-384_webli",
    "ViT-B-16-SigLIP2_webli",
    "ViT-B-16-SigLIP2-256_webli",
    "ViT-L-16-SigLIP2-256_webli",
    "ViT-SO400M-14-SigLIP2_webli",
    "ViT-SO400M-16-SigLIP2-384_webli",
    "EVA02-B-16_merged2b_s8b_b131k",
    "EVA02-L-14_merged2b_s4b_b131k",
    "EVA02-L-14-336_merged2b_s6b_b61k",
    "coca_ViT-B-32_laion2b_s13b_b90k",
    "coca_ViT-L-14_laion2b_s13b_b90k",
];

/// A name that stands for no model, or a model's file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Not an id, not an architecture.
    #[error("unknown model `{name}`: known architectures are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All architectures.
        known: String,
        /// The id or architecture that may have been meant.
        meant: Option<String>,
    },
    /// A model's file is broken.
    #[error("model file `{}` is not valid", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the TOML library said.
        source: Box<toml::de::Error>,
    },
    /// A model's file is called otherwise than the model in it.
    #[error("`{}` describes a model with the id `{id}`: its name must be `{id}.toml`", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The id in it.
        id: String,
    },
    /// The folder of models could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The models that are known by id.
#[derive(Debug, Clone)]
pub struct Registry {
    models: Vec<KnownModel>,
    read: Vec<PathBuf>,
}

impl Registry {
    /// The models of the program and those of `models/` in the configuration folder. A file there takes the place of the
    /// program's of the same name.
    pub fn read(configs: &Path) -> Result<Self, ModelError> {
        let mut registry = Self::built_in()?;
        for path in model_files(&configs.join("models"))? {
            let model = parse(&path, &fs::read_to_string(&path)?)?;
            match registry.models.iter_mut().find(|known| known.id == model.id) {
                Some(known) => *known = model,
                None => registry.models.push(model),
            }
            registry.read.push(path);
        }
        Ok(registry)
    }

    /// The models of the program alone.
    pub fn built_in() -> Result<Self, ModelError> {
        let models = BUILT_IN.iter().map(|(id, text)| parse(Path::new(&format!("{id}.toml")), text));
        Ok(Self { models: models.collect::<Result<_, _>>()?, read: Vec::new() })
    }

    /// All models: the program's, the paper's six first, then the user's by name.
    pub fn models(&self) -> &[KnownModel] {
        &self.models
    }

    /// Files that were read from the configuration folder.
    pub fn files(&self) -> &[PathBuf] {
        &self.read
    }

    /// The models that a name stands for: an id itself, or those that an architecture's name means.
    pub fn resolve(&self, name: &str) -> Result<Vec<KnownModel>, ModelError> {
        let fits = |model: &&KnownModel| model.id == name || (model.by_architecture && model.architecture == name);
        let found: Vec<KnownModel> = self.models.iter().filter(fits).cloned().collect();
        if found.is_empty() {
            let mut known: Vec<String> = self.models.iter().map(|model| format!("`{}`", model.architecture)).collect();
            let mut seen = std::collections::BTreeSet::new();
            known.retain(|architecture| seen.insert(architecture.clone()));
            let meant = self.similar(name).map(str::to_owned);
            return Err(ModelError::Unknown { name: name.to_owned(), known: known.join(", "), meant });
        }
        Ok(found)
    }

    /// The id or architecture that a name may mean.
    fn similar(&self, name: &str) -> Option<&str> {
        let own = demo::MODELS.iter().map(|model| model.id);
        let architectures = self.models.iter().map(|model| model.architecture.as_str());
        similar_name(name, architectures.chain(self.models.iter().map(|model| model.id.as_str())).chain(own))
    }
}

fn parse(path: &Path, text: &str) -> Result<KnownModel, ModelError> {
    let broken = |source| ModelError::File { path: path.to_owned(), source: Box::new(source) };
    let model: KnownModel = toml::from_str(text).map_err(broken)?;
    if path.file_stem().is_some_and(|name| name == model.id.as_str()) {
        Ok(model)
    } else {
        Err(ModelError::Name { path: path.to_owned(), id: model.id })
    }
}

/// Files of models in a folder, by name; `<id>.settings.toml` beside them are settings.
fn model_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    let wanted = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let is_toml = path.extension().is_some_and(|ending| ending == "toml");
        is_toml && !name.ends_with(".settings") && !name.starts_with('.')
    };
    let mut found: Vec<PathBuf> = paths.into_iter().filter(wanted).collect();
    found.sort();
    Ok(found)
}

/// Where a run's weights come from.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// A folder of the user.
    Folder(PathBuf),
    /// The hub's cache.
    Hub(Box<KnownModel>),
}

/// A model of a run.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// Id: the folder's name below the data set.
    pub id: String,
    /// Its files.
    pub source: ModelSource,
}

impl ModelChoice {
    /// A run that is found by its folder: stages that read only tables need no weights.
    pub fn by_run(id: &str) -> Self {
        Self { id: id.to_owned(), source: ModelSource::Folder(PathBuf::new()) }
    }
}

#[cfg(test)]
mod tests {
    use headspan_model::{ModelConfig, ModelOptions, architectures};

    use super::*;

    fn built_in() -> Result<Registry, ModelError> {
        Registry::read(Path::new("no such folder"))
    }

    #[test]
    fn an_architecture_means_its_models_or_those_of_the_paper() -> Result<(), ModelError> {
        let ids: Vec<String> = built_in()?.resolve("ViT-L-14")?.into_iter().map(|model| model.id).collect();
        assert_eq!(ids, ["ViT-L-14_openai", "ViT-L-14_laion2b_s32b_b82k"]);
        assert_eq!(built_in()?.resolve("ViT-B-16_openai")?.len(), 1);
        assert_eq!(built_in()?.resolve("ViT-L-14_datacomp_xl_s13b_b90k")?.len(), 1, "not the paper's, but known");
        assert_eq!(built_in()?.resolve("ViT-H-14")?.len(), 3);
        Ok(())
    }

    #[test]
    fn each_model_is_known_once_and_has_the_size_of_its_architecture() -> Result<(), Box<dyn std::error::Error>> {
        let registry = built_in()?;
        let mut ids: Vec<&str> = registry.models().iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids.len(), 51);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 51, "an id stands twice");
        let known = |model: &&KnownModel| architectures().any(|name| name == model.architecture);
        let of_clip: Vec<&KnownModel> = registry.models().iter().filter(known).collect();
        assert_eq!(of_clip.len(), 35, "the others are SigLIP's, EVA's and CoCa's");
        for model in of_clip {
            let options = ModelOptions { architecture: Some(model.architecture.clone()), ..ModelOptions::default() };
            let vision = ModelConfig::with_options(None, &options)?.vision;
            assert_eq!((vision.layers, vision.heads), (model.layers, model.heads), "{}", model.id);
        }
        Ok(())
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() -> Result<(), ModelError> {
        let message = built_in()?.resolve("RN50").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("`ViT-B-32`"), "{message}");
        for (name, expected) in [
            ("vit-b-32", Some("ViT-B-32")),
            ("ViT-L/14", Some("ViT-L-14")),
            ("ViT-B-32-openai", Some("ViT-B-32_openai")),
            ("scenes4", Some("scenes-4")),
            ("RN50", None),
        ] {
            let error = built_in()?.resolve(name).err();
            assert!(
                matches!(&error, Some(ModelError::Unknown { meant, .. }) if meant.as_deref() == expected),
                "{error:?}"
            );
        }
        Ok(())
    }

    #[test]
    fn files_of_the_folder_replace_models_and_add_some() -> Result<(), Box<dyn std::error::Error>> {
        let configs = tempfile::tempdir()?;
        let models = configs.path().join("models");
        fs::create_dir(&models)?;
        let (_, text) = BUILT_IN[0];
        fs::write(models.join("ViT-B-32_openai.toml"), text.replace("revision = \"main\"", "revision = \"abc\""))?;
        fs::write(models.join("mine.toml"), text.replace("ViT-B-32_openai\"", "mine\""))?;
        fs::write(models.join("mine.settings.toml"), "[textspan]\nrank = 5\n")?;
        let registry = Registry::read(configs.path())?;
        assert_eq!((registry.models().len(), registry.files().len()), (BUILT_IN.len() + 1, 2));
        assert_eq!(registry.models()[0].revision, "abc");
        assert_eq!(registry.resolve("ViT-B-32")?.len(), 3, "the third has the same architecture");
        fs::rename(models.join("mine.toml"), models.join("other.toml"))?;
        assert!(matches!(Registry::read(configs.path()), Err(ModelError::Name { id, .. }) if id == "mine"));
        Ok(())
    }
}
