use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::{Context, Result};
use arrow_array::StringArray;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{HeadId, Kept, parquet_bytes, write_atomic};
use headspan_images::RgbImage8;
use headspan_query::{
    Carried, Columns, ExtremesRequest, HeadSelection, ImageTrace, Neighbour, Neighbours, NeighboursRequest, Query,
    Scale, Shading, Similarity, Subtraction, TokenScores, contact_sheet, contrast, contrast_of, heat_map,
    image_columns, is_noise, map_columns, meant_head, png, segment, typical_contrast,
};
use serde::Serialize;

use crate::{
    cli::{ExtremesArgs, ImageArgs, NeighboursArgs, OutputArgs, Question, RunArgs, SegmentArgs, WhyArgs},
    commands::{UsageError, existing_run, placed, query_search::search, registry, settings},
    console::Console,
};
use headspan_pipeline::{Session, column_store};

/// Images of a contact sheet's row.
const COLUMNS: usize = 4;

/// An answer as JSON. Not a `json!` value, which would widen each score to digits that it does not have.
#[derive(Serialize)]
struct Answer<'a, T: Serialize> {
    run: String,
    /// The images that were asked about, where they are a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampleOf>,
    /// How much of the text the heads carry, of a question about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Carried>,
    found: &'a T,
}

/// That the images are a uniform sample.
#[derive(Serialize)]
struct SampleOf {
    kept: u64,
    images: u64,
}

impl SampleOf {
    fn of(bench: &Session) -> Option<Self> {
        match bench.run().kept() {
            Kept::Sample { kept, images } => Some(Self { kept, images }),
            Kept::All | Kept::Moments { .. } => None,
        }
    }

    /// As it stands after a number of images.
    fn in_words(bench: &Session) -> String {
        Self::of(bench)
            .map(|Self { kept, images }| format!(" (a uniform sample: {kept} of {images})"))
            .unwrap_or_default()
    }
}

/// Maps as JSON.
#[derive(Serialize)]
struct MapsAnswer<'a> {
    run: String,
    heads: &'a [HeadId],
    grid: usize,
    /// What was subtracted from each text.
    #[serde(skip_serializing_if = "Option::is_none")]
    subtracted: Option<&'a Subtraction>,
    maps: Vec<TextMap<'a>>,
}

#[derive(Serialize)]
struct TextMap<'a> {
    text: &'a str,
    scores: &'a [f32],
    /// What the map is worth.
    #[serde(flatten)]
    worth: Option<Worth>,
}

/// Answers a question about a finished run.
pub(crate) fn query(question: &Question, console: &Console<'_>) -> Result<()> {
    match question {
        Question::Neighbours(arguments) => neighbours(arguments, console),
        Question::Segment(arguments) => segmentation(arguments, console),
        Question::Extremes(arguments) => extremes(arguments, console),
        Question::Why(arguments) => why(arguments, console),
        Question::Search(arguments) => search(arguments, console),
    }
}

pub(super) fn open(run: &RunArgs) -> Result<Session> {
    let model = run.model.as_deref();
    let pipeline = placed(&run.pipeline(), model)?;
    let own = settings(&pipeline, None)?;
    let directory = existing_run(&own, model)?;
    let registry = Arc::new(registry(&pipeline.place.configs)?);
    Ok(Session::open(directory, own, registry, &column_store())?)
}

/// Heads as they were listed, with commas or by repeating the flag.
pub(super) fn selection(texts: &[String]) -> Result<HeadSelection> {
    texts.join(",").parse().map_err(UsageError::of)
}

/// The subject as pixels: of the run, or of a file.
fn pixels(bench: &Session, of: &ImageArgs) -> Result<RgbImage8> {
    match (of.image.as_deref(), of.file.as_deref()) {
        (Some(image), _) => Ok(bench.image(bench.run().find_image(image)?)?),
        (None, Some(file)) => Ok(bench.file(file)?),
        (None, None) => Err(UsageError("no image: give --image ID or --file PATH".to_owned()).into()),
    }
}

pub(super) fn embedding(bench: &Session, text: &str) -> Result<Vec<f32>> {
    if text.trim().is_empty() {
        return Err(UsageError("an empty text has no direction".to_owned()).into());
    }
    let (embedding, cut) = bench.model()?.embed(&[text])?.remove(0);
    if cut {
        tracing::warn!("the text is longer than the model's context; its end was cut off");
    }
    Ok(embedding)
}

/// Refuses a question about nothing, or about two things.
fn one_subject(arguments: &NeighboursArgs) -> Result<()> {
    let subjects = [arguments.of.image.is_some(), arguments.of.file.is_some(), arguments.text.is_some()];
    if subjects.into_iter().filter(|given| *given).count() == 1 {
        return Ok(());
    }
    Err(UsageError("ask with one of --image ID, --file PATH and --text TEXT".to_owned()).into())
}

