use faer::Mat;

/// Mean plus projection onto the picked directions (arXiv 2310.05916, section 4.2): what is left of a head's contribution
/// when only its texts may speak.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    mean: Vec<f64>,
    /// Orthonormal, `[picks, d]`.
    directions: Mat<f64>,
}

impl Reconstruction {
    pub(crate) fn new(mean: Vec<f64>, directions: Mat<f64>) -> Self {
        Self { mean, directions }
    }

    /// Mean of the contribution, `[d]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Number of directions.
    pub fn directions(&self) -> usize {
        self.directions.nrows()
    }

    /// Reconstructs a dense contribution `c`, `[d]`.
    ///
    /// # Panics
    /// If `contribution` has another length than the mean.
    pub fn apply(&self, contribution: &[f64]) -> Vec<f64> {
        assert_eq!(contribution.len(), self.mean.len(), "a contribution has the length of the embedding");
        let mut result = self.mean.clone();
        for pick in 0..self.directions.nrows() {
            let along: f64 = contribution
                .iter()
                .zip(&self.mean)
                .enumerate()
                .map(|(i, (c, mean))| (c - mean) * self.directions[(pick, i)])
                .sum();
            for (i, value) in result.iter_mut().enumerate() {
                *value += along * self.directions[(pick, i)];
            }
        }
        result
    }
}
