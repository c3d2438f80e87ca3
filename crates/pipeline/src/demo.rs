//! What the program carries: the demo models and the scenes that they look at.

use std::path::{Path, PathBuf};

use fs_err as fs;
use headspan_artifacts::{cache_folder, is_remote, write_atomic};
use headspan_scenes::{Combinations, DatasetFiles, DatasetFormat, World, write_dataset};

use crate::error::{PipelineError, Result};

/// A model in the program itself (`data/demo/`).
pub struct BuiltInModel {
    /// Id of its runs.
    pub id: &'static str,
    /// `QuickGELU` or `GELU`.
    pub activation: &'static str,
    /// Blocks of the image tower.
    pub layers: usize,
    /// Heads of a block.
    pub heads: usize,
    files: [(&'static str, &'static [u8]); 3],
}

macro_rules! built_in {
    ($id:literal, $activation:literal, $layers:literal, $heads:literal) => {
        BuiltInModel {
            id: $id,
            activation: $activation,
            layers: $layers,
            heads: $heads,
            files: [
                (
                    "open_clip_config.json",
                    include_bytes!(concat!("../../../data/demo/", $id, "/open_clip_config.json")),
                ),
                (
                    "open_clip_model.safetensors",
                    include_bytes!(concat!("../../../data/demo/", $id, "/open_clip_model.safetensors")),
                ),
                ("tokenizer.json", include_bytes!(concat!("../../../data/demo/", $id, "/tokenizer.json"))),
            ],
        }
    };
}

/// The demo models, in the order in which the demo runs them.
pub const MODELS: [BuiltInModel; 2] = [built_in!("scenes-4", "GELU", 4, 8), built_in!("scenes-6", "QuickGELU", 6, 6)];

/// Scenes of the demo.
pub const SCENES: u64 = 2_000;

/// The demo's world: other scenes than training saw, of all pairs of kind and colour.
const WORLD: World = World {
    seed: 1,
    pixels: 64,
    combinations: Combinations::All,
    correlation: 0.0,
    ease: 0.0,
    bystanders: 0.0,
    photos: 0.5,
    captions: 2,
};

/// The demo's data set below `runs`.
pub const DATASET: &str = "scenes";

impl BuiltInModel {
    /// The model of an id.
    pub fn find(id: &str) -> Option<&'static Self> {
        const ALL: &[BuiltInModel] = &MODELS;
        ALL.iter().find(|model| model.id == id)
    }

    /// Puts the files where they can be opened, if they are not there, and returns the checkpoint folder.
    pub fn unpack(&self, runs: &Path) -> Result<PathBuf> {
        let folder = folder(runs)?.join("models").join(self.id);
        for (name, bytes) in self.files {
            let path = folder.join(name);
            // Compared as a whole: a file of another version of the program must not pass for this one's.
            if !fs::read(&path).is_ok_and(|found| found == bytes) {
                let failed = |source| PipelineError::Unpack { model: self.id, source };
                write_atomic(&path, bytes).map_err(failed)?;
            }
        }
        Ok(folder)
    }
}

/// Renders the demo's scenes, if they are not there.
pub fn scenes(runs: &Path) -> Result<DatasetFiles> {
    let folder = folder(runs)?.join(DATASET);
    let files = DatasetFiles::below(&folder);
    let marker = folder.join("world.json");
    // Written last, so that a killed rendering is not taken for a whole one.
    let world =
        format!("{}\n", serde_json::json!({ "world": WORLD, "scenes": SCENES, "version": env!("CARGO_PKG_VERSION") }));
    let rendered = || fs::read_to_string(&marker).is_ok_and(|found| found == world);
    if rendered() {
        return Ok(files);
    }
    fs::create_dir_all(&folder)?;
    // Another process may be rendering them at this moment; what it leaves is what this one wants.
    let lock = fs::File::create(folder.join(".lock"))?;
    lock.file().lock()?;
    if !rendered() {
        tracing::info!("rendering {SCENES} scenes into `{}`", folder.display());
        // What a killed rendering or another version left. The folder is nobody's but ours.
        if files.images.exists() {
            fs::remove_dir_all(&files.images)?;
        }
        write_dataset(&WORLD, SCENES, DatasetFormat::Parquet, &folder)?;
        write_atomic(&marker, world.as_bytes())?;
    }
    Ok(files)
}

/// Where models and scenes of the demo lie: below `runs`, or in the user's cache where runs are in a store. Programs read them as files.
pub fn folder(runs: &Path) -> Result<PathBuf> {
    const NAME: &str = "built-in";
    if !is_remote(runs) {
        return Ok(runs.join(format!(".{NAME}")));
    }
    Ok(cache_folder().ok_or(PipelineError::NoCache)?.join(NAME))
}
