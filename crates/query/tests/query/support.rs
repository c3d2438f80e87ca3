//! A run over rendered scenes with the demo model, and everything dense about it.

use std::path::{Path, PathBuf};

use headspan_artifacts::{
    ActivationBatch, ActivationShape, ImageRow, ImageStatus, LabelRow, MomentsRow, PartWriter, ReadoutRow,
    RunDirectory, RunId, Table, TextRow, TextspanRow, write_rows,
};
use headspan_headspace::{HeadId, HeadVector, MomentSums, Moments, Readout, Scalars};
use headspan_images::RgbImage8;
use headspan_model::{Checkpoint, LoadedModel, ModelConfig, OpenDevice, Tokenizer};
use headspan_query::{ColumnStore, ExploreModel, ExploreRun, ImageTrace, StoreBounds};
use headspan_scenes::World;
use headspan_textspan::{Settings, TextPool, textspan};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;
pub(crate) type Failure = Box<dyn std::error::Error>;

pub(crate) const IMAGES: u64 = 30;
/// An image of the data set that could not be decoded.
pub(crate) const SKIPPED: u64 = 7;
pub(crate) const LAYERS: [u32; 2] = [2, 3];
/// A run over scenes, and everything dense about it.
pub(crate) struct Case {
    _folder: tempfile::TempDir,
    pub(crate) run: ExploreRun,
    pub(crate) model: ExploreModel,
    pub(crate) readouts: Vec<Readout>,
    /// Data set positions of the extracted images.
    pub(crate) rows: Vec<u64>,
    pub(crate) traces: Vec<ImageTrace>,
    /// `u` by row, then head.
    pub(crate) u: Vec<Vec<HeadVector>>,
    pub(crate) classes: Vec<String>,
}

pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4")
}

pub(crate) fn scene(index: u64) -> (RgbImage8, String) {
    let scene = World { seed: 11, captions: 0, ..World::default() }.scene(index);
    let image = RgbImage8 { width: scene.pixels, height: scene.pixels, data: scene.image };
    (image, format!("{:?}", scene.attributes.kind))
}

impl Case {
    pub(crate) fn new() -> Result<Self, Failure> {
        let config = ModelConfig::read(&demo().join("open_clip_config.json"))?;
        let loaded = LoadedModel::for_queries(
            &Checkpoint::open(&demo().join("open_clip_model.safetensors"))?,
            &config,
            OpenDevice::cpu(),
        )?;
        let layers = LAYERS.map(|layer| layer as usize);
        let readouts = loaded.readout_folder()?.readouts(&layers)?;
        let text = config.texts()?;
        let tokenizer = Tokenizer::read(&demo().join("tokenizer.json"), text.context_length, text.vocab_size)?;
        let model = ExploreModel::new(loaded, tokenizer);

        let rows: Vec<u64> = (0..IMAGES).filter(|index| *index != SKIPPED).collect();
        let (mut traces, mut u, mut classes) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..IMAGES {
            let (image, class) = scene(index);
            classes.push(class);
            if index != SKIPPED {
                let trace = model.trace(&image, &LAYERS)?;
                u.push(readouts.iter().map(|readout| trace.u(readout.head)).collect::<Result<Vec<_>, _>>()?);
                traces.push(trace);
            }
        }
        let folder = tempfile::tempdir()?;
        let id = RunId::new("scenes", "scenes-4")?;
        let directory = RunDirectory::create(folder.path(), &id)?;
        write(&directory, &id, &readouts, &rows, &u, &classes)?;
        write_texts(&directory, &id, &model, &readouts, &u)?;
        // A bound of two columns: most queries here drop some.
        let run = ExploreRun::open(directory, &ColumnStore::new(StoreBounds::of_columns(2 * rows.len() * 16 * 4)))?;
        Ok(Self { _folder: folder, run, model, readouts, rows, traces, u, classes })
    }

    pub(crate) fn heads(&self, selection: &str) -> Result<Vec<usize>, Failure> {
        let heads = self.run.resolve(&selection.parse()?)?;
        let place = |head: &HeadId| self.readouts.iter().position(|readout| readout.head == *head);
        Ok(heads.iter().filter_map(place).collect())
    }

    /// Dense mean contribution of one row under heads, `[d]`.
    pub(crate) fn dense(&self, row: usize, heads: &[usize]) -> Vec<f64> {
        let mut mean = vec![0.0; self.run.d()];
        for head in heads {
            for (sum, value) in mean.iter_mut().zip(self.readouts[*head].contribution(self.u[row][*head].as_slice())) {
                *sum += f64::from(value) / heads.len() as f64;
            }
        }
        mean
    }

