//! An image tower that gets the texts of a CLIP.

use std::path::{Path, PathBuf};

use fs_err as fs;
use headspan_artifacts::{Fingerprint, hash_file, write_atomic};
use headspan_extract::{AlignFigures, AlignJob, AlignSettings, Aligned, align as fit};
use headspan_images::Dataset;
use headspan_model::{
    AlignedPart, Alignment, Checkpoint, DeviceChoice, LinearMap, LoadedModel, MapFile, ModelOptions, open_device,
};
use serde_json::{Value, json};

use crate::{
    error::{PipelineError, Result},
    memory,
    model::{ModelFiles, hash_of, tell},
    progress::Progress,
    registry::ModelChoice,
    settings::Settings,
    stages::open_dataset,
};

/// Version of what enters the fingerprint of an aligned model.
const FINGERPRINT_VERSION: u32 = 1;

/// An aligned model on the disk.
pub struct AlignedModel {
    /// Its folder, a checkpoint for every command.
    pub folder: PathBuf,
    /// What is in its `alignment.json`.
    pub alignment: Alignment,
    /// What the map was fitted on, and how good it is.
    pub figures: AlignFigures,
}

/// Fits the map from a tower's representation to a CLIP's on the images of the settings, and writes the folder of the aligned model, whole or
/// not at all. An aligned model that is there is replaced; anything else in its place is an error, before any work. `held_out` is the share of
/// the images that the figures are measured on.
pub fn align(
    settings: &Settings,
    [tower, clip]: [&ModelChoice; 2],
    held_out: f64,
    out: &Path,
    progress: &dyn Progress,
) -> Result<AlignedModel> {
    check_place(out)?;
    let (tower_files, clip_files) = (open(tower)?, open(clip)?);
    clip_files.config.texts().map_err(|source| PipelineError::NoClip { model: clip.id.clone(), source })?;
    let dataset = open_dataset(settings)?;
    let images = &settings.images;
    let how = AlignSettings {
        held_out,
        batch_size: images.batch_size,
        decode_threads: images.decode_threads,
        max_pixels: images.max_pixels,
        strict: images.strict,
    };
    let models = [loaded(tower, &tower_files, settings.device)?, loaded(clip, &clip_files, settings.device)?];
    let meter = progress.begin(&format!("{} to {}", tower.id, clip.id), "images");
    let told = |done, total| meter.report(done, total);
    let [tower_model, clip_model] = &models;
    let job = AlignJob { tower: tower_model, clip: clip_model, dataset: &dataset, settings: &how, progress: &told };
    let Aligned { map, figures, examples } = fit(&job)?;
    warn(&figures, &examples, dataset.len());
    let bytes = map.to_safetensors()?;
    let made = Made { settings, dataset: &dataset, held_out, figures };
    let folder = std::path::absolute(out)?;
    let alignment = made.write(&folder, [&tower_files, &clip_files], &bytes)?;
    Ok(AlignedModel { folder, alignment, figures })
}

/// The files of a model that takes part, which must not be aligned itself.
fn open(choice: &ModelChoice) -> Result<ModelFiles> {
    let files = ModelFiles::open(choice, &ModelOptions::default())?;
    match files.files.config.as_deref().map(Alignment::of_config).transpose()?.flatten() {
        Some(_) => Err(PipelineError::AlreadyAligned { model: choice.id.clone() }),
        None => Ok(files),
    }
}

fn loaded(choice: &ModelChoice, files: &ModelFiles, device: DeviceChoice) -> Result<LoadedModel> {
    let (device, weights) = (open_device(device)?, &files.files.weights);
    tracing::info!("loading `{}` on {}", weights.display(), device.choice());
    let checkpoint = Checkpoint::open(weights)?;
    memory::check(weights, checkpoint.towers_bytes() as u64)?;
    let model = LoadedModel::for_queries(&checkpoint, &files.config, device)?;
    tell(choice, files, &checkpoint)?;
    Ok(model)
}

fn warn(figures: &AlignFigures, examples: &[(String, String)], images: u64) {
    if figures.skipped > 0 {
        let examples: String = examples.iter().map(|(id, error)| format!("\n  {id}: {error}")).collect();
        tracing::warn!("skipped {} of {images} images:{examples}", figures.skipped);
    }
    // Written so that a figure that is not a number is warned of.
    if figures.r2.is_nan() || figures.r2 <= 0.0 {
        tracing::warn!(
            "on held-out images the map is no better than the mean of CLIP's representations (R² {:.3}): texts say nothing about this tower",
            figures.r2
        );
    }
}

