//! Every analysis against its dense definition, computed plainly on the demo model and rendered scenes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use headspan_artifacts::{
    ActivationBatch, ActivationShape, HeadId, ImageRow, ImageStatus, LabelRow, MomentsRow, PartWriter, ReadoutRow,
    RunDirectory, RunId, write_rows,
};
use headspan_clip::{Checkpoint, ClipConfig, Readout, ReadoutFolder, RgbImage8, Tokenizer};
use headspan_explore::{
    ExploreError, ExploreModel, ExploreRun, ExtremesRequest, HeadSelection, ImageTrace, NeighboursRequest, Query,
    Similarity, contrast, segment,
};
use headspan_scenes::World;

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Failure = Box<dyn std::error::Error>;

const IMAGES: u64 = 30;
/// An image of the data set that could not be decoded.
const SKIPPED: u64 = 7;
const LAYERS: [u32; 2] = [2, 3];
/// Float32 sums of some hundred terms in two orders.
const TOLERANCE: f64 = 1e-5;

/// A run over scenes, and everything dense about it.
struct Case {
    _folder: tempfile::TempDir,
    run: ExploreRun,
    model: ExploreModel,
    readouts: Vec<Readout>,
    /// Data set positions of the extracted images.
    rows: Vec<u64>,
    traces: Vec<ImageTrace>,
    /// `u` by row, then head.
    u: Vec<Vec<Vec<f32>>>,
    classes: Vec<String>,
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4")
}

fn scene(index: u64) -> (RgbImage8, String) {
    let scene = World { seed: 11, captions: 0, ..World::default() }.scene(index);
    let image = RgbImage8 { width: scene.pixels, height: scene.pixels, data: scene.image };
    (image, format!("{:?}", scene.attributes.kind))
}

