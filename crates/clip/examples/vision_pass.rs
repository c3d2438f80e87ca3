//! Our side of `benches/forward.py`, `decomposition.py` and `extract.py`: the image tower of a checkpoint on the CPU,
//! `vision_pass CHECKPOINT PRECISION`. It answers each line of standard input with seconds:
//!
//! - `pass IMAGES`: one pass over so many images, with the heads of the last four layers;
//! - `contributions PIXELS OUT`: the same over an image at a time of a file of float32 numbers; the dense contributions
//!   `[images, layers, heads, d]` go to `OUT`, which is not timed.
//!
//! `PRECISION` is `float32` or `bfloat16`, or `tokens`: Burn's pass that keeps attention and values of every token, in single
//! precision, which is what segmentation reads.

use std::{
    error::Error,
    io::{BufRead, Write},
    path::Path,
    time::Instant,
};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_clip::{Checkpoint, Clip, ClipConfig, CpuVision, HostTrace, Precision, ReadoutFolder, TraceRequest};

type Outcome<T> = Result<T, Box<dyn Error>>;

enum Pass {
    Heads(Box<CpuVision>),
    Tokens(Box<Clip>),
}

struct Side {
    config: ClipConfig,
    layers: Vec<usize>,
    pass: Pass,
}

#[expect(clippy::print_stdout, reason = "its answer")]
fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, precision] = &arguments[..] else { return Err("vision_pass CHECKPOINT PRECISION".into()) };
    let folder = Path::new(folder);
    let side = Side::open(folder, precision)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = match words[..] {
            ["pass", images] => side.pass(images.parse()?)?,
            ["contributions", pixels, out] => side.contributions(folder, Path::new(pixels), Path::new(out))?,
            _ => return Err(format!("`{line}` is not understood").into()),
        };
        println!("{seconds}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Side {
    fn open(folder: &Path, precision: &str) -> Outcome<Self> {
        let config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
        let model = load(folder, &config)?;
        let pass = if precision == "tokens" {
            Pass::Tokens(Box::new(model))
        } else {
            let precision: Precision = serde_json::from_value(precision.into())?;
            Pass::Heads(Box::new(CpuVision::new(&model.visual, precision)?))
        };
        let layers = config.vision.layers;
        Ok(Self { layers: (layers.saturating_sub(4)..layers).collect(), config, pass })
    }

    /// Values of one image.
    fn length(&self) -> usize {
        3 * self.config.vision.image_size.pow(2)
    }

    fn pass(&self, images: usize) -> Outcome<f64> {
        let pixels: Vec<f32> = (0..images * self.length()).map(|i| (i * 7 % 251) as f32 / 125.0 - 1.0).collect();
        let begun = Instant::now();
        self.trace(&pixels)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn trace(&self, pixels: &[f32]) -> Outcome<HostTrace> {
        let mut request = TraceRequest { layers: self.layers.clone(), ..TraceRequest::default() };
        match &self.pass {
            Pass::Heads(vision) => Ok(vision.trace(pixels, &request)?),
            Pass::Tokens(model) => {
                request.token_layers.clone_from(&self.layers);
                let side = self.config.vision.image_size;
                let shape = [pixels.len() / self.length(), 3, side, side];
                let input = Tensor::from_data(TensorData::new(pixels.to_vec(), shape), &Device::flex());
                Ok(model.visual.trace(input, &request)?.into_host()?)
            }
        }
    }

    fn contributions(&self, folder: &Path, pixels: &Path, out: &Path) -> Outcome<f64> {
        let model = load(folder, &self.config)?;
        let readouts = ReadoutFolder::new(&model.visual)?.readouts(&self.layers)?;
        drop(model);
        let bytes = fs_err::read(pixels)?;
        let pixels: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let (mut dense, mut seconds) = (Vec::new(), 0.0);
        for image in pixels.chunks_exact(self.length()) {
            let begun = Instant::now();
            let trace = self.trace(image)?;
            seconds += begun.elapsed().as_secs_f64();
            let (inv_scale, mean_scale, inv_norm) = trace.scalars[0];
            for (readout, z) in readouts.iter().zip(&trace.heads) {
                let u: Vec<f32> = z.iter().copied().chain([inv_scale, mean_scale, inv_norm]).collect();
                dense.extend(readout.contribution(&u).into_iter().flat_map(f32::to_le_bytes));
            }
        }
        fs_err::write(out, dense)?;
        Ok(seconds)
    }
}

fn load(folder: &Path, config: &ClipConfig) -> Outcome<Clip> {
    Ok(Checkpoint::open(&folder.join("open_clip_model.safetensors"))?.load(config, &Device::flex())?)
}