fn neighbours(arguments: &NeighboursArgs, console: &Console<'_>) -> Result<()> {
    let heads = selection(&arguments.heads)?;
    one_subject(arguments)?;
    let bench = open(&arguments.run)?;
    let request = NeighboursRequest {
        heads,
        count: arguments.count.get(),
        similarity: if arguments.dot { Similarity::Dot } else { Similarity::Cosine },
        classes: arguments.class.iter().cloned().collect::<BTreeSet<_>>(),
        farthest: arguments.farthest,
    };
    let mut carried = None;
    let found = match (&arguments.of.image, &arguments.of.file, &arguments.text) {
        (Some(image), None, None) => bench.run().neighbours(Query::Image(bench.run().find_image(image)?), &request)?,
        (None, Some(file), None) => {
            bench.run().resolve(&request.heads)?;
            let trace = bench.trace(&bench.file(file)?)?;
            bench.run().neighbours(Query::Trace(&trace), &request)?
        }
        (_, _, text) => {
            // Heads are looked for before the model is loaded.
            bench.run().resolve(&request.heads)?;
            let text = text.as_deref().unwrap_or_default();
            let embedding = embedding(&bench, text)?;
            carried = carried_by(&bench, &bench.run().resolve(&request.heads)?, text, &embedding)?;
            bench.run().neighbours(Query::Text(&embedding), &request)?
        }
    };
    show_images(&bench, &found, carried, &arguments.output, console)
}

/// How much of a text heads carry, with a warning if the answer about it is noise.
fn carried_by(bench: &Session, heads: &[HeadId], text: &str, embedding: &[f32]) -> Result<Option<Carried>> {
    let carried = bench.run().carried(heads, embedding)?;
    if carried.is_some_and(|carried| carried.is_noise()) {
        tracing::warn!(
            "these heads hardly carry {text:?}: they vary more along most other texts, so the answer is noise"
        );
    }
    Ok(carried)
}

fn show_images(
    bench: &Session,
    found: &Neighbours,
    carried: Option<Carried>,
    output: &OutputArgs,
    console: &Console<'_>,
) -> Result<()> {
    if let Some(path) = &output.picture {
        write_sheet(bench, path, found.images.iter().enumerate().map(|(rank, one)| ((rank + 1).to_string(), one)))?;
    }
    if let Some(path) = &output.parquet {
        write_columns(path, image_columns(&found.images))?;
    }
    if output.json {
        return console.print_json(&Answer { run: bench.run().name(), sample: SampleOf::of(bench), carried, found });
    }
    let heads: Vec<String> = found.heads.iter().map(ToString::to_string).collect();
    let (table, sample) = (image_table(&found.images), SampleOf::in_words(bench));
    let (mean, std) = (found.mean, found.std);
    let scores = format!("over all images: mean {mean:.5}, standard deviation {std:.5}");
    let carried = carried.map(|carried| format!("\nthe text: {}", carried.in_words())).unwrap_or_default();
    console.print(&format!("{table}\nof {} images{sample}, by {}\n{scores}{carried}", found.compared, heads.join(" ")))
}

/// A contact sheet of images, each with what it is called and its score.
fn write_sheet<'a>(bench: &Session, path: &Path, images: impl Iterator<Item = (String, &'a Neighbour)>) -> Result<()> {
    let tiles = images.map(|(name, image)| {
        let mut lines = vec![format!("{name} {:.4}", image.score), image.image_id.clone()];
        lines.extend(image.class_id.clone());
        Ok((bench.image(image.image_index)?, lines))
    });
    Ok(write_atomic(path, &png(&contact_sheet(&tiles.collect::<Result<Vec<_>>>()?, COLUMNS))?)?)
}

fn write_columns(path: &Path, columns: Columns) -> Result<()> {
    let bytes = parquet_bytes(columns).with_context(|| format!("writing `{}`", path.display()))?;
    Ok(write_atomic(path, &bytes)?)
}

fn image_table(images: &[Neighbour]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "image", "class", "score"]);
    for (rank, image) in images.iter().enumerate() {
        table.add_row([
            Cell::new(rank + 1).set_alignment(CellAlignment::Right),
            Cell::new(&image.image_id),
            Cell::new(image.class_id.as_deref().unwrap_or("")),
            Cell::new(format!("{:.5}", image.score)).set_alignment(CellAlignment::Right),
        ]);
    }
    table
}

