//! The singular vectors of a readout.

use faer::{Mat, MatRef};
use headspan_headspace::{Readout, eigen, product};

/// Directions whose singular value is below this share of the largest are rounding.
const SMALLEST: f64 = 1e-6;

/// The directions in which a head can write.
pub(super) struct Directions {
    /// Singular values, largest first, those of rounding included.
    pub(super) singular: Vec<f64>,
    /// Left singular vectors as columns, `[d, rank]`.
    left: Mat<f64>,
}

impl Directions {
    /// None for numbers that are not finite. The columns of `B` for the scalars take no part: they are the same for all heads of a layer.
    pub(super) fn of(readout: &Readout) -> Option<Self> {
        if readout.matrix.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let all = MatRef::from_row_major_slice(&readout.matrix, readout.d, readout.columns());
        let r = Mat::from_fn(readout.d, readout.head_dim, |row, column| f64::from(all[(row, column)]));
        let (right, squares) = eigen(product(r.transpose(), r.as_ref()).as_ref())?;
        let singular: Vec<f64> = squares.into_iter().map(|square| square.max(0.0).sqrt()).collect();
        let rank = singular.iter().take_while(|s| **s > SMALLEST * singular[0]).count();
        let written = product(r.as_ref(), right.as_ref());
        let left = Mat::from_fn(readout.d, rank, |row, column| written[(row, column)] / singular[column]);
        Some(Self { singular, left })
    }

    /// Number of directions that are no rounding.
    pub(super) fn rank(&self) -> usize {
        self.left.ncols()
    }

    /// Vectors of the joint embedding, `[n, d]`, along the directions, `[n, rank]`.
    pub(super) fn within(&self, vectors: &Mat<f64>) -> Mat<f64> {
        product(vectors.as_ref(), self.left.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::HeadId;
    use proptest::prelude::*;

    use super::*;

    fn readout(d: usize, head_dim: usize, values: &[f32]) -> Readout {
        let matrix = (0..d * (head_dim + 3)).map(|at| values[at % values.len()]).collect();
        Readout { head: HeadId { layer: 0, head: 0 }, d, head_dim, matrix }
    }

    proptest! {
        #[test]
        fn directions_are_orthonormal_and_rebuild_the_readout(values in prop::collection::vec(-2.0_f32..2.0, 41)) {
            let readout = readout(9, 4, &values);
            let found = Directions::of(&readout).expect("finite");
            let gram = product(found.left.transpose(), found.left.as_ref());
            for i in 0..found.rank() {
                for j in 0..found.rank() {
                    prop_assert!((gram[(i, j)] - f64::from(u8::from(i == j))).abs() < 1e-6, "{} {}", i, j);
                }
            }
            // All of a column of R lies within the directions.
            let column = Mat::from_fn(1, 9, |_, row| f64::from(readout.matrix[row * 7 + 2]));
            let inside = found.within(&column);
            let length = |all: &Mat<f64>| (0..all.ncols()).map(|at| all[(0, at)].powi(2)).sum::<f64>();
            prop_assert!((length(&inside) - length(&column)).abs() < 1e-5 * length(&column).max(1.0));
        }
    }

    #[test]
    fn a_readout_of_lower_rank_has_fewer_directions() {
        let mut readout = readout(6, 3, &[0.0]);
        for row in 0..6 {
            readout.matrix[row * 6] = row as f32;
            readout.matrix[row * 6 + 1] = 2.0 * row as f32;
        }
        let found = Directions::of(&readout).expect("finite");
        assert_eq!((found.rank(), found.singular.len()), (1, 3));
        assert!((found.singular[0] - (5.0_f64 * 55.0).sqrt()).abs() < 1e-9, "{:?}", found.singular);
        readout.matrix[0] = f32::NAN;
        assert!(Directions::of(&readout).is_none());
    }
}
