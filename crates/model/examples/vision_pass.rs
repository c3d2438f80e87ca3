//! Our side of `benches/forward.py`, `decomposition.py`, `extract.py` and `gpu.py`: the image tower of a checkpoint,
//! `vision_pass CHECKPOINT PRECISION [DEVICE]`. It answers each line of standard input with seconds:
//!
//! - `pass IMAGES [BATCH]`: passes over so many images, with the heads of the last four layers, together or in batches;
//! - `contributions PIXELS OUT`: the same over an image at a time of a file of float32 numbers; the dense contributions
//!   `[images, layers, heads, d]` go to `OUT`, which is not timed.
//!
//! `PRECISION` is `float32`, `bfloat16` or `float16`, `float32-vectors` or `bfloat16-vectors` for our pass without tiles (AMX), or one of
//! two in single precision that also keep attention and values of every token, which is what segmentation reads: `tokens` by our pass,
//! `burn-tokens` by Burn's. `DEVICE` is a GPU such as `wgpu` or `cuda:1`;
//! without one the pass is ours on the CPU, but for `burn-tokens`.

use std::{
    error::Error,
    io::{BufRead, Write},
    path::Path,
    time::Instant,
};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_headspace::HeadVector;
use headspan_model::{
    Checkpoint, ClipConfig, CpuVision, DeviceChoice, HostTrace, InstructionSet, LoadedModel, Precision, ReadoutFolder,
    TraceRequest, VisionPass,
    burn::{BurnVisionTower, Clip},
    open_device,
};

/// The program's own, as in `crates/headspan/src/main.rs`: the pass has the same speed here as there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

enum Pass {
    Own(Box<CpuVision>),
    Cuda(Box<VisionPass>),
    Burn { tower: Box<BurnVisionTower>, device: Device },
}

struct Side {
    config: ClipConfig,
    layers: Vec<usize>,
    keeps_tokens: bool,
    pass: Pass,
}

#[expect(clippy::print_stdout, reason = "its answer")]
fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (folder, precision, device) = match &arguments[..] {
        [_, folder, precision] => (Path::new(folder), precision, "cpu"),
        [_, folder, precision, device] => (Path::new(folder), precision, device.as_str()),
        _ => return Err("vision_pass CHECKPOINT PRECISION [DEVICE]".into()),
    };
    let side = Side::open(folder, precision, device)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = match words[..] {
            ["pass", images] => side.pass(images.parse()?, images.parse()?)?,
            ["pass", images, batch] => side.pass(images.parse()?, batch.parse()?)?,
            ["contributions", pixels, out] => side.contributions(folder, Path::new(pixels), Path::new(out))?,
            _ => return Err(format!("`{line}` is not understood").into()),
        };
        println!("{seconds}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Side {
    fn open(folder: &Path, precision: &str, device: &str) -> Outcome<Self> {
        let config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
        let opened = open_device(device.parse()?)?;
        let device = opened.burn().clone();
        let tower = load(folder, &config, &device)?.visual;
        let keeps_tokens = precision.ends_with("tokens");
        let instructions = if precision.ends_with("-vectors") { InstructionSet::Vectors } else { InstructionSet::Best };
        let named = if keeps_tokens { "float32" } else { precision.trim_end_matches("-vectors") };
        let by_burn = precision == "burn-tokens" || opened.choice().is_gpu();
        let precision: Precision = serde_json::from_value(named.into())?;
        let pass = if let DeviceChoice::Cuda(_) = opened.choice() {
            let weights = folder.join("open_clip_model.safetensors");
            let model = LoadedModel::for_queries(&Checkpoint::open(&weights)?, &config.clone().into(), opened)?;
            Pass::Cuda(Box::new(model.vision_pass(precision)?))
        } else if by_burn {
            Pass::Burn { tower: Box::new(tower.in_precision(precision)?), device }
        } else {
            Pass::Own(Box::new(CpuVision::with_instructions(&tower, precision, instructions)?))
        };
        let layers = config.vision.layers;
        Ok(Self { layers: (layers.saturating_sub(4)..layers).collect(), keeps_tokens, config, pass })
    }

    /// Values of one image.
    fn length(&self) -> usize {
        3 * self.config.vision.image_size.pow(2)
    }

    fn pass(&self, images: usize, batch: usize) -> Outcome<f64> {
        let value = |at: usize| (at * 7 % 251) as f32 / 125.0 - 1.0;
        let (end, size) = (images * self.length(), batch * self.length());
        let mut batches: Vec<Vec<f32>> =
            (0..end).step_by(size).map(|first| (first..end.min(first + size)).map(value).collect()).collect();
        let begun = Instant::now();
        for batch in &mut batches {
            self.trace(batch)?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Burn takes the pixels; ours reads them.
    fn trace(&self, pixels: &mut Vec<f32>) -> Outcome<HostTrace> {
        let mut request = TraceRequest { layers: self.layers.clone(), ..TraceRequest::default() };
        if self.keeps_tokens {
            request.token_layers.clone_from(&self.layers);
        }
        match &self.pass {
            Pass::Own(vision) => Ok(vision.trace(pixels, &request)?),
            Pass::Cuda(pass) => Ok(pass.trace(std::mem::take(pixels), &request)?),
            Pass::Burn { tower, device } => {
                let side = self.config.vision.image_size;
                let shape = [pixels.len() / self.length(), 3, side, side];
                let input = Tensor::from_data(TensorData::new(std::mem::take(pixels), shape), device);
                let mut trace = tower.trace(input, &request)?;
                // Kept until the pass is over, and not read back: what is timed is the pass.
                let kept = std::mem::take(&mut trace.tokens);
                let host = trace.into_host()?;
                drop(kept);
                Ok(host)
            }
        }
    }

    fn contributions(&self, folder: &Path, pixels: &Path, out: &Path) -> Outcome<f64> {
        let model = load(folder, &self.config, &Device::flex())?;
        let readouts = ReadoutFolder::new(&model.visual)?.readouts(&self.layers)?;
        drop(model);
        let bytes = fs_err::read(pixels)?;
        let pixels: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let (mut dense, mut seconds) = (Vec::new(), 0.0);
        for image in pixels.chunks_exact(self.length()) {
            let mut image = image.to_vec();
            let begun = Instant::now();
            let trace = self.trace(&mut image)?;
            seconds += begun.elapsed().as_secs_f64();
            for (readout, z) in readouts.iter().zip(&trace.heads) {
                let u = HeadVector::new(z, trace.scalars[0]);
                dense.extend(readout.contribution(u.as_slice()).into_iter().flat_map(f32::to_le_bytes));
            }
        }
        fs_err::write(out, dense)?;
        Ok(seconds)
    }
}

fn load(folder: &Path, config: &ClipConfig, device: &Device) -> Outcome<Clip> {
    Ok(Checkpoint::open(&folder.join("open_clip_model.safetensors"))?.load(config, device)?)
}
