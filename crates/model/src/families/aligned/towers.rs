use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::Device;
use serde_json::Value;

use super::{Alignment, LinearMap};
use crate::{
    backends::burn::BurnVisionTower,
    checkpoint::{Checkpoint, Notice},
    device::OpenDevice,
    error::{ClipError, Result},
    families::{
        Activation, FamilyTowers, ModelConfig, ModelOptions, TextLimits, Towers, VisionGeometry, VisionTower,
        image_towers,
    },
};

/// A tower, a CLIP and the map between them. The checkpoint that towers are loaded from is the tower's.
#[derive(Debug, Clone)]
struct AlignedTowers {
    tower: ModelConfig,
    clip: ModelConfig,
    clip_weights: PathBuf,
    texts: TextLimits,
    map: Arc<LinearMap>,
}

/// Reads the content of an `alignment.json` and the configurations that it refers to.
pub(super) fn config(path: &Path, value: Value) -> Result<ModelConfig> {
    let alignment = Alignment::from_json(path, value)?;
    let (tower, clip) = (ModelConfig::read(&alignment.from.config)?, ModelConfig::read(&alignment.to.config)?);
    let (texts, map) = (*clip.texts()?, Arc::new(LinearMap::read(&alignment.map.file)?));
    let (found, expected) = ([map.rows, map.columns], [tower.vision.d, clip.vision.d]);
    if found != expected {
        let what = format!("the map has shape {found:?}, the representations of tower and CLIP have {expected:?}");
        return Err(ClipError::Inconsistent { path: path.to_owned(), what });
    }
    Ok(AlignedTowers { tower, clip, clip_weights: alignment.to.weights, texts, map }.into())
}

impl AlignedTowers {
    /// The tower's, but for the length of its representation.
    fn geometry(&self) -> VisionGeometry {
        let (own, d) = (self.tower.vision, self.map.columns);
        VisionGeometry { d, head_dim: if own.gives_contributions() { d } else { own.head_dim }, ..own }
    }

    fn clip_checkpoint(&self) -> Result<Checkpoint> {
        Checkpoint::open(&self.clip_weights)
    }
}

impl FamilyTowers for AlignedTowers {
    fn family(&self) -> &'static str {
        "tower with the texts of a CLIP"
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        self.tower.towers().check(checkpoint)
    }

    /// The map belongs to the tower as its configuration says, so nothing else can be said.
    fn with(&self, options: &ModelOptions) -> Result<ModelConfig> {
        if options.is_empty() { Ok(self.clone().into()) } else { Err(ClipError::FixedByAlignment) }
    }

    fn activation(&self) -> Activation {
        self.tower.activation()
    }

    fn notices(&self, checkpoint: &Checkpoint) -> Vec<Notice> {
        self.tower.notices(checkpoint)
    }

    fn load(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        let text = self.clip.towers().load(&self.clip_checkpoint()?, device)?.text;
        Ok(Towers { vision: self.load_vision(checkpoint, device)?, text })
    }

    fn load_for_queries(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Towers> {
        let text = self.clip.towers().load_for_queries(&self.clip_checkpoint()?, device)?.text;
        let module = self.load_module(checkpoint, device.burn())?;
        let vision = image_towers::for_queries(module, device, self.geometry(), self.tower.preprocess)?;
        Ok(Towers { vision, text })
    }

    fn load_vision(&self, checkpoint: &Checkpoint, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        let module = self.load_module(checkpoint, device.burn())?;
        Ok(image_towers::on_device(module, device, self.geometry(), self.tower.preprocess))
    }

    fn load_module(&self, checkpoint: &Checkpoint, device: &Device) -> Result<BurnVisionTower> {
        self.map.behind(self.tower.towers().load_module(checkpoint, device)?)
    }

    fn bytes_beside(&self) -> Result<usize> {
        Ok(self.clip_checkpoint()?.towers_bytes())
    }

    /// Without the map, whose product is a small part of a pass.
    fn draw_vision(&self, blocks: usize, device: &OpenDevice) -> Result<Box<dyn VisionTower>> {
        self.tower.towers().draw_vision(blocks, device)
    }

    fn draw(&self, device: &OpenDevice) -> Result<Towers> {
        let (vision, text) = (self.tower.towers().draw(device)?.vision, self.clip.towers().draw(device)?.text);
        Ok(Towers { vision, text })
    }
}

impl From<AlignedTowers> for ModelConfig {
    fn from(aligned: AlignedTowers) -> Self {
        let preprocess = aligned.tower.preprocess;
        Self::new(aligned.geometry(), Some(aligned.texts), preprocess, Arc::new(aligned))
    }
}
