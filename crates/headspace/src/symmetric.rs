//! The linear algebra of head space, compiled once for all crates that need it.

use faer::{Accum, Mat, MatMut, MatRef, Par, Side, linalg::matmul::matmul};

/// Eigenvectors of a symmetric matrix as columns, and its eigenvalues, largest first. None if the solver does not converge, as for
/// numbers that are not finite.
pub fn eigen(symmetric: MatRef<'_, f64>) -> Option<(Mat<f64>, Vec<f64>)> {
    let n = symmetric.nrows();
    // Rounding makes the halves differ; the solver reads one of them.
    let even = Mat::from_fn(n, n, |i, j| 0.5 * (symmetric[(i, j)] + symmetric[(j, i)]));
    let decomposition = even.self_adjoint_eigen(Side::Lower).ok()?;
    let values: Vec<f64> = (0..n).rev().map(|i| decomposition.S()[i]).collect();
    let vectors = Mat::from_fn(n, n, |i, j| decomposition.U()[(i, n - 1 - j)]);
    Some((vectors, values))
}

/// `A B`, on the calling thread.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(out.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// `A Bᵀ` in single precision, on the calling thread, added to `out` or put in its place. All are row-major: `a` is `[rows, length]`, `b`
/// `[columns, length]`, and `out` `[rows, columns]`.
///
/// # Panics
/// If the lengths of the slices do not fit.
pub fn single_product(out: &mut [f32], a: &[f32], b: &[f32], length: usize, accum: Accum) {
    let (rows, columns) = (a.len() / length, b.len() / length);
    let out = MatMut::from_row_major_slice_mut(out, rows, columns);
    let (a, b) = (MatRef::from_row_major_slice(a, rows, length), MatRef::from_row_major_slice(b, columns, length));
    matmul(out, accum, a, b.transpose(), 1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "sums of small whole numbers are exact")]
    fn single_products_are_put_or_added() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let mut out = [9.0; 6];
        single_product(&mut out, &a, &b, 2, Accum::Replace);
        assert_eq!(out, [1.0, 2.0, 3.0, 3.0, 4.0, 7.0]);
        single_product(&mut out, &a, &b, 2, Accum::Add);
        assert_eq!(out, [2.0, 4.0, 6.0, 6.0, 8.0, 14.0]);
    }

    #[test]
    fn a_matrix_is_made_of_its_directions() {
        let matrix = Mat::from_fn(5, 5, |i, j| 1.0 / (1 + i + j) as f64);
        let (vectors, values) = eigen(matrix.as_ref()).expect("it converges");
        assert!(values.is_sorted_by(|one, other| one >= other), "{values:?}");
        let scaled = Mat::from_fn(5, 5, |i, j| vectors[(i, j)] * values[j]);
        let again = product(scaled.as_ref(), vectors.transpose());
        for i in 0..5 {
            for j in 0..5 {
                assert!((again[(i, j)] - matrix[(i, j)]).abs() < 1e-12, "{i} {j}");
            }
        }
        assert!(eigen(Mat::from_fn(2, 2, |_, _| f64::NAN).as_ref()).is_none_or(|(_, values)| values[0].is_nan()));
    }
}