fn segmentation(arguments: &SegmentArgs, console: &Console<'_>) -> Result<()> {
    let heads = selection(&arguments.heads)?;
    let bench = open(&arguments.run)?;
    bench.run().resolve(&heads)?;
    let image = pixels(&bench, &arguments.of)?;
    let trace = bench.trace(&image)?;
    let subtraction = bench.subtraction(&arguments.baseline())?;
    let resolved = bench.run().resolve(&heads)?;
    let mut carried = Vec::with_capacity(arguments.text.len());
    let directions = arguments.text.iter().map(|text| {
        let embedding = embedding(&bench, text)?;
        carried.push(bench.run().carried(&resolved, &embedding)?);
        Ok(subtraction.of(&embedding))
    });
    let directions = directions.collect::<Result<Vec<_>>>()?;
    let texts: Vec<&[f32]> = directions.iter().map(Vec::as_slice).collect();
    let typical = typical_contrast(bench.run(), &trace, &heads, &subtraction)?;
    let worth =
        |at: usize, map: &TokenScores| Worth { margin: contrast_of(&map.patches) / typical, carried: carried[at] };
    let (shading, opacity) = (arguments.shading(), arguments.opacity);
    if texts.len() == 1 {
        let of = segment(bench.run(), &trace, &heads, texts[0])?;
        let scale = Scale::around_zero_of(&of.patches);
        let about = Some(About { subtraction, texts: vec![worth(0, &of)] });
        let maps = vec![(arguments.text[0].as_str(), of.patches.as_slice())];
        let shown = View { of: &of, maps, scale, shading, opacity, about };
        return show_maps(&bench, &image, &shown, &arguments.output, console);
    }
    let found = contrast(bench.run(), &trace, &heads, &texts)?;
    let scale = Scale::around_zero(found.scale);
    let texts_worth = found.maps.iter().enumerate().map(|(at, map)| worth(at, map)).collect();
    let about = Some(About { subtraction, texts: texts_worth });
    let maps = arguments.text.iter().map(String::as_str).zip(found.differences.iter().map(Vec::as_slice)).collect();
    let shown = View { of: &found.maps[0], maps, scale, shading, opacity, about };
    show_maps(&bench, &image, &shown, &arguments.output, console)
}

/// Maps of one image, and how they are drawn.
struct View<'a> {
    /// Heads and grid.
    of: &'a TokenScores,
    /// Title and scores `[grid, grid]` of each.
    maps: Vec<(&'a str, &'a [f32])>,
    scale: Scale,
    shading: Shading,
    opacity: f32,
    /// Of maps of texts.
    about: Option<About>,
}

/// What maps of texts were made with, and what they are worth.
struct About {
    subtraction: Subtraction,
    /// Of each text.
    texts: Vec<Worth>,
}

/// What the map of a text is worth.
#[derive(Clone, Copy, Serialize)]
struct Worth {
    /// Contrast of the map over that of a typical text's.
    margin: f32,
    /// How much of the text the heads carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Carried>,
}

fn show_maps(
    bench: &Session,
    image: &RgbImage8,
    shown: &View<'_>,
    output: &OutputArgs,
    console: &Console<'_>,
) -> Result<()> {
    let View { of, maps, scale, shading, opacity, about } = shown;
    let grid = of.grid;
    if let Some(path) = &output.picture {
        let seen = bench.seen(image)?;
        for (index, (text, scores)) in maps.iter().enumerate() {
            let picture = heat_map(&seen, scores, grid, scale, *shading, *opacity, text);
            write_atomic(&numbered(path, index, maps.len()), &png(&picture)?)?;
        }
    }
    if let Some(path) = &output.parquet {
        write_columns(path, map_columns(grid, maps))?;
    }
    if output.json {
        let worth = |at: usize| about.as_ref().map(|about| about.texts[at]);
        let maps = maps.iter().enumerate().map(|(at, (text, scores))| TextMap { text, scores, worth: worth(at) });
        let subtracted = about.as_ref().map(|about| &about.subtraction);
        let answer = MapsAnswer { run: bench.run().name(), heads: &of.heads, grid, subtracted, maps: maps.collect() };
        return console.print_json(&answer);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["text", "lowest", "highest", "highest at"]);
    for (text, scores) in maps {
        let own = Scale::of(scores);
        let at = scores.iter().position(|score| *score >= own.high).unwrap_or(0);
        let place = format!("row {}, column {}", at / grid, at % grid);
        table.add_row([(*text).to_owned(), format!("{:.5}", own.low), format!("{:.5}", own.high), place]);
    }
    let heads = if let [one] = of.heads[..] { one.to_string() } else { format!("{} heads", of.heads.len()) };
    let mut lines = vec![format!("{table}\n{grid} × {grid} patches, by {heads}")];
    if let Some(About { subtraction, texts }) = about {
        lines.push(format!("each text less {}", subtraction.in_words()));
        for ((text, _), Worth { margin, .. }) in maps.iter().zip(texts) {
            lines.push(format!("{text}: {margin:.1} times the contrast of a typical text's map"));
            if is_noise(*margin) {
                tracing::warn!("the map of {text:?} has little contrast: it is mostly noise");
            }
        }
    }
    console.print(&lines.join("\n"))
}

