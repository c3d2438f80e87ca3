use std::path::Path;

use headspan_artifacts::{RowsReader, TextRow};

use crate::error::Result;

/// The pool of descriptions of a run, with their embeddings in one piece.
#[derive(Debug, Default)]
pub struct Pool {
    texts: Vec<String>,
    /// `[texts, d]`, row-major.
    embeddings: Vec<f32>,
}

impl Pool {
    /// Reads the table of texts, some rows at a time.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let rows = RowsReader::<TextRow>::open(path)?;
        let count = rows.rows();
        let mut pool = Self::default();
        for some in rows {
            for row in some? {
                if pool.texts.is_empty() {
                    pool.texts.reserve_exact(count);
                    pool.embeddings.reserve_exact(count * row.embedding.len());
                }
                pool.push(row.text, &row.embedding);
            }
        }
        Ok(pool)
    }

    pub(crate) fn push(&mut self, text: String, embedding: &[f32]) {
        self.texts.push(text);
        self.embeddings.extend_from_slice(embedding);
    }

    /// The descriptions, by position in the pool.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Their embeddings of unit norm, `[texts, d]`, row-major.
    pub fn embeddings(&self) -> &[f32] {
        &self.embeddings
    }

    /// Length `d` of the embeddings.
    pub fn d(&self) -> usize {
        self.embeddings.len().checked_div(self.texts.len()).unwrap_or(0)
    }

    /// Embedding of one text, `[d]`; none if there is no such text.
    pub fn embedding(&self, index: usize) -> Option<&[f32]> {
        self.embeddings.chunks_exact(self.d().max(1)).nth(index)
    }
}
