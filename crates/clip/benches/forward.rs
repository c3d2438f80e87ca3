//! Image tower alone: random weights and pixels in the geometry of ViT-B/32, our CPU pass beside Burn's.
//!
//! With `HEADSPAN_FORWARD_CHECKPOINT` (a folder with `open_clip_config.json` and `open_clip_model.safetensors`) it is the
//! partner of `benches/forward.py`: for every line with a number of images on standard input it makes one pass over as many
//! images and prints the seconds; `HEADSPAN_FORWARD_PRECISION` says `float32` or `bfloat16`.

use std::{
    io::{BufRead, Write},
    path::Path,
    time::Instant,
};

use burn::tensor::{Device, Tensor, TensorData};
use divan::{Bencher, counter::ItemsCount};
use headspan_clip::{Checkpoint, Clip, ClipConfig, CpuVision, Precision, TraceRequest};

const IMAGES: usize = 16;
const CONFIG: &str = r#"{"model_cfg": {"embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 1, "layers": 1}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"#;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    if let Some(folder) = std::env::var_os("HEADSPAN_FORWARD_CHECKPOINT") {
        return serve(Path::new(&folder));
    }
    divan::main();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "its answer")]
fn serve(folder: &Path) -> Outcome<()> {
    let config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
    let model = Checkpoint::open(&folder.join("open_clip_model.safetensors"))?.load(&config, &Device::flex())?;
    let precision = match std::env::var("HEADSPAN_FORWARD_PRECISION") {
        Ok(name) => serde_json::from_value(name.into())?,
        Err(_unset) => Precision::Float32,
    };
    let (vision, request) = (CpuVision::new(&model.visual, precision)?, request(&config));
    drop(model);
    for line in std::io::stdin().lock().lines() {
        let pixels = pixels(line?.trim().parse()?, &config);
        let started = Instant::now();
        vision.trace(&pixels, &request)?;
        println!("{}", started.elapsed().as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// What extraction asks for: the heads of the last four layers.
fn request(config: &ClipConfig) -> TraceRequest {
    let layers = config.vision.layers;
    TraceRequest { layers: (layers.saturating_sub(4)..layers).collect(), ..TraceRequest::default() }
}

fn pixels(images: usize, config: &ClipConfig) -> Vec<f32> {
    (0..images * 3 * config.vision.image_size.pow(2)).map(|i| (i * 7 % 251) as f32 / 125.0 - 1.0).collect()
}

fn random_model() -> (ClipConfig, Clip) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("open_clip_config.json");
    fs_err::write(&path, CONFIG).expect("a file");
    let config = ClipConfig::read(&path).expect("a configuration");
    let model = config.init(&Device::flex());
    (config, model)
}

#[divan::bench(args = [Precision::Float32, Precision::Bfloat16], sample_count = 10, sample_size = 1)]
fn own(bencher: Bencher<'_, '_>, precision: Precision) {
    let (config, model) = random_model();
    let vision = CpuVision::new(&model.visual, precision).expect("the weights");
    let (request, pixels) = (request(&config), pixels(IMAGES, &config));
    bencher.counter(ItemsCount::new(IMAGES)).bench(|| vision.trace(&pixels, &request));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn burn(bencher: Bencher<'_, '_>) {
    let (config, model) = random_model();
    let (request, pixels) = (request(&config), pixels(IMAGES, &config));
    bencher.counter(ItemsCount::new(IMAGES)).bench(|| {
        let pixels: Tensor<4> =
            Tensor::from_data(TensorData::new(pixels.clone(), [IMAGES, 3, 224, 224]), &Device::flex());
        model.visual.trace(pixels, &request).and_then(|trace| trace.into_host())
    });
}