/// Refuses a place that holds something else than an aligned model.
fn check_place(out: &Path) -> Result<()> {
    let taken = || PipelineError::PlaceTaken { place: out.to_owned() };
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return Err(taken());
    }
    for entry in fs::read_dir(out)? {
        let name = entry?.file_name();
        if name != Alignment::FILE && name != LinearMap::FILE {
            return Err(taken());
        }
    }
    Ok(())
}

/// What the description of an aligned model is made of, beside the models.
struct Made<'a> {
    settings: &'a Settings,
    dataset: &'a Dataset,
    held_out: f64,
    figures: AlignFigures,
}

impl Made<'_> {
    /// For the reader of `alignment.json`.
    fn fit(&self) -> Result<Value> {
        let data = self.settings.data.clone().with_queries_aside().absolute()?;
        Ok(json!({
            "images": { "path": data.path, "dataset": self.dataset.fingerprint() },
            "held_out_share": self.held_out,
            "figures": self.figures,
        }))
    }

    /// Writes the folder beside its place and moves it there.
    fn write(&self, place: &Path, [tower, clip]: [&ModelFiles; 2], map: &[u8]) -> Result<Alignment> {
        let parent = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let folder = temporary(parent)?;
        let file = folder.path().join(LinearMap::FILE);
        write_atomic(&file, map)?;
        let (from, to) = (part(tower, false)?, part(clip, true)?);
        let map = MapFile { file: LinearMap::FILE.into(), hash: hash_file(&file)? };
        let alignment = Alignment {
            version: Alignment::VERSION,
            headspan: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: fingerprint([&from.hash, &to.hash, &map.hash]),
            from,
            to,
            map,
            fit: self.fit()?,
        };
        let text = serde_json::to_string_pretty(&alignment).map_err(std::io::Error::from)?;
        write_atomic(&folder.path().join(Alignment::FILE), format!("{text}\n").as_bytes())?;
        // What is replaced goes with its temporary folder.
        let aside = temporary(parent)?;
        if place.exists() {
            fs::rename(place, aside.path().join("replaced"))?;
        }
        fs::rename(folder.path(), place)?;
        Ok(alignment)
    }
}

/// A folder that is gone when it is dropped, unless it was moved.
fn temporary(parent: &Path) -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".headspan-").suffix(".tmp");
    // As of other artifacts: a temporary folder's own mode would hide them from the people of a group box.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(parent)
}

fn part(files: &ModelFiles, with_texts: bool) -> Result<AlignedPart> {
    let absolute = |path: &Path| std::path::absolute(path);
    let config = files.files.config.as_deref().map(absolute).transpose()?;
    Ok(AlignedPart {
        config: config.unwrap_or_default(),
        weights: absolute(&files.files.weights)?,
        tokenizer: files.tokenizer.as_deref().filter(|_| with_texts).map(absolute).transpose()?,
        hash: files.checkpoint_hash.clone(),
    })
}

/// Identity of an aligned model, of the hashes of the tower, of the CLIP and of the map.
fn fingerprint([tower, clip, map]: [&str; 3]) -> String {
    let builder = Fingerprint::builder("alignment", FINGERPRINT_VERSION);
    builder.input("tower", tower).input("clip", clip).input("map", map).finish().to_string()
}

/// The fingerprint of an aligned model, from its files as they are now. An error if one is not what it was when the map was fitted.
pub(crate) fn checked_fingerprint(config: &Path, alignment: &Alignment) -> Result<String> {
    let Alignment { from, to, map, .. } = alignment;
    let check = |what, place: &Path, recorded: &str, found: String| {
        let changed = || PipelineError::AlignmentChanged { path: config.to_owned(), what, place: place.to_owned() };
        if found == recorded { Ok(found) } else { Err(changed()) }
    };
    let tower = check("tower", &from.weights, &from.hash, hash_of(&from.config, &from.weights)?)?;
    let clip = check("CLIP", &to.weights, &to.hash, hash_of(&to.config, &to.weights)?)?;
    let map = check("map", &map.file, &map.hash, hash_file(&map.file)?)?;
    Ok(fingerprint([&tower, &clip, &map]))
}
