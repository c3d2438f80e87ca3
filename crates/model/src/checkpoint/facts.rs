//! What a file of weights says of its model by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Checkpoint, POSITIONS, TOKEN_EMBEDDING};
use crate::{
    error::Result,
    families::{ModelConfig, Parts, clip::architectures},
};

/// Where the blocks of the image tower are, after [`Checkpoint::open`] has renamed them.
const VISION_BLOCKS: &str = "visual.transformer.resblocks.";
/// Where the blocks of the text tower are.
const TEXT_BLOCKS: &str = "transformer.resblocks.";

/// Sizes that the shapes of tensors fix. Heads are not among them: a block's weights have the same shape for any number of heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightsFacts {
    /// Number of tensors that belong to the model.
    pub tensors: usize,
    /// Numbers in them.
    pub parameters: usize,
    /// Tensors by the type of their stored values.
    pub types: BTreeMap<String, usize>,
    /// Blocks of the image tower.
    pub layers: usize,
    /// Width of its residual stream.
    pub width: Option<usize>,
    /// Width of the hidden layer of its MLPs.
    pub mlp_width: Option<usize>,
    /// Side of a patch in pixels.
    pub patch_size: Option<usize>,
    /// Rows of its position embeddings: patches, and most often the class token.
    pub positions: Option<usize>,
    /// Length of the representation.
    pub d: Option<usize>,
    /// The text tower, where the file has one.
    pub text: Option<TextFacts>,
}

/// As [`WeightsFacts`], of the text tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextFacts {
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Most tokens of a text.
    pub context_length: Option<usize>,
}

/// An architecture that OpenCLIP knows by name and that has a checkpoint's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FittingArchitecture {
    /// OpenCLIP's name.
    pub name: &'static str,
    /// Side of the input in pixels, where it is not the architecture's own.
    pub image_size: Option<usize>,
}

impl Checkpoint {
    /// What the shapes of the tensors say.
    pub fn facts(&self) -> WeightsFacts {
        let mut types = BTreeMap::new();
        for tensor in self.tensors.values() {
            *types.entry(tensor.stored_as.to_string()).or_default() += 1;
        }
        let patches = self.shape("visual.conv1.weight");
        let width = patches.and_then(|shape| shape.first().copied());
        WeightsFacts {
            tensors: self.tensors.len(),
            parameters: self.tensors.values().map(|tensor| tensor.elements()).sum(),
            types,
            layers: self.blocks(VISION_BLOCKS),
            width,
            mlp_width: self.rows(&format!("{VISION_BLOCKS}0.mlp.c_fc.weight")),
            patch_size: patches.and_then(|shape| shape.last().copied()),
            positions: self.rows(POSITIONS),
            d: self.shape("visual.proj").map_or(width, |shape| shape.last().copied()),
            text: self.text_facts(),
        }
    }

    /// Whether the tensors are those of a configuration. The error names those that are missing, superfluous or of another shape. Nothing is
    /// loaded.
    pub fn check(&self, config: &ModelConfig) -> Result<()> {
        config.towers().check(self)
    }

    pub(crate) fn check_parts(&self, parts: &Parts<'_>) -> Result<()> {
        self.checked(parts).map(drop)
    }

    /// The architectures that have these tensors: with their own image size, else with the size that the position embeddings are for.
    pub fn fitting_architectures(&self) -> Vec<FittingArchitecture> {
        let fits = |name: &'static str| {
            let mut config = architectures::config(name).ok()?;
            let size = self.grids(&config.parts()).map(|(side, _)| side * config.vision.patch_size);
            config.vision.image_size = size.unwrap_or(config.vision.image_size);
            let fitting = FittingArchitecture { name, image_size: size };
            self.check_parts(&config.parts()).is_ok().then_some(fitting)
        };
        let found: Vec<FittingArchitecture> = architectures::names().filter_map(fits).collect();
        let own: Vec<FittingArchitecture> =
            found.iter().filter(|fitting| fitting.image_size.is_none()).copied().collect();
        if own.is_empty() { found } else { own }
    }

    fn text_facts(&self) -> Option<TextFacts> {
        let [vocab_size, width] = *self.shape(TOKEN_EMBEDDING)? else { return None };
        let context_length = self.rows("positional_embedding");
        Some(TextFacts { layers: self.blocks(TEXT_BLOCKS), width, vocab_size, context_length })
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    fn rows(&self, name: &str) -> Option<usize> {
        self.shape(name)?.first().copied()
    }

    fn blocks(&self, beginning: &str) -> usize {
        let numbers = self.tensors.keys().filter_map(|name| name.strip_prefix(beginning)?.split('.').next());
        numbers.collect::<BTreeSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::{checkpoint::expected, families::clip::ClipConfig};

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    /// A file with the tensors of a configuration, all nought: a header, and a hole of the right length.
    fn file_of(config: &ClipConfig, folder: &std::path::Path) -> std::io::Result<std::path::PathBuf> {
        let (mut header, mut end) = (Map::new(), 0);
        for (name, shape) in expected::tensors(&config.parts()) {
            let begin = end;
            end += 2 * shape.iter().product::<usize>() as u64;
            header.insert(name, json!({ "dtype": "F16", "shape": shape, "data_offsets": [begin, end] }));
        }
        let header = serde_json::Value::Object(header).to_string();
        let path = folder.join("model.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        fs_err::write(&path, &bytes)?;
        fs_err::OpenOptions::new().write(true).open(&path)?.set_len(bytes.len() as u64 + end)?;
        Ok(path)
    }

    #[test]
    fn weights_alone_say_their_sizes_and_which_architectures_they_fit() -> Outcome {
        let folder = tempfile::tempdir()?;
        let mut config = architectures::config("ViT-S-32-alt")?;
        let checkpoint = Checkpoint::open(&file_of(&config, folder.path())?)?;
        let facts = checkpoint.facts();
        assert_eq!((facts.layers, facts.width, facts.mlp_width), (12, Some(384), Some(1536)));
        assert_eq!((facts.patch_size, facts.positions, facts.d), (Some(32), Some(50), Some(256)));
        let text = TextFacts { layers: 10, width: 256, vocab_size: 49_408, context_length: Some(77) };
        assert_eq!(facts.text, Some(text));
        assert_eq!(facts.types, BTreeMap::from([("F16".to_owned(), facts.tensors)]));
        let fitting = |size| vec![FittingArchitecture { name: "ViT-S-32-alt", image_size: size }];
        assert_eq!(checkpoint.fitting_architectures(), fitting(None));
        checkpoint.check(&ModelConfig::from(config.clone()))?;
        config.vision.image_size = 256;
        let larger = Checkpoint::open(&file_of(&config, folder.path())?)?;
        assert_eq!(larger.fitting_architectures(), fitting(Some(256)));
        config.vision.layers = 11;
        let odd = Checkpoint::open(&file_of(&config, folder.path())?)?;
        assert_eq!(odd.fitting_architectures(), []);
        let error = odd.check(&ModelConfig::from(architectures::config("ViT-S-32-alt")?));
        assert!(error.is_err());
        Ok(())
    }
}