impl Case {
    fn new() -> Result<Self, Failure> {
        let (config, device) = (ClipConfig::read(&demo().join("open_clip_config.json"))?, Device::flex());
        let clip = Checkpoint::open(&demo().join("open_clip_model.safetensors"))?.load(&config, &device)?;
        let layers = LAYERS.map(|layer| layer as usize);
        let readouts = ReadoutFolder::new(&clip.visual)?.readouts(&layers)?;
        let text = &config.text;
        let tokenizer = Tokenizer::read(&demo().join("tokenizer.json"), text.context_length, text.vocab_size)?;
        let model = ExploreModel::new(clip, tokenizer, &config, device);

        let rows: Vec<u64> = (0..IMAGES).filter(|index| *index != SKIPPED).collect();
        let (mut traces, mut u, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..IMAGES {
            let (image, class) = scene(index);
            classes.push(class);
            if index != SKIPPED {
                let trace = model.trace(&image, &LAYERS)?;
                u.push(readouts.iter().map(|readout| trace.u(head_of(readout))).collect::<Result<Vec<_>, _>>()?);
                traces.push(trace);
            }
        }
        let folder = tempfile::tempdir()?;
        let id = RunId::new("scenes", "scenes-4")?;
        let directory = RunDirectory::create(folder.path(), &id)?;
        write(&directory, &id, &readouts, &rows, &u, &classes)?;
        // A bound of two columns: most queries here drop some.
        let run = ExploreRun::open(directory, 2 * rows.len() * 16 * 4)?;
        Ok(Self { _folder: folder, run, model, readouts, rows, traces, u, classes })
    }

    fn heads(&self, selection: &str) -> Result<Vec<usize>, Failure> {
        let heads = self.run.resolve(&selection.parse()?)?;
        let place = |head: &HeadId| self.readouts.iter().position(|readout| head_of(readout) == *head);
        Ok(heads.iter().filter_map(place).collect())
    }

    /// Dense mean contribution of one row under heads, `[d]`.
    fn dense(&self, row: usize, heads: &[usize]) -> Vec<f64> {
        let mut mean = vec![0.0; self.run.d()];
        for head in heads {
            for (sum, value) in mean.iter_mut().zip(self.readouts[*head].contribution(&self.u[row][*head])) {
                *sum += f64::from(value) / heads.len() as f64;
            }
        }
        mean
    }

    /// Data set positions by falling dense score, with the scores.
    fn ranked(&self, query: &[f64], heads: &[usize], cosine: bool) -> Vec<(u64, f64)> {
        let score = |row: usize| {
            let own = self.dense(row, heads);
            let length = if cosine { length(query) * length(&own) } else { 1.0 };
            (self.rows[row], product(query, &own) / length)
        };
        let mut ranked: Vec<(u64, f64)> = (0..self.rows.len()).map(score).collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
        ranked
    }
}

fn head_of(readout: &Readout) -> HeadId {
    HeadId { layer: readout.layer as u32, head: readout.head as u32 }
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

fn length(vector: &[f64]) -> f64 {
    product(vector, vector).sqrt()
}

/// The artifacts that the explorer reads, in three parts.
fn write(
    directory: &RunDirectory,
    id: &RunId,
    readouts: &[Readout],
    rows: &[u64],
    u: &[Vec<Vec<f32>>],
    classes: &[String],
) -> Outcome {
    let (d, head_dim) = (readouts[0].d, readouts[0].head_dim);
    let shape = ActivationShape { heads: readouts.iter().map(head_of).collect(), head_dim, d };
    for (part, chunk) in (0..rows.len()).collect::<Vec<_>>().chunks(11).enumerate() {
        let scalar = |place: usize| chunk.iter().map(|row| u[*row][0][head_dim + place]).collect();
        let column = |head: usize| chunk.iter().flat_map(|row| u[*row][head][..head_dim].to_vec()).collect();
        let batch = ActivationBatch {
            image_index: chunk.iter().map(|row| rows[*row]).collect(),
            inv_scale: scalar(0),
            mean_scale: scalar(1),
            inv_norm: scalar(2),
            representation: vec![0.0; chunk.len() * d],
            heads: (0..readouts.len()).map(column).collect(),
        };
        let mut writer = PartWriter::create(&directory.part(part as u64), id, "test", &shape)?;
        writer.write(batch)?;
        writer.commit()?;
    }
    let images: Vec<ImageRow> = classes
        .iter()
        .enumerate()
        .map(|(index, class)| ImageRow {
            image_index: index as u64,
            image_id: format!("{index:03}.png"),
            class_id: Some(class.clone()),
            class_index: None,
            width: 64,
            height: 64,
            status: if index as u64 == SKIPPED { ImageStatus::Skipped } else { ImageStatus::Ok },
            error: None,
        })
        .collect();
    write_rows(&directory.table("images"), id, "test", &images)?;
    let readout_rows: Vec<ReadoutRow> = readouts
        .iter()
        .map(|readout| ReadoutRow {
            layer: readout.layer as u32,
            head: readout.head as u32,
            readout: readout.matrix.clone(),
            d: d as u32,
            head_dim: head_dim as u32,
        })
        .collect();
    write_rows(&directory.table("readout"), id, "test", &readout_rows)?;
    let moments: Vec<MomentsRow> = (0..readouts.len())
        .map(|head| MomentsRow {
            layer: readouts[head].layer as u32,
            head: readouts[head].head as u32,
            n: rows.len() as u64,
            mean: (0..head_dim + 3)
                .map(|place| u.iter().map(|row| f64::from(row[head][place])).sum::<f64>() / rows.len() as f64)
                .collect(),
            second_moment: vec![0.0; (head_dim + 3) * (head_dim + 3)],
        })
        .collect();
    write_rows(&directory.table("moments"), id, "test", &moments)?;
    let label = |layer: u32, head: u32, property: &str| LabelRow {
        layer,
        head,
        labeller: "lexicon".to_owned(),
        property: Some(property.to_owned()),
        description: None,
        consistent: Vec::new(),
        agreement: None,
        prompt_sha256: None,
        llm_model: None,
        tokens_in: 0,
        tokens_out: 0,
    };
    let labels = [label(2, 1, "shapes"), label(3, 0, "shapes"), label(3, 7, "shapes"), label(3, 3, "colors")];
    Ok(write_rows(&directory.table("labels"), id, "test", &labels)?)
}

fn assert_ranked(found: &[headspan_explore::Neighbour], expected: &[(u64, f64)]) {
    let largest = expected.iter().fold(0.0_f64, |largest, (_, score)| largest.max(score.abs()));
    assert!(largest > 0.0 && !found.is_empty());
    for (found, (image, score)) in found.iter().zip(expected) {
        assert_eq!(found.image_index, *image, "the order differs");
        let error = (f64::from(found.score) - score).abs();
        assert!(error <= TOLERANCE * largest, "{}: {} instead of {score}", found.image_id, found.score);
    }
}

#[test]
fn neighbours_of_an_image_are_those_of_dense_contributions() -> Outcome {
    let case = Case::new()?;
    for (selection, row) in [("L3.H5", 0), ("shapes", 3), ("L2", 9), ("all", 20)] {
        let heads = case.heads(selection)?;
        let image = case.rows[row];
        for similarity in [Similarity::Dot, Similarity::Cosine] {
            let mut ranked = case.ranked(&case.dense(row, &heads), &heads, similarity == Similarity::Cosine);
            ranked.retain(|(other, _)| *other != image);
            let request = NeighboursRequest { similarity, ..NeighboursRequest::new(selection.parse()?, 8) };
            let found = case.run.neighbours(Query::Image(image), &request)?;
            assert_eq!((found.images.len(), found.compared, found.heads.len()), (8, case.rows.len() - 1, heads.len()));
            assert_ranked(&found.images, &ranked);
        }
    }
    Ok(())
}

#[test]
fn a_new_image_is_compared_with_all() -> Outcome {
    let case = Case::new()?;
    let (selection, row) = ("shapes".parse::<HeadSelection>()?, 5);
    let request = NeighboursRequest { similarity: Similarity::Cosine, ..NeighboursRequest::new(selection, 3) };
    let found = case.run.neighbours(Query::Trace(&case.traces[row]), &request)?;
    assert_eq!((found.images[0].image_index, found.compared), (case.rows[row], case.rows.len()));
    assert!((found.images[0].score - 1.0).abs() < 1e-5, "an image is in its own direction");
    Ok(())
}

#[test]
fn neighbours_of_a_text_are_those_of_dense_contributions() -> Outcome {
    let case = Case::new()?;
    let embedding = case.model.embed(&["a picture of a red boat"])?.remove(0).0;
    let query: Vec<f64> = embedding.iter().map(|value| f64::from(*value)).collect();
    assert!((length(&query) - 1.0).abs() < 1e-6);
    let heads = case.heads("L3.H3")?;
    let mut ranked = case.ranked(&query, &heads, false);
    let mut request = NeighboursRequest::new("L3.H3".parse()?, 30);
    assert_ranked(&case.run.neighbours(Query::Text(&embedding), &request)?.images, &ranked);
    request.farthest = true;
    ranked.reverse();
    assert_ranked(&case.run.neighbours(Query::Text(&embedding), &request)?.images, &ranked);
    let class = case.classes[0].clone();
    ranked.retain(|(image, _)| case.classes[*image as usize] == class);
    request.classes = BTreeSet::from([class]);
    let found = case.run.neighbours(Query::Text(&embedding), &request)?;
    assert_eq!(found.compared, ranked.len());
    assert_ranked(&found.images, &ranked);
    Ok(())
}

#[test]
fn token_scores_are_those_of_dense_token_contributions() -> Outcome {
    let case = Case::new()?;
    let embedding = case.model.embed(&["a picture of a tree"])?.remove(0).0;
    let text: Vec<f64> = embedding.iter().map(|value| f64::from(*value)).collect();
    let row = 4;
    for selection in ["L2.H6", "shapes", "L3", "all"] {
        let heads = case.heads(selection)?;
        let scores = segment(&case.run, &case.traces[row], &selection.parse()?, &embedding)?;
        assert_eq!((scores.grid, scores.patches.len()), (8, 64));
        let dense = |token: usize| -> Result<f64, ExploreError> {
            let mut sum = 0.0;
            for head in &heads {
                let (attention, value, scalars) = case.traces[row].token(head_of(&case.readouts[*head]), token)?;
                let own = case.readouts[*head].token_contribution(attention, value, scalars, 65);
                sum += own.iter().zip(&text).map(|(c, t)| f64::from(*c) * t).sum::<f64>();
            }
            Ok(sum)
        };
        let expected = (0..65).map(dense).collect::<Result<Vec<f64>, _>>()?;
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let found = std::iter::once(scores.class_token).chain(scores.patches.iter().copied());
        for (token, (found, expected)) in found.zip(&expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error <= TOLERANCE * largest, "{selection}, token {token}: {found} instead of {expected}");
        }
        // All tokens together are the heads' contribution to the text.
        let whole = heads.len() as f64 * product(&case.dense(row, &heads), &text);
        assert!((scores.total() - whole).abs() <= TOLERANCE * whole.abs().max(largest));
    }
    Ok(())
}

#[test]
fn contrasted_texts_share_a_scale() -> Outcome {
    let case = Case::new()?;
    let texts = case.model.embed(&["a picture of a tree", "a picture of the sea", "a picture of a boat"])?;
    let texts: Vec<&[f32]> = texts.iter().map(|(embedding, _)| embedding.as_slice()).collect();
    let two = contrast(&case.run, &case.traces[2], &HeadSelection::All, &texts[..2])?;
    for patch in 0..64 {
        let difference = two.maps[0].patches[patch] - two.maps[1].patches[patch];
        assert!(two.differences[0][patch] == difference && two.differences[1][patch] == -difference);
        assert!(difference.abs() <= two.scale);
    }
    let three = contrast(&case.run, &case.traces[2], &HeadSelection::All, &texts)?;
    assert!((0..64).all(|patch| three.differences.iter().filter(|map| map[patch] > 0.0).count() <= 1));
    let message = contrast(&case.run, &case.traces[2], &HeadSelection::All, &texts[..1]).err().map(|e| e.to_string());
    assert_eq!(message.as_deref(), Some("texts to contrast: 1, expected two or more"));
    Ok(())
}

#[test]
fn the_reason_for_a_neighbour_sums_to_its_score() -> Outcome {
    let case = Case::new()?;
    let (row, selection) = (6, "shapes".parse::<HeadSelection>()?);
    let request = NeighboursRequest::new(selection.clone(), 4);
    for neighbour in case.run.neighbours(Query::Image(case.rows[row]), &request)?.images {
        let reason = case.run.reason(neighbour.image_index, &selection)?;
        let parts = segment(&case.run, &case.traces[row], &selection, &reason)?;
        let (whole, score) = (parts.total(), f64::from(neighbour.score));
        assert!((whole - score).abs() <= TOLERANCE * score.abs(), "{whole} instead of {score}");
    }
    Ok(())
}

#[test]
fn extremes_are_those_of_dense_contributions() -> Outcome {
    let case = Case::new()?;
    let head = HeadId { layer: 3, head: 3 };
    let place = case.heads("L3.H3")?[0];
    let dense: Vec<Vec<f64>> = (0..case.rows.len()).map(|row| case.dense(row, &[place])).collect();
    let mean: Vec<f64> =
        (0..case.run.d()).map(|i| dense.iter().map(|row| row[i]).sum::<f64>() / dense.len() as f64).collect();
    let mut distances: Vec<(u64, f64)> = dense
        .iter()
        .zip(&case.rows)
        .map(|(row, image)| (*image, length(&row.iter().zip(&mean).map(|(a, b)| a - b).collect::<Vec<_>>())))
        .collect();
    distances.sort_by(|one, other| other.1.total_cmp(&one.1));
    let found = case.run.extremes(head, ExtremesRequest::Distance, 5)?;
    assert_ranked(&found.largest, &distances);
    distances.reverse();
    assert_ranked(&found.smallest, &distances);
    assert_eq!((found.largest.len(), found.smallest.len(), found.between.len()), (5, 5, 5));
    assert!(found.between.windows(2).all(|pair| pair[0].score >= pair[1].score));
    let embedding = case.model.embed(&["something red"])?.remove(0).0;
    let found = case.run.extremes(head, ExtremesRequest::Text(&embedding), 50)?;
    assert_eq!(found.largest.len(), case.rows.len(), "no more than there are");
    Ok(())
}

#[test]
fn questions_without_an_answer_say_what_there_is() -> Outcome {
    let case = Case::new()?;
    let message = |selection: &str, query: Query<'_>| -> Result<String, Failure> {
        let request = NeighboursRequest::new(selection.parse()?, 3);
        Ok(case.run.neighbours(query, &request).err().map(|error| error.to_string()).unwrap_or_default())
    };
    let run = "the run `scenes/scenes-4`";
    let image = Query::Image(0);
    assert_eq!(message("L3.H8", image)?, "head L3.H8 was not extracted; the run `scenes/scenes-4` has L2.H0 to L3.H7");
    assert_eq!(message("L9", image)?, "layer 9 was not extracted; the run `scenes/scenes-4` has the layers 2 to 3");
    assert_eq!(
        message("tastes", image)?,
        format!("no head of {run} is labelled `tastes`; its properties are colors, shapes")
    );
    assert_eq!(message("Shapes", image)?, "", "case does not matter");
    assert_eq!(message("all", Query::Image(99))?, format!("{run} has no extracted image `#99`"));
    assert_eq!(message("all", Query::Image(SKIPPED))?, format!("{run} has no extracted image `007.png`"));
    let mut embedding = vec![0.0; case.run.d()];
    embedding[1] = f32::NAN;
    assert!(message("all", Query::Text(&embedding))?.contains("finite"));
    assert!(message("all", Query::Text(&[1.0]))?.contains("1 numbers, expected 96 finite numbers"));
    let mut request = NeighboursRequest::new(HeadSelection::All, 3);
    request.classes = BTreeSet::from(["zebra".to_owned()]);
    let none = case.run.neighbours(Query::Image(0), &request).err().map(|error| error.to_string());
    assert_eq!(none, Some(format!("no image of {run} is of the class `zebra`")));
    Ok(())
}
