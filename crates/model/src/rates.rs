//! How fast an image tower is in each precision on the machine at hand.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{
    device::{DeviceChoice, OpenDevice},
    error::{ClipError, Result},
    families::ModelConfig,
    loaded::VisionPass,
    precision::Precision,
    trace::TraceRequest,
};

/// Blocks of the tower that is timed. The last block goes on with the class tokens alone, the one before it with all tokens.
const BLOCKS: usize = 2;
/// Timed passes of each precision, in alternation. The fastest counts: whatever else the machine does only slows passes down.
const PASSES: usize = 3;
/// Images of a pass on a GPU.
const IMAGES_ON_GPU: usize = 32;

/// How fast a precision is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PassRate {
    /// What the linear layers multiply.
    pub precision: Precision,
    /// Images a second through a tower of two blocks with the model's sizes, on all processors or on the GPU.
    pub images_per_second: f64,
}

/// Times the forward pass in some precisions, on two blocks of a model's sizes with random weights. Precisions that the device cannot
/// compute with are left out. It takes about a second on a CPU; a GPU compiles its kernels first.
pub fn pass_rates(config: &ModelConfig, device: &OpenDevice, precisions: &[Precision]) -> Result<Vec<PassRate>> {
    let tower = config.towers().draw_vision(BLOCKS, device)?;
    let on_cpu = device.choice() == DeviceChoice::Cpu;
    let mut passes = Vec::new();
    for &precision in precisions {
        match VisionPass::of(&*tower, on_cpu, precision) {
            Ok(pass) => passes.push((precision, pass)),
            Err(ClipError::Precision { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let side = config.vision.image_size;
    let images = passes
        .iter()
        .find_map(|(_, pass)| pass.own())
        .map_or(IMAGES_ON_GPU, |pass| pass.default_images() * rayon::current_num_threads());
    let pixels: Vec<f32> = (0..images * 3 * side * side).map(|at| (at as f32 * 0.37).sin()).collect();
    let seconds = |pass: &VisionPass| -> Result<f64> {
        let started = Instant::now();
        pass.trace(pixels.clone(), &TraceRequest::default())?;
        Ok(started.elapsed().as_secs_f64())
    };
    for (_, pass) in &passes {
        seconds(pass)?;
    }
    let mut fastest = vec![f64::INFINITY; passes.len()];
    for _ in 0..PASSES {
        for (fastest, (_, pass)) in fastest.iter_mut().zip(&passes) {
            *fastest = fastest.min(seconds(pass)?);
        }
    }
    let rate = |((precision, _), seconds): ((Precision, VisionPass), f64)| PassRate {
        precision,
        images_per_second: images as f64 / seconds,
    };
    Ok(passes.into_iter().zip(fastest).map(rate).collect())
}
