use headspan_clip::CpuVision;
use serde::{Deserialize, Serialize};

use crate::settings::ImagesSettings;

/// From so many images on, a calibration of some tenths of a second is worth its time.
const CALIBRATED_FROM: u64 = 4096;
/// Images that wait together for a pass on the CPU: few, so that decoding is shared evenly.
const CPU_BATCH: usize = 16;
const GPU_BATCH: usize = 128;
/// From so many processors on, two of them may be one core's, and one thread a core is tried.
const SHARED_CORES_FROM: usize = 4;

/// How a run uses its machine. Results do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Forward passes at once.
    pub workers: usize,
    /// Images that are decoded and handed over together.
    pub batch: usize,
    /// Of these, how many go through the model together.
    pub images: usize,
    /// Whether the numbers that were not given were measured.
    pub calibrated: bool,
}

impl Pace {
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

    /// What is not given is chosen.
    pub(crate) fn on_gpu(settings: &ImagesSettings) -> Self {
        let or = |setting: usize, default: usize| if setting == 0 { default } else { setting };
        let batch = or(settings.batch_size, GPU_BATCH);
        Self { workers: or(settings.workers, 1), batch, images: batch, calibrated: false }
    }
}
