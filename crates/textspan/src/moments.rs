use faer::{Mat, MatRef};

use crate::error::TextspanError;

/// Moments of `u` of one head over `n` images; `m = head_dim + 3`.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadMoments {
    /// Number of images.
    pub n: u64,
    /// Mean of `u`, `[m]`.
    pub mean: Vec<f64>,
    /// Mean of `u uᵀ`, not centred, `[m, m]` row-major.
    pub second_moment: Vec<f64>,
}

impl HeadMoments {
    pub(crate) fn check(&self) -> Result<(), TextspanError> {
        let m = self.mean.len();
        if self.n < 2 {
            return Err(TextspanError::TooFewImages { n: self.n });
        }
        expect_length("second_moment", self.second_moment.len(), m * m)?;
        finite("mean", self.mean.iter().copied())?;
        finite("second_moment", self.second_moment.iter().copied())
    }

    /// Second moment `M`.
    pub(crate) fn second(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.second_moment, self.mean.len(), self.mean.len())
    }

    /// Covariance with n − 1, as the published code's `std` has it.
    pub(crate) fn covariance(&self) -> Mat<f64> {
        let unbiased = self.n as f64 / (self.n as f64 - 1.0);
        let second = self.second();
        Mat::from_fn(self.mean.len(), self.mean.len(), |i, j| unbiased * (second[(i, j)] - self.mean[i] * self.mean[j]))
    }
}

/// Embedded descriptions of unit norm, shared by all heads.
#[derive(Debug, Clone)]
pub struct TextPool {
    /// `[texts, d]`.
    pub(crate) embeddings: Mat<f64>,
}

impl TextPool {
    /// From row-major embeddings `[texts, d]`.
    pub fn new(embeddings: &[f32], d: usize) -> Result<Self, TextspanError> {
        if embeddings.is_empty() || d == 0 {
            return Err(TextspanError::EmptyPool);
        }
        let texts = embeddings.len() / d;
        expect_length("embeddings", embeddings.len(), texts * d)?;
        finite("embeddings", embeddings.iter().map(|x| f64::from(*x)))?;
        Ok(Self { embeddings: Mat::from_fn(texts, d, |text, i| f64::from(embeddings[text * d + i])) })
    }

    /// Number of descriptions.
    pub fn texts(&self) -> usize {
        self.embeddings.nrows()
    }

    /// Length of an embedding.
    pub fn d(&self) -> usize {
        self.embeddings.ncols()
    }
}

pub(crate) fn expect_length(what: &'static str, found: usize, expected: usize) -> Result<(), TextspanError> {
    if found == expected { Ok(()) } else { Err(TextspanError::Length { what, found, expected }) }
}

pub(crate) fn finite(what: &'static str, mut values: impl Iterator<Item = f64>) -> Result<(), TextspanError> {
    match values.position(|value| !value.is_finite()) {
        Some(position) => Err(TextspanError::NotFinite { what, position }),
        None => Ok(()),
    }
}
