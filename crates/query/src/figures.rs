use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};
use headspan_headspace::{Moments, Readout};
use serde::Serialize;

/// What a head's moments say of it, without any image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadFigures {
    /// Trace of the covariance of the head's contribution: how much it tells images apart.
    pub variance: f64,
    /// Its share of the sum over the run's heads.
    pub variance_share: f64,
    /// Length of the mean contribution: what it says whatever the image.
    pub mean_length: f64,
    /// Directions in which it varies, counted by `(tr Σ)² / tr Σ²`: one if all variance lies along one direction.
    pub effective_rank: f64,
}

impl HeadFigures {
    /// From a head's readout and moments; the share is set by [`HeadFigures::share`].
    pub(crate) fn new(readout: &Readout, moments: &Moments) -> Self {
        let width = readout.columns();
        let matrix = Mat::<f64>::from_fn(readout.d, width, |i, j| f64::from(readout.matrix[i * width + j]));
        // The Gram matrix BᵀB stands for the joint embedding: tr(B C Bᵀ) = tr(BᵀB C), whatever d is.
        let gram = product(matrix.transpose(), matrix.as_ref());
        let covariance = Mat::<f64>::from_fn(width, width, |i, j| {
            moments.second_moment[i * width + j] - moments.mean[i] * moments.mean[j]
        });
        let spread = product(gram.as_ref(), covariance.as_ref());
        let square = product(spread.as_ref(), spread.as_ref());
        let trace = |matrix: &Mat<f64>| (0..width).map(|i| matrix[(i, i)]).sum::<f64>();
        let variance = trace(&spread).max(0.0);
        let squares = trace(&square);
        let mean = (0..width).flat_map(|i| (0..width).map(move |j| (i, j)));
        let mean = mean.map(|(i, j)| moments.mean[i] * gram[(i, j)] * moments.mean[j]).sum::<f64>();
        Self {
            variance,
            variance_share: 0.0,
            mean_length: mean.max(0.0).sqrt(),
            effective_rank: if squares > 0.0 { variance * variance / squares } else { 0.0 },
        }
    }

    /// Sets the shares of all heads of a run.
    pub(crate) fn share<'a>(all: impl Iterator<Item = &'a mut Self>) {
        let all: Vec<&mut Self> = all.collect();
        let sum: f64 = all.iter().map(|figures| figures.variance).sum();
        for figures in all {
            figures.variance_share = if sum > 0.0 { figures.variance / sum } else { 0.0 };
        }
    }
}

fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(left.nrows(), right.ncols());
    matmul(out.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    out
}

#[cfg(test)]
mod tests {
    use headspan_headspace::HeadId;

    use super::*;

    #[test]
    fn figures_of_a_head_that_varies_in_two_directions() {
        // z has two dimensions, read out onto axes of lengths 1 and 2; variances 4 and 1, so Σ = diag(4, 4).
        let matrix = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0];
        let readout = Readout { head: HeadId { layer: 0, head: 0 }, d: 2, head_dim: 2, matrix };
        let mut second_moment = vec![0.0; 25];
        (second_moment[0], second_moment[6]) = (4.0 + 9.0, 1.0);
        let moments = Moments { n: 10, mean: vec![3.0, 0.0, 0.0, 0.0, 0.0], second_moment };
        let mut figures = [HeadFigures::new(&readout, &moments); 2];
        figures[1].variance *= 3.0;
        HeadFigures::share(figures.iter_mut());
        assert!((figures[0].variance - 8.0).abs() < 1e-12 && (figures[0].mean_length - 3.0).abs() < 1e-12);
        assert!((figures[0].effective_rank - 2.0).abs() < 1e-12);
        assert!((figures[0].variance_share - 0.25).abs() < 1e-12);
    }
}