/// `map.png` for one map; `map-1.png`, `map-2.png` for several.
fn numbered(path: &Path, index: usize, count: usize) -> std::path::PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.png", index + 1))
}

fn extremes(arguments: &ExtremesArgs, console: &Console<'_>) -> Result<()> {
    if arguments.rank.is_some() {
        let message = "--rank is a setting of TEXTSPAN; the rank of one of the head's texts is --pick";
        return Err(UsageError(message.to_owned()).into());
    }
    let HeadSelection::Head(head) = selection(std::slice::from_ref(&arguments.head))? else {
        let message = format!("`{}` is not one head such as L3.H5", arguments.head);
        return Err(match meant_head(&arguments.head) {
            Some(head) => UsageError::hinted(message, format!("did you mean `{head}`?")),
            None => UsageError(message).into(),
        });
    };
    let bench = open(&arguments.run)?;
    let embedded = arguments.text.as_ref().map(|text| embedding(&bench, text)).transpose()?;
    let request = match (embedded.as_deref(), arguments.pick) {
        (Some(embedding), _) => ExtremesRequest::Text(embedding),
        (None, Some(rank)) => ExtremesRequest::Pick(rank),
        (None, None) => ExtremesRequest::Distance,
    };
    let found = bench.run().extremes(head, request, usize::from(arguments.count))?;
    let groups = [("largest", &found.largest), ("between", &found.between), ("smallest", &found.smallest)];
    let images =
        || groups.iter().flat_map(|(name, images)| images.iter().map(move |image| ((*name).to_owned(), image)));
    if let Some(path) = &arguments.output.picture {
        write_sheet(&bench, path, images())?;
    }
    if let Some(path) = &arguments.output.parquet {
        let ends = StringArray::from_iter_values(images().map(|(end, _)| end));
        let mut columns: Columns = vec![("end", Arc::new(ends))];
        columns.extend(image_columns(images().map(|(_, image)| image)));
        write_columns(path, columns)?;
    }
    if arguments.output.json {
        let sample = SampleOf::of(&bench);
        return console.print_json(&Answer { run: bench.run().name(), sample, carried: None, found: &found });
    }
    let what = match (&arguments.text, arguments.pick) {
        (Some(text), _) => format!("projection of {head} on {text:?}"),
        (None, Some(rank)) => format!("projection of {head} on its text {rank}, orthogonal to the texts before it"),
        (None, None) => format!("distance of {head} from its mean"),
    };
    let tables: Vec<String> = groups.iter().map(|(end, images)| format!("{end}\n{}", image_table(images))).collect();
    let (mean, std, sample) = (found.mean, found.std, SampleOf::in_words(&bench));
    console.print(&format!("{what}{sample}: mean {mean:.5}, standard deviation {std:.5}\n\n{}", tables.join("\n\n")))
}

fn why(arguments: &WhyArgs, console: &Console<'_>) -> Result<()> {
    let heads = selection(&arguments.heads)?;
    let bench = open(&arguments.run)?;
    bench.run().resolve(&heads)?;
    let image = pixels(&bench, &arguments.of)?;
    let neighbour = bench.run().find_image(&arguments.neighbour)?;
    let direction = bench.run().reason(neighbour, &heads)?;
    let trace: ImageTrace = bench.trace(&image)?;
    let map = segment(bench.run(), &trace, &heads, &direction)?;
    let (total, scale) = (map.total(), Scale::of(&map.patches));
    let title = format!("near {}", arguments.neighbour);
    let maps = vec![(title.as_str(), map.patches.as_slice())];
    let shown = View { of: &map, maps, scale, shading: Shading::Patches, opacity: 0.6, about: None };
    show_maps(&bench, &image, &shown, &arguments.output, console).context("the query's patches")?;
    if !arguments.output.json {
        console.print(&format!("score {total:.5}, of which the class token carries {:.5}", map.class_token))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_maps_have_several_files() {
        assert_eq!(numbered(Path::new("a/map.png"), 0, 1), Path::new("a/map.png"));
        assert_eq!(numbered(Path::new("a/map.png"), 1, 2), Path::new("a/map-2.png"));
    }
}
