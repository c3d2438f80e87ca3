//! Position embeddings for another number of patches, as OpenCLIP interpolates them when it loads weights.

use headspan_images::bicubic_taps;

use super::weights::Weights;

/// The side of the square grid that embeddings of a class token and patches are for.
pub(super) fn side(tokens: usize) -> Option<usize> {
    let patches = tokens.checked_sub(1).filter(|patches| *patches > 0)?;
    let side = patches.isqrt();
    (side * side == patches).then_some(side)
}

/// Embeddings `[1 + from², width]` for a grid of `to`: that of the class token as it is, those of patches interpolated along rows and
/// columns.
pub(super) fn interpolated(stored: Weights, from: usize, to: usize) -> Weights {
    let width = stored.shape.last().copied().unwrap_or_default();
    Weights::computed(vec![1 + to * to, width], move || {
        let values = stored.values()?;
        let (class, patches) = values.split_at(width);
        Ok([class, &resized(patches, from, to, width)].concat())
    })
}

/// `[from, from, width]` to `[to, to, width]`.
fn resized(patches: &[f32], from: usize, to: usize, width: usize) -> Vec<f32> {
    let taps: Vec<_> = bicubic_taps(from, to, 0..to).collect();
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

    /// Right values: OpenCLIP's `resize_pos_embed` (`tools/reference/checkpoint_cases.py`), which sums in float32.
    #[test]
    fn embeddings_are_interpolated_as_open_clip_does() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/data/positions.json")).expect("cases");
        assert_eq!(cases.len(), 5);
        for Case { from, to, stored, expected } in cases {
            let bytes: Vec<u8> = stored.iter().flat_map(|value| value.to_le_bytes()).collect();
            let weights = Weights::whole(vec![1 + from * from, 3], ValueType::Float32, move || Ok(bytes.clone()));
            let found = interpolated(weights, from, to);
            assert_eq!(found.shape, [1 + to * to, 3]);
            let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let values = found.values().expect("values");
            assert_eq!(values.len(), expected.len());
            let off = values.iter().zip(&expected).fold(0.0_f32, |most, (x, y)| most.max((x - y).abs())) / largest;
            assert!(off < 1e-6, "{from} to {to}: off by {off}");
        }
    }

    #[test]
    fn a_grid_of_the_same_size_stays() {
        let patches: Vec<f32> = (0..4 * 4 * 3).map(|value| value as f32 * 0.25).collect();
        assert_eq!(resized(&patches, 4, 4, 3), patches);
    }

    #[test]
    fn a_constant_stays_one_at_any_size() {
        for (from, to) in [(7, 12), (12, 7), (1, 5), (5, 1)] {
            let out = resized(&vec![0.75; from * from * 2], from, to, 2);
            assert_eq!(out.len(), to * to * 2);
            assert!(out.iter().all(|value| (value - 0.75).abs() < 1e-6), "{from} to {to}");
        }
    }

    #[test]
    fn only_squares_have_a_side() {
        assert_eq!([2, 10, 50, 51, 1, 0].map(side), [Some(1), Some(3), Some(7), None, None, None]);
    }
}
