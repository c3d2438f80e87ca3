use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, Float32Array, StringArray, UInt32Array, UInt64Array};
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::write_atomic;
use headspan_clip::RgbImage8;
use headspan_explore::{
    ExtremesRequest, HeadSelection, ImageTrace, Neighbour, Neighbours, NeighboursRequest, Query, Scale, Shading,
    Similarity, TokenScores, contact_sheet, contrast, heat_map, png, segment,
};
use serde_json::json;

use crate::{
    cli::{ExtremesArgs, NeighboursArgs, OutputArgs, Question, SegmentArgs, SubjectArgs, WhyArgs},
    commands::{UsageError, columns::write_columns, print, print_json, run::existing_run, settings},
    workbench::Workbench,
};

/// Images of a contact sheet's row.
const COLUMNS: usize = 4;

/// Answers a question about a finished run.
pub(crate) fn query(question: &Question) -> Result<()> {
    match question {
        Question::Neighbours(arguments) => neighbours(arguments),
        Question::Segment(arguments) => segmentation(arguments),
        Question::Extremes(arguments) => extremes(arguments),
        Question::Why(arguments) => why(arguments),
    }
}

fn open(subject: &SubjectArgs) -> Result<Workbench> {
    let own = settings(&subject.pipeline, None)?;
    let directory = existing_run(&own, &subject.model)?;
    Workbench::open(directory, own)
}

fn selection(text: &str) -> Result<HeadSelection> {
    Ok(text.parse().map_err(|error: headspan_explore::SelectionError| UsageError(error.to_string()))?)
}

/// Where an image stands: by id, or `#index`.
fn index_of(bench: &Workbench, image: &str) -> Result<u64> {
    let by_number = image.strip_prefix('#').and_then(|number| number.parse::<u64>().ok());
    let row = match by_number {
        Some(index) => bench.run.image(index)?,
        None => bench.run.image_by_id(image)?,
    };
    Ok(row.image_index)
}

/// The subject as pixels: of the run, or of a file.
fn pixels(bench: &Workbench, image: Option<&str>, file: Option<&Path>) -> Result<RgbImage8> {
    match (image, file) {
        (Some(image), _) => bench.image(index_of(bench, image)?),
        (None, Some(file)) => bench.file(file),
        (None, None) => Err(UsageError("no image: give --image ID or --file PATH".to_owned()).into()),
    }
}

fn embedding(bench: &Workbench, text: &str) -> Result<Vec<f32>> {
    if text.trim().is_empty() {
        return Err(UsageError("an empty text has no direction".to_owned()).into());
    }
    let (embedding, cut) = bench.model()?.embed(&[text])?.remove(0);
    if cut {
        tracing::warn!("the text is longer than the model's context; its end was cut off");
    }
    Ok(embedding)
}

fn neighbours(arguments: &NeighboursArgs) -> Result<()> {
    let subject = &arguments.subject;
    let bench = open(subject)?;
    let request = NeighboursRequest {
        heads: selection(&arguments.heads)?,
        count: arguments.count,
        similarity: if arguments.cosine { Similarity::Cosine } else { Similarity::Dot },
        classes: arguments.class.iter().cloned().collect::<BTreeSet<_>>(),
        farthest: arguments.farthest,
    };
    let found = match (&arguments.image, &arguments.file, &arguments.text) {
        (Some(image), None, None) => bench.run.neighbours(Query::Image(index_of(&bench, image)?), &request)?,
        (None, Some(file), None) => {
            let trace = bench.trace(&bench.file(file)?)?;
            bench.run.neighbours(Query::Trace(&trace), &request)?
        }
        (None, None, Some(text)) => bench.run.neighbours(Query::Text(&embedding(&bench, text)?), &request)?,
        _ => return Err(UsageError("ask with one of --image ID, --file PATH and --text TEXT".to_owned()).into()),
    };
    show_images(&bench, &found, &arguments.output)
}

