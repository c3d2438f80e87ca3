use faer::{Mat, MatRef};
use headspan_headspace::{Moments, product};

use crate::error::TextspanError;

/// Singular directions of a head's outputs below this share of the largest (in squared singular values, 1e-6 in singular
/// values) are rounding of the float32 activations, not output. The published code keeps a fixed 80 of them, of which a
/// 64-wide head has none beyond 67: from there on its picks depend on noise.
pub(crate) const RANK_TOLERANCE: f64 = 1e-12;

/// The space of a head's outputs: its top right singular vectors, not centred, and the covariance in them.
pub(crate) struct Subspace {
    /// Orthonormal directions as columns, `[d, rank]`.
    pub(crate) directions: Mat<f64>,
    /// `F` with `F Fᵀ` the covariance in these directions, `[rank, rank]`.
    pub(crate) covariance_root: Mat<f64>,
    /// Eigenvectors of the covariance in these directions as columns, the largest variance first, `[rank, rank]`.
    pub(crate) axes: Mat<f64>,
    /// Trace of the covariance in all of `d`.
    pub(crate) total_variance: f64,
}

impl Subspace {
    /// From the readout `B` `[d, m]` row-major. `B = QR` reduces everything to `m × m`.
    pub(crate) fn new(readout: &[f32], d: usize, moments: &Moments, rank: usize) -> Result<Self, TextspanError> {
        let m = moments.mean.len();
        let readout = Mat::from_fn(d, m, |i, j| f64::from(readout[i * m + j]));
        let qr = readout.qr();
        let q = qr.compute_thin_Q();
        let r = qr.thin_R().to_owned();
        let (vectors, values) = eigen(congruent(r.as_ref(), moments.second()).as_ref())?;
        let largest = values.first().copied().unwrap_or(0.0);
        let numerical = values.iter().take_while(|value| **value > RANK_TOLERANCE * largest).count();
        let rank = rank.min(numerical);
        let kept = vectors.subcols(0, rank);
        let covariance = congruent(r.as_ref(), moments.covariance().as_ref());
        let inside = congruent(kept.transpose(), covariance.as_ref());
        let (axes, variances) = eigen(inside.as_ref())?;
        Ok(Self {
            directions: product(q.as_ref(), kept),
            covariance_root: Mat::from_fn(rank, rank, |i, j| axes[(i, j)] * variances[j].max(0.0).sqrt()),
            axes,
            total_variance: (0..covariance.nrows()).map(|i| covariance[(i, i)]).sum(),
        })
    }

    pub(crate) fn rank(&self) -> usize {
        self.directions.ncols()
    }
}

/// `A S Aᵀ`.
fn congruent(a: MatRef<'_, f64>, s: MatRef<'_, f64>) -> Mat<f64> {
    let left = product(a, s);
    product(left.as_ref(), a.transpose())
}

/// Eigenvectors as columns and eigenvalues, largest first.
fn eigen(symmetric: MatRef<'_, f64>) -> Result<(Mat<f64>, Vec<f64>), TextspanError> {
    headspan_headspace::eigen(symmetric).ok_or(TextspanError::NoConvergence)
}
