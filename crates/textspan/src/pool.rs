use faer::Mat;

use crate::error::TextspanError;

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