fn show_images(bench: &Workbench, found: &Neighbours, output: &OutputArgs) -> Result<()> {
    if let Some(path) = &output.picture {
        let tiles = found.images.iter().enumerate().map(|(rank, neighbour)| {
            let mut lines = vec![format!("{} {:.4}", rank + 1, neighbour.score), neighbour.image_id.clone()];
            lines.extend(neighbour.class_id.clone());
            Ok((bench.image(neighbour.image_index)?, lines))
        });
        let sheet = contact_sheet(&tiles.collect::<Result<Vec<_>>>()?, COLUMNS);
        write_atomic(path, &png(&sheet)?)?;
    }
    if let Some(path) = &output.parquet {
        let column = |value: fn(&Neighbour) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from(found.images.iter().map(value).collect::<Vec<_>>()))
        };
        let ids: Vec<&str> = found.images.iter().map(|one| one.image_id.as_str()).collect();
        let classes: Vec<Option<&str>> = found.images.iter().map(|one| one.class_id.as_deref()).collect();
        let scores: Vec<f32> = found.images.iter().map(|one| one.score).collect();
        write_columns(
            path,
            vec![
                ("image_index", column(|one| one.image_index)),
                ("image_id", Arc::new(StringArray::from(ids))),
                ("class_id", Arc::new(StringArray::from(classes))),
                ("score", Arc::new(Float32Array::from(scores))),
            ],
        )?;
    }
    if output.json {
        return print_json(&json!({ "run": bench.run.name(), "found": found }));
    }
    let heads: Vec<String> = found.heads.iter().map(ToString::to_string).collect();
    print(&format!("{}\nof {} images, by {}", image_table(&found.images), found.compared, heads.join(" ")))
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

fn segmentation(arguments: &SegmentArgs) -> Result<()> {
    let bench = open(&arguments.subject)?;
    let image = pixels(&bench, arguments.image.as_deref(), arguments.file.as_deref())?;
    let heads = selection(&arguments.heads)?;
    bench.run.resolve(&heads)?;
    let trace = bench.trace(&image)?;
    let embeddings = arguments.text.iter().map(|text| embedding(&bench, text)).collect::<Result<Vec<_>>>()?;
    let texts: Vec<&[f32]> = embeddings.iter().map(Vec::as_slice).collect();
    let output = &arguments.output;
    if texts.len() == 1 {
        let map = segment(&bench.run, &trace, &heads, texts[0])?;
        let scale = Scale::of(&map.patches);
        let shown = [(arguments.text[0].as_str(), map.patches.as_slice())];
        return show_maps(&bench, &image, &map, &shown, scale, arguments.shading(), arguments.opacity, output);
    }
    let maps = contrast(&bench.run, &trace, &heads, &texts)?;
    let scale = Scale::around_zero(maps.scale);
    let shown: Vec<(&str, &[f32])> =
        arguments.text.iter().map(String::as_str).zip(maps.differences.iter().map(Vec::as_slice)).collect();
    show_maps(&bench, &image, &maps.maps[0], &shown, scale, arguments.shading(), arguments.opacity, output)
}

