use crate::decoding::{decode::RgbImage8, resample::resize};

/// OpenCLIP's image transform: resize by Pillow's bicubic, centre crop to `size`, 0..1, normalise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// Side of the square result in pixels.
    pub size: usize,
    /// How an image is resized before the crop.
    pub resize: Resize,
    /// Mean of each channel.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

/// How an image is resized before its centre is cropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resize {
    /// The shortest side to that of the result.
    #[default]
    Shortest,
    /// The shortest side to so many pixels, no fewer than the result has, so that a margin is cropped.
    ShortestTo(usize),
    /// Both sides to that of the result, whatever the image's proportions (OpenCLIP's `squash`).
    Squash,
}

impl Preprocess {
    /// Resized and cropped pixels, `[size, size, 3]`.
    pub fn pixels(&self, image: &RgbImage8) -> Vec<u8> {
        let (width, height) = (image.width as usize, image.height as usize);
        let side = match self.resize {
            Resize::ShortestTo(side) => side.max(self.size),
            Resize::Shortest | Resize::Squash => self.size,
        };
        // torchvision: the long side is `int(size * long / short)`.
        let long = |long: usize, short: usize| ((side * long) as f64 / short as f64) as usize;
        let (new_width, new_height) = match self.resize {
            Resize::Squash => (side, side),
            _ if width <= height => (side, long(height, width)),
            _ => (long(width, height), side),
        };
        let left = half(new_width - self.size);
        let top = half(new_height - self.size);
        resize(image, (new_width, new_height), left..left + self.size, top..top + self.size)
    }

    /// Normalised pixels into `out`, `[3, size, size]`.
    ///
    /// # Panics
    /// If `out` has another length than `3 · size · size`.
    pub fn apply(&self, image: &RgbImage8, out: &mut [f32]) {
        let plane = self.size * self.size;
        assert_eq!(out.len(), 3 * plane, "the buffer must hold 3 × size × size values");
        let pixels = self.pixels(image);
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let table: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std);
            for (out, pixel) in out.iter_mut().zip(pixels.chunks_exact(3)) {
                *out = table[usize::from(pixel[channel])];
            }
        }
    }
}

/// Python's `round(n / 2)`: halves to the even neighbour.
fn half(n: usize) -> usize {
    let down = n / 2;
    if n % 2 == 1 && down % 2 == 1 { down + 1 } else { down }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0, 1, 2, 3, 4, 5, 7].map(half), [0, 0, 1, 2, 2, 2, 4]);
    }

    #[test]
    fn every_aspect_ratio_gives_a_full_square() {
        let preprocess = Preprocess { size: 32, resize: Resize::default(), mean: [0.5; 3], std: [0.25; 3] };
        for (width, height) in [(1, 1), (1, 900), (900, 1), (31, 33), (32, 32), (64, 48), (5, 3)] {
            let image = RgbImage8 { width, height, data: vec![255; (3 * width * height) as usize] };
            let mut out = vec![0.0; 3 * 32 * 32];
            preprocess.apply(&image, &mut out);
            assert!(out.iter().all(|value| (value - 2.0).abs() < 1e-6), "{width}×{height}");
        }
    }
}
