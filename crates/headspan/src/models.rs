//! The six models of arXiv 2409.06579, and any checkpoint folder beside them.

use std::path::PathBuf;

use serde::Deserialize;

/// One of the models that are known by id: a file of `configs/models/`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownModel {
    /// `<architecture>_<pretraining>`, as in the published tool.
    pub(crate) id: String,
    /// Architecture.
    pub(crate) architecture: String,
    /// Repository on the hub.
    pub(crate) repository: String,
    /// Branch, tag or commit.
    pub(crate) revision: String,
    /// Files to fetch; of weights the first name that the repository has.
    pub(crate) config: String,
    /// Candidates for the weights, best first.
    pub(crate) weights: Vec<String>,
    /// Tokenizer file.
    pub(crate) tokenizer: String,
    /// `QuickGELU` or `GELU`, for the table of `headspan models`; the configuration file of the weights decides.
    pub(crate) activation: String,
    /// Blocks, heads of a block, width of a head, length of the embedding.
    pub(crate) layers: usize,
    /// Heads of a block.
    pub(crate) heads: usize,
}

const FILES: [(&str, &str); 6] = [
    ("configs/models/ViT-B-32_openai.toml", include_str!("../../../configs/models/ViT-B-32_openai.toml")),
    (
        "configs/models/ViT-B-32_datacomp_m_s128m_b4k.toml",
        include_str!("../../../configs/models/ViT-B-32_datacomp_m_s128m_b4k.toml"),
    ),
    ("configs/models/ViT-B-16_openai.toml", include_str!("../../../configs/models/ViT-B-16_openai.toml")),
    (
        "configs/models/ViT-B-16_laion2b_s34b_b88k.toml",
        include_str!("../../../configs/models/ViT-B-16_laion2b_s34b_b88k.toml"),
    ),
    ("configs/models/ViT-L-14_openai.toml", include_str!("../../../configs/models/ViT-L-14_openai.toml")),
    (
        "configs/models/ViT-L-14_laion2b_s32b_b82k.toml",
        include_str!("../../../configs/models/ViT-L-14_laion2b_s32b_b82k.toml"),
    ),
];

/// A name that stands for no model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// Not an id, not an architecture.
    #[error(
        "unknown model `{name}`: known are {known} (an architecture's name alone means all its models; for a checkpoint of your own use --checkpoint)"
    )]
    Unknown {
        /// The name.
        name: String,
        /// What could have been meant.
        known: String,
    },
    /// A model file is broken.
    #[error("`{path}`: {message}")]
    File {
        /// The file.
        path: String,
        /// What the TOML library said.
        message: String,
    },
}

/// All known models, in the order of the design's table.
pub(crate) fn known_models() -> Result<Vec<KnownModel>, ModelError> {
    FILES
        .iter()
        .map(|(path, text)| {
            toml::from_str(text)
                .map_err(|error| ModelError::File { path: (*path).to_owned(), message: error.to_string() })
        })
        .collect()
}

/// The models that a name stands for: an id itself, or all of an architecture.
pub(crate) fn resolve(name: &str) -> Result<Vec<KnownModel>, ModelError> {
    let models = known_models()?;
    let found: Vec<KnownModel> =
        models.iter().filter(|model| model.id == name || model.architecture == name).cloned().collect();
    if found.is_empty() {
        let known: Vec<String> = models.into_iter().map(|model| format!("`{}`", model.id)).collect();
        return Err(ModelError::Unknown { name: name.to_owned(), known: known.join(", ") });
    }
    Ok(found)
}

/// Where a run's weights come from.
#[derive(Debug, Clone)]
pub(crate) enum ModelSource {
    /// A folder of the user.
    Folder(PathBuf),
    /// The hub's cache.
    Hub(Box<KnownModel>),
}

/// A model of a run.
#[derive(Debug, Clone)]
pub(crate) struct ModelChoice {
    /// Id: the folder's name below the data set.
    pub(crate) id: String,
    /// Its files.
    pub(crate) source: ModelSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_means_all_its_models() -> Result<(), ModelError> {
        let ids: Vec<String> = resolve("ViT-L-14")?.into_iter().map(|model| model.id).collect();
        assert_eq!(ids, ["ViT-L-14_openai", "ViT-L-14_laion2b_s32b_b82k"]);
        assert_eq!(resolve("ViT-B-16_openai")?.len(), 1);
        Ok(())
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        let message = resolve("RN50").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("ViT-B-32_openai") && message.contains("--checkpoint"), "{message}");
    }
}
