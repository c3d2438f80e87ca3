use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_images::{DecodeLimits, RgbImage8, decode_rgb};
use headspan_query::{ExploreModel, MapMethod, SegmentationScores, SegmentationTrial, TextTrial};
use headspan_scenes::{Attribute, Count, Hue, Kind, Pattern, Scene, World};
use serde_json::{Value, json};

use crate::{
    cli::SegmentationArgs,
    commands::{
        UsageError,
        evaluate::{Opened, opened},
        evaluate_texts::Texts,
        percent,
    },
    console::Console,
};

/// Most pixels of an image or mask.
const MAX_PIXELS: u64 = 100_000_000;

/// Texts of one forward pass.
const TEXTS_AT_ONCE: usize = 256;

/// Holds the decomposition's maps against masks, beside raw attention and rollout.
pub(super) fn segmentation(arguments: &SegmentationArgs, console: &Console<'_>) -> Result<()> {
    let Opened { tokenizer, model } = opened(&arguments.checkpoint, arguments.device)?;
    let layers = arguments.layers.resolve(model.vision().geometry().layers)?;
    let readouts = model.readout_folder()?.readouts(&layers)?;
    let model = ExploreModel::new(model, tokenizer);
    let trial = |classes: &[String]| -> Result<SegmentationTrial<'_>> {
        Ok(SegmentationTrial::new(&model, &readouts, embeddings(&model, classes)?)?)
    };
    let (Some(images), Some(masks), Some(classes)) = (&arguments.images, &arguments.masks, &arguments.classes) else {
        let texts = Texts::new(
            (0..NAMES).map(name).collect(),
            |texts| embeddings(&model, texts),
            |texts, baselines, pool| Ok(TextTrial::new(&model, &readouts, texts, baselines, pool)?),
        )?;
        return of_scenes(&trial, texts, arguments, console);
    };
    let mut trial = trial(&listed(classes, &arguments.template)?)?;
    let skipped = of_folders(&mut trial, images, masks, arguments.limit.get())?;
    if trial.images() == 0 {
        bail!("no image could be scored; the warnings above say why");
    }
    let found = Scored { title: "", key: "folders", scores: trial.scores(), images: trial.images(), skipped };
    if arguments.json { console.print_json(&found.json()) } else { console.print(&found.table()) }
}

/// What one trial found.
struct Scored {
    title: &'static str,
    key: &'static str,
    scores: Vec<(MapMethod, SegmentationScores)>,
    images: usize,
    skipped: usize,
}

impl Scored {
    fn json(&self) -> Value {
        let methods = self.scores.iter().map(|(method, scores)| json!({ "method": method, "scores": scores }));
        json!({ "images": self.images, "skipped": self.skipped, "methods": methods.collect::<Vec<_>>() })
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["map", "pixel accuracy", "mIoU", "mAP", "AP of foreground"]);
        let share = |share: f64| Cell::new(percent(share)).set_alignment(CellAlignment::Right);
        for (method, scores) in &self.scores {
            table.add_row([
                Cell::new(method.name()),
                share(scores.pixel_accuracy),
                share(scores.mean_iou),
                share(scores.average_precision),
                share(scores.foreground_precision),
            ]);
        }
        format!("{}{table}\n{} images, {} skipped", self.title, self.images, self.skipped)
    }
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

/// Scenes of one kind, the class predicted as published, and scenes with two things, each asked for by its text.
fn of_scenes<'a>(
    trial: &impl Fn(&[String]) -> Result<SegmentationTrial<'a>>,
    mut texts: Texts<'_>,
    arguments: &SegmentationArgs,
    console: &Console<'_>,
) -> Result<()> {
    let world = World { seed: arguments.seed, captions: 0, ..World::default() };
    let mut named = trial(&(0..NAMES).map(name).collect::<Vec<_>>())?;
    let beside = World { bystanders: 1.0, ..world };
    let two = (0..).filter(|index| beside.subject(*index).1.is_some()).take(arguments.limit.get());
    for scene in two.map(|index| beside.scene(index)) {
        let Some(bystander) = scene.bystander else { continue };
        let hue = |hue: Hue| scene.attributes.shows(Hue::CATEGORY).then_some(hue);
        let (objects, other) = (grey(&scene, &scene.mask), grey(&scene, &scene.bystander_mask));
        let asked = [
            (named_class(scene.attributes.kind, hue(scene.attributes.hue)), &objects),
            (named_class(bystander.kind, hue(bystander.hue)), &other),
        ];
        named.add_named(&rgb(&scene), &asked)?;
        texts.add(&rgb(&scene), &asked)?;
    }
    let mut predicted = trial(&objects())?;
    for scene in (0..arguments.limit.get() as u64).map(|index| world.scene(index)) {
        predicted.add(&rgb(&scene), &grey(&scene, &scene.mask))?;
    }
    let scored = |title, key, trial: &SegmentationTrial<'_>| Scored {
        title,
        key,
        scores: trial.scores(),
        images: trial.images(),
        skipped: 0,
    };
    let found = [
        scored("Things of one kind, the class predicted:\n", "predicted", &predicted),
        scored("Two things in a scene, each asked for by its text:\n", "named", &named),
    ];
    if arguments.json {
        let mut all: BTreeMap<&str, Value> = found.iter().map(|one| (one.key, one.json())).collect();
        all.insert("single", texts.json());
        return console.print_json(&all);
    }
    let mut tables: Vec<String> = found.iter().map(Scored::table).collect();
    tables.push(texts.table());
    console.print(&tables.join("\n\n"))
}

/// Classes of what is asked for by name: each kind, and each kind in each colour.
const NAMES: usize = Kind::ALL.len() * (1 + Hue::ALL.len());

/// Class of a kind, in a colour if the picture shows colours.
fn named_class(kind: Kind, hue: Option<Hue>) -> usize {
    kind.index() * (1 + Hue::ALL.len()) + hue.map_or(0, |hue| 1 + hue.index())
}

/// Text of such a class, as a person would type it.
fn name(class: usize) -> String {
    let kind = Kind::ALL[class / (1 + Hue::ALL.len())].name();
    match class % (1 + Hue::ALL.len()) {
        0 => format!("a {kind}"),
        hue => {
            let hue = Hue::ALL[hue - 1].name();
            format!("{} {hue} {kind}", if hue == "orange" { "an" } else { "a" })
        }
    }
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

fn rgb(scene: &Scene) -> RgbImage8 {
    RgbImage8 { width: scene.pixels, height: scene.pixels, data: scene.image.clone() }
}

fn grey(scene: &Scene, mask: &[u8]) -> RgbImage8 {
    let data = mask.iter().flat_map(|value| [*value; 3]).collect();
    RgbImage8 { width: scene.pixels, height: scene.pixels, data }
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
