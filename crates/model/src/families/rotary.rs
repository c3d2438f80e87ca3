//! Rotary positions (arXiv 2104.09864) on the grid of patches.

use std::f32::consts::PI;

/// Positions by which queries and keys are rotated. The first half of a head's pairs of channels turns with the row of the patch, the second
/// with its column: pair `i` of `n` by the position times `base^(−i/n)`. Tokens without a patch are not rotated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotary {
    /// The slowest pair turns almost `base` times slower than the fastest.
    pub base: f64,
    /// What the position of a patch is.
    pub places: RotaryPlaces,
    /// Whether a pair is two neighbouring channels, rather than one of the first half and its match in the second.
    pub interleaved: bool,
}

/// What the position of a patch is, along one side of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotaryPlaces {
    /// Its number from 0, scaled to a grid of so many patches (EVA-02).
    Scaled(usize),
    /// Its centre from -1 to 1 on the side, times 2π (`DINOv3`).
    Centred,
}

/// Cosines and sines for every token of a grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RotaryTable {
    /// `[tokens, head_dim/2]`, one for each pair.
    pub(crate) cos: Vec<f32>,
    /// As `cos`.
    pub(crate) sin: Vec<f32>,
    /// Pairs of a head.
    pub(crate) pairs: usize,
}

impl Rotary {
    /// For a square grid behind some tokens that are not rotated. `head_dim` is a multiple of 4.
    pub(crate) fn table(&self, grid: usize, prefix: usize, head_dim: usize) -> RotaryTable {
        let (pairs, bands) = (head_dim / 2, head_dim / 4);
        // In single precision, as the libraries compute angles: these are up to 16, and rounded alike.
        let frequencies: Vec<f32> =
            (0..bands).map(|band| 1.0 / (self.base as f32).powf(band as f32 / bands as f32)).collect();
        let place = |at: usize| match self.places {
            RotaryPlaces::Scaled(side) => at as f32 / grid as f32 * side as f32,
            RotaryPlaces::Centred => 2.0 * PI * (2.0 * ((at as f32 + 0.5) / grid as f32) - 1.0),
        };
        let (mut cos, mut sin) = (vec![1.0; prefix * pairs], vec![0.0; prefix * pairs]);
        for patch in 0..grid * grid {
            for at in [patch / grid, patch % grid] {
                for frequency in &frequencies {
                    let angle = f64::from(place(at) * frequency);
                    cos.push(angle.cos() as f32);
                    sin.push(angle.sin() as f32);
                }
            }
        }
        RotaryTable { cos, sin, pairs }
    }
}

impl RotaryTable {
    /// Rotates all heads of one token, `[heads, head_dim]`. Pairs are a channel of a head's first half and its match in the second.
    pub(crate) fn rotate(&self, token: usize, heads: &mut [f32]) {
        let row = token * self.pairs..(token + 1) * self.pairs;
        let (cos, sin) = (&self.cos[row.clone()], &self.sin[row]);
        for head in heads.chunks_exact_mut(2 * self.pairs) {
            let (first, second) = head.split_at_mut(self.pairs);
            for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVA: Rotary = Rotary { base: 10_000.0, places: RotaryPlaces::Scaled(16), interleaved: true };

    /// Score of a query at one patch and a key at another, of heads of 8 channels.
    fn score(table: &RotaryTable, query: &[f32], key: &[f32], patches: [usize; 2]) -> f64 {
        let rotated = |vector: &[f32], patch: usize| {
            let mut vector = vector.to_vec();
            table.rotate(patch + 1, &mut vector);
            vector
        };
        let (query, key) = (rotated(query, patches[0]), rotated(key, patches[1]));
        query.iter().zip(&key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum()
    }

    proptest! {
        /// The property that rotary positions are for.
        #[test]
        fn scores_depend_on_how_far_patches_are_apart(
            query in prop::collection::vec(-1.0_f32..1.0, 8),
            key in prop::collection::vec(-1.0_f32..1.0, 8),
            (row, column) in (0_usize..2, 0_usize..2),
        ) {
            for places in [RotaryPlaces::Scaled(16), RotaryPlaces::Centred] {
                let table = Rotary { places, ..EVA }.table(4, 1, 8);
                // Two patches on, one to the left, and the same from another place.
                let first = score(&table, &query, &key, [1, 8]);
                let moved = score(&table, &query, &key, [row * 4 + column + 1, (row + 2) * 4 + column]);
                prop_assert!((first - moved).abs() < 1e-5, "{first} {moved}");
            }
        }
    }

    #[test]
    fn tokens_without_a_patch_stay_as_they_are() {
        let table = EVA.table(3, 2, 8);
        let mut head = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let before = head.clone();
        table.rotate(1, &mut head);
        assert_eq!(head, before);
        table.rotate(2 + 4, &mut head);
        assert_ne!(head, before);
    }

    #[test]
    fn angles_are_those_of_the_papers() {
        let eva = EVA.table(8, 1, 8);
        // Patch in row 1, column 3 of 8, on a scale of 16: 2 and 6, times 1 and 1/100.
        let row = (1 + 8 + 3) * 4;
        let expected = [2.0_f64, 0.02, 6.0, 0.06];
        for (found, angle) in eva.sin[row..row + 4].iter().zip(expected) {
            assert!((f64::from(*found) - angle.sin()).abs() < 1e-6, "{found} {angle}");
        }
        let dino = Rotary { base: 100.0, places: RotaryPlaces::Centred, interleaved: false }.table(2, 0, 4);
        // Centres are at -1/2 and 1/2 of the side: half a turn back and forth.
        let expected = [-PI, -PI, -PI, PI, PI, -PI, PI, PI];
        for (found, angle) in dino.cos.iter().zip(expected) {
            assert!((found - angle.cos()).abs() < 1e-6);
        }
    }
}
