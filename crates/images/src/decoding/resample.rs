//! Pillow's antialiased bicubic resampling, to the bit.
//!
//! Both towers of OpenCLIP were trained on Pillow's pixels, and a SIMD resampler with other rounding differs in a fifth of
//! them. The rules are Pillow's: filter support scaled by the reduction, coefficients in fixed point, 8-bit rounding
//! between the horizontal and the vertical pass. Only the part of the output that is asked for is computed.

use std::ops::Range;

use crate::decoding::decode::RgbImage8;

/// Fraction bits of a coefficient, so that 255 times the largest sum of coefficients fits an `i32`.
const PRECISION_BITS: u32 = 32 - 8 - 2;
const SUPPORT: f64 = 2.0;

/// Cubic convolution with a = −0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// First source sample of each wanted output of `from` samples resized to `to`, and the weights of it and those that follow; they
/// sum to one. Antialiased bicubic, as in Pillow and in PyTorch with `antialias=True`.
pub fn bicubic_taps(from: usize, to: usize, wanted: Range<usize>) -> impl Iterator<Item = (usize, Vec<f64>)> {
    let scale = from as f64 / to as f64;
    let filter_scale = scale.max(1.0);
    let support = SUPPORT * filter_scale;
    wanted.map(move |out| {
        let center = (out as f64 + 0.5) * scale;
        // Truncation towards zero, then the lower bound: as Pillow's casts do.
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let raw: Vec<f64> = (first..end).map(|x| bicubic((x as f64 - center + 0.5) * (1.0 / filter_scale))).collect();
        let sum: f64 = raw.iter().sum();
        (first, raw.into_iter().map(|weight| weight / sum).collect())
    })
}

/// Source pixels and weights of one output pixel.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(from: usize, to: usize, wanted: Range<usize>) -> Vec<Taps> {
    let fixed = |weight: f64| {
        let fixed = weight * f64::from(1_u32 << PRECISION_BITS);
        (if fixed < 0.0 { fixed - 0.5 } else { fixed + 0.5 }) as i32
    };
    let taps = bicubic_taps(from, to, wanted);
    taps.map(|(first, weights)| Taps { first, weights: weights.into_iter().map(fixed).collect() }).collect()
}

fn round(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Resizes `image` to `width × height` and returns the columns and rows asked for, three bytes a pixel.
pub(super) fn resize(
    image: &RgbImage8,
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u8> {
    let (from_width, from_height) = (image.width as usize, image.height as usize);
    let vertical = (from_height != height).then(|| taps(from_height, height, rows.clone()));
    // The vertical pass looks at these rows of the source only.
    let needed = match &vertical {
        None => rows.clone(),
        Some(taps) => {
            let first = taps.first().map_or(0, |taps| taps.first);
            let end = taps.last().map_or(0, |taps| taps.first + taps.weights.len());
            first..end
        }
    };
    let horizontal = (from_width != width).then(|| taps(from_width, width, columns.clone()));
    let stride = 3 * columns.len();
    let mut middle = vec![0_u8; stride * needed.len()];
    for (row, out) in needed.clone().zip(middle.chunks_exact_mut(stride.max(1))) {
        let source = &image.data[row * 3 * from_width..][..3 * from_width];
        match &horizontal {
            None => out.copy_from_slice(&source[3 * columns.start..3 * columns.end]),
            Some(taps) => horizontal_row(source, taps, out),
        }
    }
    let Some(vertical) = vertical else { return middle };
    let mut result = vec![0_u8; stride * rows.len()];
    let mut sums = vec![0_i32; stride];
    for (taps, out) in vertical.iter().zip(result.chunks_exact_mut(stride.max(1))) {
        sums.fill(HALF);
        for (offset, weight) in taps.weights.iter().enumerate() {
            let row = &middle[(taps.first + offset - needed.start) * stride..][..stride];
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(&sums) {
            *out = round(*sum);
        }
    }
    result
}

fn horizontal_row(source: &[u8], taps: &[Taps], out: &mut [u8]) {
    for (taps, out) in taps.iter().zip(out.chunks_exact_mut(3)) {
        let mut sums = [HALF; 3];
        let pixels = source[3 * taps.first..][..3 * taps.weights.len()].chunks_exact(3);
        for (pixel, weight) in pixels.zip(&taps.weights) {
            sums[0] += i32::from(pixel[0]) * weight;
            sums[1] += i32::from(pixel[1]) * weight;
            sums[2] += i32::from(pixel[2]) * weight;
        }
        out.copy_from_slice(&sums.map(round));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_every_output_sum_to_one() {
        for (from, to) in [(500, 224), (3, 224), (375, 224), (1000, 7)] {
            for taps in taps(from, to, 0..to) {
                let sum: i32 = taps.weights.iter().sum();
                let one = 1_i32 << PRECISION_BITS;
                assert!((sum - one).abs() <= taps.weights.len() as i32, "{from} to {to}: {sum}");
                assert!(taps.first + taps.weights.len() <= from);
            }
        }
    }

    #[test]
    fn a_part_is_the_same_as_cut_from_the_whole() {
        let image = RgbImage8 { width: 37, height: 23, data: (0..37 * 23 * 3).map(|i| (i * 7 % 251) as u8).collect() };
        let whole = resize(&image, (20, 13), 0..20, 0..13);
        let part = resize(&image, (20, 13), 4..15, 3..11);
        for (y, row) in part.chunks_exact(3 * 11).enumerate() {
            let from = (y + 3) * 60 + 12;
            assert_eq!(row, &whole[from..from + 33]);
        }
    }
}
