//! Image tower alone: random weights and pixels in the geometry of ViT-B/32, our CPU pass beside Burn's. Beside PyTorch's:
//! `benches/forward.py`.

use burn::tensor::{Device, Tensor, TensorData};
use divan::{Bencher, counter::ItemsCount};
use headspan_model::{ClipConfig, CpuVision, Precision, TraceRequest, burn::Clip};

const IMAGES: usize = 16;
const CONFIG: &str = r#"{"model_cfg": {"embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 64, "heads": 1, "layers": 1}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"#;

fn main() {
    divan::main();
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
