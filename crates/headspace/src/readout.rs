use crate::{
    head::HeadId,
    scalars::Scalars,
    vector::{HeadVector, vector_length},
};

/// Readout of one head (design section 1): `c = B u`.
#[derive(Debug, Clone, PartialEq)]
pub struct Readout {
    /// The head.
    pub head: HeadId,
    /// Length of the joint embedding.
    pub d: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// `B`, `[d, head_dim + 3]`, row-major.
    pub matrix: Vec<f32>,
}

impl Readout {
    /// Columns of `B`, the length of `u`.
    pub fn columns(&self) -> usize {
        vector_length(self.head_dim)
    }

    /// Rows of `B`, one per dimension of the joint embedding, each `[head_dim + 3]`.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.matrix.chunks_exact(self.columns())
    }

    /// Dense contribution `c = B u`, `[d]`; `u` is `[head_dim + 3]`. Summed in double precision.
    pub fn contribution(&self, u: &[f32]) -> Vec<f32> {
        self.rows()
            .map(|row| row.iter().zip(u).map(|(b, u)| f64::from(*b) * f64::from(*u)).sum::<f64>() as f32)
            .collect()
    }

    /// Contribution of one token to `c`, `[d]`: the token's attention times its value, and its even share of the constant
    /// terms. `attention` is that of the class token to this token, `value` is `v` of the token, `[head_dim]`.
    pub fn token_contribution(&self, attention: f32, value: &[f32], scalars: Scalars, tokens: usize) -> Vec<f32> {
        let scale = attention * scalars.inv_scale;
        let scaled: Vec<f32> = value.iter().map(|v| v * scale).collect();
        let share = scalars.to_array().map(|scalar| scalar / tokens as f32);
        self.contribution(HeadVector::new(&scaled, share.into()).as_slice())
    }
}