    /// Data set positions by falling dense score, with the scores.
    pub(crate) fn ranked(&self, query: &[f64], heads: &[usize], cosine: bool) -> Vec<(u64, f64)> {
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

pub(crate) fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

pub(crate) fn length(vector: &[f64]) -> f64 {
    product(vector, vector).sqrt()
}

/// Texts whose directions are looked at.
pub(crate) const TEXTS: [&str; 6] = ["a red boat", "a tree", "the sea at night", "three fish", "a blue cat", "snow"];

fn moments(readout: &Readout, u: &[Vec<HeadVector>], head: usize) -> Moments {
    let mut sums = MomentSums::new(readout.columns());
    sums.add(u.len(), |row, place| u[row][head].as_slice()[place]);
    sums.moments()
}

/// A small pool and what TEXTSPAN makes of it.
fn write_texts(
    directory: &RunDirectory,
    id: &RunId,
    model: &ExploreModel,
    readouts: &[Readout],
    u: &[Vec<HeadVector>],
) -> Outcome {
    let embedded = model.embed(&TEXTS)?;
    let texts: Vec<TextRow> = (0..TEXTS.len())
        .map(|index| TextRow {
            text_index: index as u32,
            text: TEXTS[index].to_owned(),
            category: None,
            embedding: embedded[index].0.clone(),
        })
        .collect();
    write_rows(&directory.table(Table::Texts), id, "test", &texts)?;
    let all: Vec<f32> = texts.iter().flat_map(|row| row.embedding.clone()).collect();
    let pool = TextPool::new(&all, readouts[0].d)?;
    let mut rows = Vec::new();
    for (head, readout) in readouts.iter().enumerate() {
        let moments = moments(readout, u, head);
        let basis = textspan(&readout.matrix, &moments, &pool, &Settings { texts: 4, rank: 80 })?;
        rows.extend(basis.picks.iter().enumerate().map(|(rank, pick)| TextspanRow {
            layer: readout.head.layer,
            head: readout.head.head,
            pick: rank as u32,
            text_index: pick.text_index as u32,
            text: TEXTS[pick.text_index].to_owned(),
            category: None,
            std: pick.std,
            variance_share: pick.variance_share,
            cumulative_share: pick.cumulative_share,
            effective_rank: Some(16),
        }));
    }
    Ok(write_rows(&directory.table(Table::Textspan), id, "test", &rows)?)
}

/// The artifacts that the explorer reads, in three parts.
pub(crate) fn write(
    directory: &RunDirectory,
    id: &RunId,
    readouts: &[Readout],
    rows: &[u64],
    u: &[Vec<HeadVector>],
    classes: &[String],
) -> Outcome {
    let (d, head_dim) = (readouts[0].d, readouts[0].head_dim);
    let shape = ActivationShape { heads: readouts.iter().map(|readout| readout.head).collect(), head_dim, d };
    for (part, chunk) in (0..rows.len()).collect::<Vec<_>>().chunks(11).enumerate() {
        let scalar = |pick: fn(Scalars) -> f32| chunk.iter().map(|row| pick(u[*row][0].scalars())).collect();
        let column = |head: usize| chunk.iter().flat_map(|row| u[*row][head].scaled_z().to_vec()).collect();
        let batch = ActivationBatch {
            image_index: chunk.iter().map(|row| rows[*row]).collect(),
            inv_scale: scalar(|scalars| scalars.inv_scale),
            mean_scale: scalar(|scalars| scalars.mean_scale),
            inv_norm: scalar(|scalars| scalars.inv_norm),
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
    write_rows(&directory.table(Table::Images), id, "test", &images)?;
    let readout_rows: Vec<ReadoutRow> = readouts.iter().cloned().map(ReadoutRow::from).collect();
    write_rows(&directory.table(Table::Readout), id, "test", &readout_rows)?;
    let moments: Vec<MomentsRow> = readouts
        .iter()
        .enumerate()
        .map(|(place, readout)| MomentsRow::new(readout.head, moments(readout, u, place)))
        .collect();
    write_rows(&directory.table(Table::Moments), id, "test", &moments)?;
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
    Ok(write_rows(&directory.table(Table::Labels), id, "test", &labels)?)
}
