//! How many threads, and how many images on each at a time: what is best depends on caches, and on whether two threads share a core.

use std::{
    thread::{self, Builder},
    time::Instant,
};

use super::{CpuVision, ROWS, scratch::Scratch};

/// Less than this much faster is noise, and the default stays.
const GAIN: f64 = 1.03;

/// How a processor is best used for the passes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// Threads that each have images of their own.
    pub threads: usize,
    /// Images that a thread takes through the model together.
    pub images: usize,
}

impl CpuVision {
    /// Images of a pass without calibration: so many that packed weights are read seldom, so few that activations stay in the
    /// caches.
    pub fn default_images(&self) -> usize {
        (ROWS / self.tower.tokens()).max(1)
    }

    /// Times the first block with half, the whole and twice the default number of images, on each number of threads, the
    /// preferred first. Takes some tenths of a second; results of passes do not depend on it.
    pub fn calibrate(&self, threads: &[usize]) -> Calibration {
        let default = self.default_images();
        let mut counts = vec![default, (default / 2).max(1), 2 * default];
        counts.dedup();
        let mut rates = Vec::new();
        for &threads in threads {
            for &images in &counts {
                rates.push((Calibration { threads, images }, self.rate(threads, images)));
            }
        }
        best(&rates)
    }

    /// Images a second through the first block, of all threads together.
    fn rate(&self, threads: usize, images: usize) -> f64 {
        thread::scope(|scope| {
            // A machine without a thread left gets a low rate for this many threads, and so not this many.
            let spawned = (0..threads).map(|_| Builder::new().spawn_scoped(scope, || self.block_rate(images)));
            let running: Vec<_> = spawned.filter_map(Result::ok).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
        })
    }

    /// Images a second through the first block, on the calling thread.
    fn block_rate(&self, images: usize) -> f64 {
        let mut scratch = Scratch::new(self.tower.blocks.arch, 1);
        self.tower.first_block(images, &mut scratch);
        let started = Instant::now();
        self.tower.first_block(images, &mut scratch);
        images as f64 / started.elapsed().as_secs_f64()
    }
}

/// The fastest, but the first unless another is faster by more than noise.
fn best(rates: &[(Calibration, f64)]) -> Calibration {
    let mut best = rates[0];
    for &(calibration, rate) in &rates[1..] {
        if rate > best.1.max(GAIN * rates[0].1) {
            best = (calibration, rate);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_stays_unless_another_is_clearly_faster() {
        let of = |rates: [f64; 3]| {
            let rates = [1, 2, 4].into_iter().zip(rates);
            best(&rates.map(|(images, rate)| (Calibration { threads: 1, images }, rate)).collect::<Vec<_>>()).images
        };
        assert_eq!(of([100.0, 102.0, 99.0]), 1);
        assert_eq!(of([100.0, 104.0, 110.0]), 4);
        assert_eq!(of([100.0, 110.0, 104.0]), 2);
    }
}