#[expect(clippy::too_many_arguments, reason = "what is shown, and how: each is another flag")]
fn show_maps(
    bench: &Workbench,
    image: &RgbImage8,
    of: &TokenScores,
    maps: &[(&str, &[f32])],
    scale: Scale,
    shading: Shading,
    opacity: f32,
    output: &OutputArgs,
) -> Result<()> {
    let grid = of.grid;
    if let Some(path) = &output.picture {
        let seen = bench.seen(image)?;
        for (index, (text, scores)) in maps.iter().enumerate() {
            let picture = heat_map(&seen, scores, grid, &scale, shading, opacity, text);
            write_atomic(&numbered(path, index, maps.len()), &png(&picture)?)?;
        }
    }
    if let Some(path) = &output.parquet {
        let count = grid * grid;
        let each = |value: fn(usize, usize) -> usize| -> ArrayRef {
            let values = (0..maps.len() * count).map(|at| value(at % count, grid) as u32);
            Arc::new(UInt32Array::from(values.collect::<Vec<_>>()))
        };
        let texts: Vec<&str> = maps.iter().flat_map(|(text, _)| std::iter::repeat_n(*text, count)).collect();
        let scores: Vec<f32> = maps.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
        write_columns(
            path,
            vec![
                ("text", Arc::new(StringArray::from(texts))),
                ("row", each(|at, grid| at / grid)),
                ("column", each(|at, grid| at % grid)),
                ("score", Arc::new(Float32Array::from(scores))),
            ],
        )?;
    }
    if output.json {
        let maps: Vec<_> = maps.iter().map(|(text, scores)| json!({ "text": text, "scores": scores })).collect();
        return print_json(&json!({ "run": bench.run.name(), "heads": of.heads, "grid": grid, "maps": maps }));
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
    print(&format!("{table}\n{grid} × {grid} patches, by {} heads", of.heads.len()))
}

/// `map.png` for one map; `map-1.png`, `map-2.png` for several.
fn numbered(path: &Path, index: usize, count: usize) -> std::path::PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{}.png", index + 1))
}

fn extremes(arguments: &ExtremesArgs) -> Result<()> {
    let bench = open(&arguments.subject)?;
    let HeadSelection::Head(head) = selection(&arguments.head)? else {
        return Err(UsageError(format!("`{}` is not one head such as L3.H5", arguments.head)).into());
    };
    let embedded = arguments.text.as_ref().map(|text| embedding(&bench, text)).transpose()?;
    let request = embedded.as_deref().map_or(ExtremesRequest::Distance, ExtremesRequest::Text);
    let found = bench.run.extremes(head, request, usize::from(arguments.count))?;
    if let Some(path) = &arguments.output.picture {
        let groups = [("largest", &found.largest), ("between", &found.between), ("smallest", &found.smallest)];
        let tiles = groups.iter().flat_map(|(name, images)| images.iter().map(move |image| (*name, image)));
        let tiles = tiles.map(|(name, image)| {
            let lines = vec![format!("{name} {:.4}", image.score), image.image_id.clone()];
            Ok((bench.image(image.image_index)?, lines))
        });
        let sheet = contact_sheet(&tiles.collect::<Result<Vec<_>>>()?, usize::from(arguments.count));
        write_atomic(path, &png(&sheet)?)?;
    }
    if arguments.output.parquet.is_some() {
        bail!("extremes go to --json or --picture");
    }
    if arguments.output.json {
        return print_json(&json!({ "run": bench.run.name(), "found": found }));
    }
    let what = match &arguments.text {
        Some(text) => format!("projection of {head} on {text:?}"),
        None => format!("distance of {head} from its mean"),
    };
    print(&format!(
        "{what}: mean {:.5}, standard deviation {:.5}\n\nlargest\n{}",
        found.mean,
        found.std,
        image_table(&found.largest)
    ))?;
    print(&format!("smallest\n{}", image_table(&found.smallest)))
}

fn why(arguments: &WhyArgs) -> Result<()> {
    let bench = open(&arguments.subject)?;
    let image = pixels(&bench, arguments.image.as_deref(), arguments.file.as_deref())?;
    let heads = selection(&arguments.heads)?;
    let neighbour = index_of(&bench, &arguments.neighbour)?;
    let direction = bench.run.reason(neighbour, &heads)?;
    let trace: ImageTrace = bench.trace(&image)?;
    let map = segment(&bench.run, &trace, &heads, &direction)?;
    let (total, scale) = (map.total(), Scale::of(&map.patches));
    let title = format!("near {}", arguments.neighbour);
    let shown = [(title.as_str(), map.patches.as_slice())];
    show_maps(&bench, &image, &map, &shown, scale, Shading::Patches, 0.6, &arguments.output)
        .context("the query's patches")?;
    if !arguments.output.json {
        print(&format!("score {total:.5}, of which the class token carries {:.5}", map.class_token))?;
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
