//! Position embeddings for another number of patches, as OpenCLIP interpolates them when it loads weights.

use headspan_images::bicubic_taps;

use super::weights::Weights;

/// How embeddings for another number of patches are interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resample {
    /// As OpenCLIP and timm: bicubic, antialiased.
    Antialiased,
    /// As transformers: bicubic between neighbours alone.
    Plain,
}

/// Position embeddings as they are stored: rows of some of the tokens without a patch, then those of a square grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    /// Rows before the grid.
    pub(super) before: usize,
    /// Side of the grid.
    pub(super) side: usize,
}

impl Stored {
    /// What `rows` are of a tower whose grid has the side `wanted`, with as many rows before the grid as one of `befores` says: the first
    /// that gives the wanted grid, else the first that gives any.
    pub(super) fn of(rows: usize, befores: &[usize], wanted: usize) -> Option<Self> {
        let of = |before: &usize| Some(Self { before: *before, side: side(rows.checked_sub(*before)?)? });
        let mut all = befores.iter().filter_map(of);
        all.clone().find(|stored| stored.side == wanted).or_else(|| all.next())
    }
}

/// The side of a square grid of patches.
fn side(patches: usize) -> Option<usize> {
    let side = patches.isqrt();
    (patches > 0 && side * side == patches).then_some(side)
}

/// Embeddings `[prefix + to², width]`: rows before the grid as they are, zero for tokens that have none, and those of the patches
/// interpolated along rows and columns if the grid has another side.
pub(super) fn of_tokens(weights: Weights, stored: Stored, prefix: usize, to: usize, resample: Resample) -> Weights {
    let width = weights.shape.last().copied().unwrap_or_default();
    Weights::computed(vec![prefix + to * to, width], move || {
        let mut values = weights.values()?;
        let patches = values.split_off(stored.before * width);
        values.resize(prefix * width, 0.0);
        if stored.side == to {
            values.extend(patches);
        } else {
            values.extend(resized(&patches, stored.side, to, width, resample));
        }
        Ok(values)
    })
}

/// Neighbours and weights of one place among `from` samples resized to `to`, as PyTorch's bicubic interpolation without
/// antialiasing: a = −0.75, the samples at the ends repeated.
fn plain_taps(from: usize, to: usize) -> Vec<(usize, Vec<f64>)> {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let scale = from as f64 / to as f64;
    let taps = (0..to).map(|out| {
        let place = (out as f64 + 0.5) * scale - 0.5;
        let (first, part) = (place.floor(), place - place.floor());
        let weights = [far(1.0 + part), near(part), near(1.0 - part), far(2.0 - part)];
        let at = |offset: usize| (first + offset as f64 - 1.0).clamp(0.0, (from - 1) as f64) as usize;
        let mut row = vec![0.0; at(3) - at(0) + 1];
        weights.iter().enumerate().for_each(|(offset, weight)| row[at(offset) - at(0)] += weight);
        (at(0), row)
    });
    taps.collect()
}

/// `[from, from, width]` to `[to, to, width]`.
fn resized(patches: &[f32], from: usize, to: usize, width: usize, resample: Resample) -> Vec<f32> {
    let taps: Vec<_> = match resample {
        Resample::Antialiased => bicubic_taps(from, to, 0..to).collect(),
        Resample::Plain => plain_taps(from, to),
    };
    let mut wide = vec![0.0_f64; from * to * width];
    for (row, out) in patches.chunks_exact(from * width).zip(wide.chunks_exact_mut(to * width)) {
        for ((first, weights), out) in taps.iter().zip(out.chunks_exact_mut(width)) {
            for (weight, source) in weights.iter().zip(row[first * width..].chunks_exact(width)) {
                out.iter_mut().zip(source).for_each(|(out, value)| *out += weight * f64::from(*value));
            }
        }
    }
    let mut out = Vec::with_capacity(to * to * width);
    let mut sums = vec![0.0_f64; to * width];
    for (first, weights) in &taps {
        sums.fill(0.0);
        for (weight, source) in weights.iter().zip(wide[first * to * width..].chunks_exact(to * width)) {
            sums.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
        }
        out.extend(sums.iter().map(|sum| *sum as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::weights::ValueType;

    #[derive(serde::Deserialize)]
    struct Case {
        from: usize,
        to: usize,
        stored: Vec<f32>,
        expected: Vec<f32>,
    }

    /// Right values: OpenCLIP's `resize_pos_embed` (`tools/reference/checkpoint_cases.py`) and `Dinov2Model` (`families.py`), which sum
    /// in float32.
    #[test]
    fn embeddings_are_interpolated_as_open_clip_and_transformers_do() {
        let open_clip = include_str!("../../tests/data/positions.json");
        let plain = include_str!("../../tests/data/positions-plain.json");
        for (cases, resample) in [(open_clip, Resample::Antialiased), (plain, Resample::Plain)] {
            let cases: Vec<Case> = serde_json::from_str(cases).expect("cases");
            assert_eq!(cases.len(), 5);
            for Case { from, to, stored, expected } in cases {
                let bytes: Vec<u8> = stored.iter().flat_map(|value| value.to_le_bytes()).collect();
                let weights = Weights::whole(vec![1 + from * from, 3], ValueType::Float32, move || Ok(bytes.clone()));
                let found = of_tokens(weights, Stored { before: 1, side: from }, 1, to, resample);
                assert_eq!(found.shape, [1 + to * to, 3]);
                let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                let values = found.values().expect("values");
                assert_eq!(values.len(), expected.len());
                let off = values.iter().zip(&expected).fold(0.0_f32, |most, (x, y)| most.max((x - y).abs())) / largest;
                assert!(off < 1e-6, "{resample:?}, {from} to {to}: off by {off}");
            }
        }
    }

    #[test]
    fn a_grid_of_the_same_size_stays() {
        let patches: Vec<f32> = (0..4 * 4 * 3).map(|value| value as f32 * 0.25).collect();
        assert_eq!(resized(&patches, 4, 4, 3, Resample::Antialiased), patches);
    }

    #[test]
    fn a_constant_stays_one_at_any_size() {
        for (from, to) in [(7, 12), (12, 7), (1, 5), (5, 1)] {
            for resample in [Resample::Antialiased, Resample::Plain] {
                let out = resized(&vec![0.75; from * from * 2], from, to, 2, resample);
                assert_eq!(out.len(), to * to * 2);
                assert!(out.iter().all(|value| (value - 0.75).abs() < 1e-6), "{from} to {to}");
            }
        }
    }

    #[test]
    fn only_squares_have_a_side() {
        assert_eq!([1, 9, 49, 50, 0].map(side), [Some(1), Some(3), Some(7), None, None]);
    }

    #[test]
    fn rows_before_the_grid_are_told_by_the_grid() {
        let of = |rows, wanted| Stored::of(rows, &[5, 1, 0], wanted).map(|stored| (stored.before, stored.side));
        assert_eq!([of(14, 3), of(10, 3), of(9, 3)], [Some((5, 3)), Some((1, 3)), Some((0, 3))]);
        // For another grid: 9 + 5, and not 13 + 1.
        assert_eq!([of(14, 7), of(12, 7)], [Some((5, 3)), None]);
    }
}
