//! Writes a run of ViT-L/14 geometry with random numbers, for `benches/explorer.py`:
//! `synthetic_run RUNS IMAGES` makes `RUNS/synthetic/ViT-L-14_random`.
//!
//! The numbers mean nothing; the files have the shapes and sizes of a real run, which is all that latency depends on.

use std::{collections::BTreeMap, error::Error, path::Path};

use headspan_artifacts::{
    ActivationBatch, ActivationShape, HeadId, ImageRow, ImageStatus, LabelRow, MomentsRow, PartWriter, ReadoutRow,
    RunDirectory, RunId, StageRecord, Table, TextRow, TextspanRow, write_rows,
};
use headspan_headspace::vector_length;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LAYERS: std::ops::Range<u32> = 20..24;
const HEADS: u32 = 16;
const HEAD_DIM: usize = 64;
const D: usize = 768;
const TEXTS: usize = 3_498;
/// Rows of a part, as the pipeline has them.
const PART: u64 = 1_024;
const PROPERTIES: [&str; 6] = ["colors", "shapes", "locations", "counting", "textures", "animals"];
const FINGERPRINT: &str = "synthetic";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, runs, images] = &arguments[..] else { return Err("synthetic_run RUNS IMAGES".into()) };
    let images: u64 = images.parse()?;
    let id = RunId::new("synthetic", "ViT-L-14_random")?;
    let run = RunDirectory::create(Path::new(runs), &id)?;
    let heads: Vec<HeadId> = LAYERS.flat_map(|layer| (0..HEADS).map(move |head| HeadId { layer, head })).collect();
    activations(&run, &heads, images)?;
    tables(&run, &heads, images)?;
    for stage in ["images", "texts", "textspan", "label", "metrics"] {
        run.commit(&StageRecord {
            stage: stage.to_owned(),
            headspan: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: FINGERPRINT.to_owned(),
            results: None,
            config: serde_json::Value::Null,
            inputs: BTreeMap::new(),
            rows: images,
            bytes: 0,
            seconds: 0.0,
            finished_at: 0,
            figures: BTreeMap::new(),
            provenance: None,
        })?;
    }
    Ok(())
}

fn numbers(random: &mut ChaCha8Rng, count: usize, size: f32) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-size..size)).collect()
}

fn activations(run: &RunDirectory, heads: &[HeadId], images: u64) -> Result<(), Box<dyn Error>> {
    let shape = ActivationShape { heads: heads.to_vec(), head_dim: HEAD_DIM, d: D };
    for (part, first) in (0..images).step_by(PART as usize).enumerate() {
        let mut random = ChaCha8Rng::seed_from_u64(first);
        let count = PART.min(images - first) as usize;
        let batch = ActivationBatch {
            image_index: (first..first + count as u64).collect(),
            inv_scale: numbers(&mut random, count, 0.1),
            mean_scale: numbers(&mut random, count, 0.1),
            inv_norm: numbers(&mut random, count, 0.1),
            representation: numbers(&mut random, count * D, 1.0),
            heads: heads.iter().map(|_| numbers(&mut random, count * HEAD_DIM, 0.1)).collect(),
        };
        let mut writer = PartWriter::create(&run.part(part as u64), run.id(), FINGERPRINT, &shape)?;
        writer.write(batch)?;
        writer.commit()?;
    }
    Ok(())
}

fn tables(run: &RunDirectory, heads: &[HeadId], images: u64) -> Result<(), Box<dyn Error>> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let image = |index: u64| ImageRow {
        image_index: index,
        image_id: format!("n{:04}/ILSVRC2012_val_{index:08}.JPEG", index % 1000),
        class_id: Some(format!("n{:04}", index % 1000)),
        class_index: Some((index % 1000) as u32),
        width: 500,
        height: 375,
        status: ImageStatus::Ok,
        error: None,
    };
    write_rows(&run.table(Table::Images), run.id(), FINGERPRINT, &(0..images).map(image).collect::<Vec<_>>())?;
    let width = vector_length(HEAD_DIM);
    let mut readouts = Vec::new();
    let mut moments = Vec::new();
    let mut labels = Vec::new();
    let mut textspan = Vec::new();
    for (place, head) in heads.iter().enumerate() {
        let (layer, head) = (head.layer, head.head);
        let matrix = numbers(&mut random, D * width, 0.05);
        readouts.push(ReadoutRow { layer, head, readout: matrix, d: D as u32, head_dim: HEAD_DIM as u32 });
        let second_moment = (0..width * width).map(|at| if at / width == at % width { 0.01 } else { 0.0 }).collect();
        moments.push(MomentsRow { layer, head, n: images, mean: vec![0.0; width], second_moment });
        labels.push(LabelRow {
            layer,
            head,
            labeller: "lexicon".to_owned(),
            property: Some(PROPERTIES[place % PROPERTIES.len()].to_owned()),
            description: None,
            consistent: vec![Some(place % 3 == 0); 5],
            agreement: Some(0.6),
            prompt_sha256: None,
            llm_model: None,
            tokens_in: 0,
            tokens_out: 0,
        });
        textspan.extend((0..20).map(|rank| {
            let text_index = (place as u32 * 31 + rank * 7) % TEXTS as u32;
            let share = 0.5_f64.powi(rank as i32 + 1);
            TextspanRow {
                layer,
                head,
                pick: rank,
                text_index,
                text: format!("Description number {text_index}"),
                category: None,
                std: share,
                variance_share: share,
                cumulative_share: 1.0 - share,
                effective_rank: Some(64),
            }
        }));
    }
    let texts: Vec<TextRow> = (0..TEXTS)
        .map(|index| {
            let mut embedding = numbers(&mut random, D, 1.0);
            let norm = embedding.iter().map(|x| x * x).sum::<f32>().sqrt();
            for x in &mut embedding {
                *x /= norm;
            }
            TextRow { text_index: index as u32, text: format!("Description number {index}"), category: None, embedding }
        })
        .collect();
    write_rows(&run.table(Table::Readout), run.id(), FINGERPRINT, &readouts)?;
    write_rows(&run.table(Table::Moments), run.id(), FINGERPRINT, &moments)?;
    write_rows(&run.table(Table::Texts), run.id(), FINGERPRINT, &texts)?;
    write_rows(&run.table(Table::Labels), run.id(), FINGERPRINT, &labels)?;
    Ok(write_rows(&run.table(Table::Textspan), run.id(), FINGERPRINT, &textspan)?)
}
