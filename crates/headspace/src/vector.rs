use crate::scalars::Scalars;

/// Length of `u` of a head of this width: the head's output, then the three scalars.
pub const fn vector_length(head_dim: usize) -> usize {
    head_dim + Scalars::COUNT
}

/// Width of the head whose `u` has this length.
pub const fn head_dim_of(vector_length: usize) -> usize {
    vector_length - Scalars::COUNT
}

/// `u = [z/(σ|r|), 1/(σ|r|), m/(σ|r|), 1/|r|]` of one image and one head, `[head_dim + 3]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadVector(Vec<f32>);

impl HeadVector {
    /// From the head's output, scaled already, `z/(σ|r|)` `[head_dim]`, and the scalars of the image.
    pub fn new(scaled_z: &[f32], scalars: Scalars) -> Self {
        Self(scaled_z.iter().copied().chain(scalars.to_array()).collect())
    }

    /// All of it, `[head_dim + 3]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// `z/(σ|r|)`, `[head_dim]`.
    pub fn scaled_z(&self) -> &[f32] {
        &self.0[..head_dim_of(self.0.len())]
    }

    /// The scalars of the image.
    pub fn scalars(&self) -> Scalars {
        match self.0[head_dim_of(self.0.len())..] {
            [inv_scale, mean_scale, inv_norm] => Scalars { inv_scale, mean_scale, inv_norm },
            // Cannot be: a vector is made of them.
            _ => Scalars::default(),
        }
    }
}

impl From<HeadVector> for Vec<f32> {
    fn from(vector: HeadVector) -> Self {
        vector.0
    }
}
