use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_clip::{DecodeLimits, ReadoutFolder, RgbImage8, decode_rgb};
use headspan_explore::{ExploreModel, SegmentationTrial};
use headspan_scenes::{Attribute, Count, Hue, Kind, Pattern, World};
use serde_json::json;

use crate::{
    cli::SegmentationArgs,
    commands::{
        UsageError,
        evaluate::{Opened, opened},
        percent, print, print_json,
    },
};

/// Most pixels of an image or mask.
const MAX_PIXELS: u64 = 100_000_000;

/// Texts of one forward pass.
const TEXTS_AT_ONCE: usize = 256;

/// Holds the decomposition's maps against masks, beside raw attention and rollout.
pub(super) fn segmentation(arguments: &SegmentationArgs) -> Result<()> {
    let Opened { config, tokenizer, device, model: clip } = opened(&arguments.checkpoint, arguments.device)?;
    let layers = arguments.layers.resolve(config.vision.layers)?;
    let readouts = ReadoutFolder::new(&clip.visual)?.readouts(&layers)?;
    let model = ExploreModel::new(clip, tokenizer, &config, device);
    let classes = match &arguments.classes {
        Some(file) => listed(file, &arguments.template)?,
        None => objects(),
    };
    let embeddings = embeddings(&model, &classes)?;
    let mut trial = SegmentationTrial::new(&model, &readouts, embeddings)?;
    let skipped = match (&arguments.images, &arguments.masks) {
        (Some(images), Some(masks)) => of_folders(&mut trial, images, masks, arguments.limit)?,
        _ => of_scenes(&mut trial, arguments)?,
    };
    if trial.images() == 0 {
        bail!("no image could be scored; the warnings above say why");
    }
    if arguments.json {
        let methods = trial.scores().into_iter().map(|(method, scores)| json!({ "method": method, "scores": scores }));
        let methods: Vec<_> = methods.collect();
        return print_json(&json!({ "images": trial.images(), "skipped": skipped, "methods": methods }));
    }
    print(&table(&trial, skipped))
}

fn table(trial: &SegmentationTrial<'_>, skipped: usize) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["map", "pixel accuracy", "mIoU", "mAP", "AP of foreground"]);
    let share = |share: f64| Cell::new(percent(share)).set_alignment(CellAlignment::Right);
    for (method, scores) in trial.scores() {
        table.add_row([
            Cell::new(method.name()),
            share(scores.pixel_accuracy),
            share(scores.mean_iou),
            share(scores.average_precision),
            share(scores.foreground_precision),
        ]);
    }
    format!("{table}\n{} images, {skipped} skipped", trial.images())
}

/// Embeddings of texts, some at a time.
fn embeddings(model: &ExploreModel, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    let mut all = Vec::with_capacity(texts.len());
    for some in texts.chunks(TEXTS_AT_ONCE) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        all.extend(model.embed(&some)?.into_iter().map(|(embedding, _cut)| embedding));
    }
    Ok(all)
}

/// Text of each class of a file.
fn listed(file: &Path, template: &str) -> Result<Vec<String>> {
    if !template.contains("{}") {
        return Err(UsageError(format!("--template {template:?} has no {{}} where the class goes")).into());
    }
    let text = fs_err::read_to_string(file)?;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if names.len() < 2 {
        bail!("`{}`: {} classes; two or more are needed, one a line", file.display(), names.len());
    }
    Ok(names.iter().map(|name| template.replace("{}", name)).collect())
}

/// A text for each object of the rendered world as captions describe it: number, size, colour, pattern and kind.
fn objects() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut add = |words: Vec<&str>| {
        let longer = texts.iter().flat_map(|text| words.iter().map(move |word| format!("{text}{word} ")));
        texts = longer.collect();
    };
    add(Count::ALL.iter().map(|count| count.name()).collect());
    add(vec!["small", "medium-sized", "large"]);
    add(Hue::ALL.iter().map(|hue| hue.name()).collect());
    add(Pattern::ALL.iter().map(|pattern| pattern.name()).collect());
    add(Kind::ALL.iter().map(|kind| kind.name()).collect());
    texts.iter().map(|text| text.trim_end().to_owned()).collect()
}

fn of_scenes(trial: &mut SegmentationTrial<'_>, arguments: &SegmentationArgs) -> Result<usize> {
    let world = World { seed: arguments.seed, captions: 0, ..World::default() };
    for index in 0..arguments.limit as u64 {
        let scene = world.scene(index);
        let side = scene.pixels;
        let mask = scene.mask.iter().flat_map(|value| [*value; 3]).collect();
        let mask = RgbImage8 { width: side, height: side, data: mask };
        trial.add(&RgbImage8 { width: side, height: side, data: scene.image }, &mask)?;
    }
    Ok(0)
}

/// Scores the images that have a mask; the others, and what cannot be read, are counted and named.
fn of_folders(trial: &mut SegmentationTrial<'_>, images: &Path, masks: &Path, limit: usize) -> Result<usize> {
    let mut paths: Vec<PathBuf> = fs_err::read_dir(images)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut skipped = 0;
    for path in paths.iter().take(limit) {
        let name = path.file_stem().unwrap_or_default();
        let mask = masks.join(name).with_extension("png");
        let scored = decoded(path).and_then(|image| {
            let mask = whitened(decoded(&mask)?);
            trial.add(&image, &mask).with_context(|| format!("`{}`", path.display()))
        });
        if let Err(error) = scored {
            skipped += 1;
            tracing::warn!("skipped: {error:#}");
        }
    }
    Ok(skipped)
}

fn decoded(path: &Path) -> Result<RgbImage8> {
    let bytes = fs_err::read(path)?;
    decode_rgb(&bytes, &DecodeLimits { max_pixels: MAX_PIXELS }).with_context(|| format!("`{}`", path.display()))
}

/// Masks may hold class numbers such as 1 or 15, which are nearly black: anything but black is foreground.
fn whitened(mut mask: RgbImage8) -> RgbImage8 {
    for pixel in mask.data.chunks_exact_mut(3) {
        let value = if pixel.iter().any(|channel| *channel > 0) { 255 } else { 0 };
        pixel.fill(value);
    }
    mask
}
