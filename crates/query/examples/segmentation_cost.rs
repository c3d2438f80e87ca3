//! What segmentation of a new image costs beside the forward pass that it needs, with random weights of ViT-L/14 geometry:
//! `segmentation_cost RUNS`, where `synthetic_run RUNS 1000` has made a run. Both are timed in turn; prints medians.

use std::{error::Error, path::Path, time::Instant};

use headspan_artifacts::{RunDirectory, RunId};
use headspan_model::{LoadedModel, ModelConfig, OpenDevice, Precision, Tokenizer};
use headspan_query::{ColumnStore, ExploreModel, ExploreRun, HeadSelection, StoreBounds, segment};

const ROUNDS: usize = 7;
const CONFIG: &str = r#"{"model_cfg": {"embed_dim": 768,
    "vision_cfg": {"image_size": 224, "layers": 24, "width": 1024, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}}}"#;

#[expect(clippy::print_stdout, reason = "its figures are all that it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, runs] = &arguments[..] else { return Err("segmentation_cost RUNS".into()) };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("open_clip_config.json");
    fs_err::write(&file, CONFIG)?;
    let config = ModelConfig::read(&file)?;
    let loaded = LoadedModel::random(&config, OpenDevice::cpu())?;
    let visual = loaded.vision().for_passes(Precision::Float32)?;
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4/tokenizer.json");
    let model = ExploreModel::new(loaded, Tokenizer::read(&demo, 48, 49_408)?);
    let run = RunDirectory::at(Path::new(runs), &RunId::new("synthetic", "ViT-L-14_random")?);
    let run = ExploreRun::open(run, &ColumnStore::new(StoreBounds::of_columns(64 << 20)))?;
    let direction: Vec<f32> = run.pool()?.embedding(0).ok_or("no texts")?.to_vec();
    let (side, layers) = (config.vision.image_size, run.layers());
    let pixels: Vec<f32> = (0..3 * side * side).map(|at| ((at * 37 % 255) as f32 / 255.0) - 0.5).collect();

    let (mut plain, mut traced, mut scored) = (Vec::new(), Vec::new(), Vec::new());
    for _round in 0..ROUNDS {
        let begun = Instant::now();
        std::hint::black_box(visual.encode(pixels.clone())?);
        plain.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let trace = model.trace_pixels(pixels.clone(), &layers)?;
        traced.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        std::hint::black_box(segment(&run, &trace, &HeadSelection::All, &direction)?);
        scored.push(begun.elapsed().as_secs_f64());
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        1000.0 * times[times.len() / 2]
    };
    let (plain, traced, scored) = (median(&mut plain), median(&mut traced), median(&mut scored));
    println!("plain forward pass {plain:.1} ms");
    println!("forward pass that keeps what segmentation needs {traced:.1} ms");
    println!("scores of 64 heads {scored:.2} ms");
    println!("more than the plain forward pass: {:.1} %", 100.0 * ((traced + scored) / plain - 1.0));
    Ok(())
}
