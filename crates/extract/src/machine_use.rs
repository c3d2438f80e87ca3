use headspan_model::{CpuVision, VisionGeometry};
use serde::{Deserialize, Serialize};

use crate::settings::ImagesSettings;

/// From so many images on, a calibration of some tenths of a second is worth its time.
const CALIBRATED_FROM: u64 = 4096;
/// Images that wait together for a pass on the CPU: few, so that decoding is shared evenly.
const CPU_BATCH: usize = 16;
/// Most images of a pass on a GPU: from a hundred on, the products of an image tower fill any.
const GPU_BATCH: usize = 256;
/// Passes at once on a GPU: while one computes, the images of the other go there and its results come back.
const GPU_WORKERS: usize = 2;
/// Memory of a GPU that does not tell.
const GPU_MEMORY: u64 = 4 << 30;
/// From so many processors on, two of them may be one core's, and one thread a core is tried.
const SHARED_CORES_FROM: usize = 4;

/// How a run uses its machine. Results do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineUse {
    /// Forward passes at once.
    pub workers: usize,
    /// Images that are decoded and handed over together.
    pub batch: usize,
    /// Of these, how many go through the model together.
    pub images: usize,
    /// Whether the numbers that were not given were measured.
    pub calibrated: bool,
}

impl MachineUse {
    /// What is not given is measured where there is much to do, else chosen.
    pub(crate) fn on_cpu(settings: &ImagesSettings, vision: &CpuVision, to_do: u64) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let given = |setting: usize| (setting > 0).then_some(setting);
        let (workers, batch) = (given(settings.workers), given(settings.batch_size));
        let calibrated = to_do >= CALIBRATED_FROM && (workers, batch) == (None, None);
        let (measured_workers, measured_images) = if calibrated {
            let mut threads = vec![processors];
            if processors >= SHARED_CORES_FROM {
                threads.push(processors / 2);
            }
            let found = vision.calibrate(&threads);
            (found.threads, found.images)
        } else {
            (processors, vision.default_images())
        };
        let images = batch.unwrap_or(measured_images);
        Self {
            workers: workers.unwrap_or(measured_workers),
            batch: batch.unwrap_or(CPU_BATCH.next_multiple_of(images)),
            images,
            calibrated,
        }
    }

    /// What is not given is chosen, the batch so that what its passes hold fits into half of the card's free memory.
    pub(crate) fn on_gpu(settings: &ImagesSettings, vision: &VisionGeometry, free: Option<u64>) -> Self {
        let or = |setting: usize, default: usize| if setting == 0 { default } else { setting };
        let workers = or(settings.workers, GPU_WORKERS);
        let share = free.unwrap_or(GPU_MEMORY) / 2 / workers as u64;
        let fitting = (share / image_bytes(vision)).max(1).ilog2();
        let batch = or(settings.batch_size, (1 << fitting).min(GPU_BATCH));
        Self { workers, batch, images: batch, calibrated: false }
    }
}

/// Bytes that a pass in single precision holds at most for one image: the residual stream and its norm, and either queries, keys
/// and values (whole and split) with scores, probabilities and one between, or the hidden layer of the MLP with two between.
fn image_bytes(vision: &VisionGeometry) -> u64 {
    let (tokens, width) = (vision.tokens(), vision.width);
    let attention = 6 * tokens * width + 3 * vision.heads * tokens * tokens;
    let mlp = 3 * tokens * vision.mlp_width;
    let pixels = 2 * 3 * vision.image_size * vision.image_size;
    4 * (pixels + 3 * tokens * width + attention.max(mlp)) as u64
}

#[cfg(test)]
mod tests {
    use headspan_model::Pooling;

    use super::*;

    fn large() -> VisionGeometry {
        VisionGeometry {
            layers: 24,
            heads: 16,
            head_dim: 64,
            width: 1024,
            mlp_width: 4096,
            d: 768,
            image_size: 224,
            grid: 16,
            prefix: 1,
            pooling: Pooling::ClassToken,
        }
    }

    #[test]
    fn a_batch_fits_into_half_of_the_free_memory() {
        let (settings, vision) = (ImagesSettings::default(), large());
        for gigabytes in [1, 2, 4, 8, 16, 80] {
            let machine_use = MachineUse::on_gpu(&settings, &vision, Some(gigabytes << 30));
            let held = machine_use.workers as u64 * machine_use.batch as u64 * image_bytes(&vision);
            assert!(held <= gigabytes << 29 && machine_use.batch.is_power_of_two(), "{gigabytes} GiB: {machine_use:?}");
            assert!(
                machine_use.batch == GPU_BATCH || 2 * held > gigabytes << 29,
                "{gigabytes} GiB: {machine_use:?} wastes memory"
            );
        }
        assert_eq!(MachineUse::on_gpu(&settings, &vision, Some(1 << 20)).batch, 1, "too little: one image at a time");
        assert_eq!(
            MachineUse::on_gpu(&settings, &vision, None),
            MachineUse::on_gpu(&settings, &vision, Some(GPU_MEMORY))
        );
    }

    #[test]
    fn what_is_given_is_taken() {
        let settings = ImagesSettings { batch_size: 48, workers: 3, ..ImagesSettings::default() };
        let machine_use = MachineUse::on_gpu(&settings, &large(), Some(1 << 20));
        assert_eq!(machine_use, MachineUse { workers: 3, batch: 48, images: 48, calibrated: false });
    }
}
