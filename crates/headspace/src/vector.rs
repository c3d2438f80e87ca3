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
        let last = &self.0[head_dim_of(self.0.len())..];
        Scalars { inv_scale: last[0], mean_scale: last[1], inv_norm: last[2] }
    }
}

impl From<HeadVector> for Vec<f32> {
    fn from(vector: HeadVector) -> Self {
        vector.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_the_output_and_then_the_scalars() {
        let scalars = Scalars { inv_scale: 0.5, mean_scale: -0.25, inv_norm: 2.0 };
        let u = HeadVector::new(&[1.0, 3.0], scalars);
        assert_eq!((u.scaled_z(), u.scalars()), (&[1.0, 3.0][..], scalars));
        assert_eq!(u.as_slice(), [1.0, 3.0, 0.5, -0.25, 2.0]);
        assert_eq!((u.as_slice().len(), head_dim_of(vector_length(2))), (vector_length(2), 2));
        assert_eq!(HeadVector::new(&[], scalars).scalars(), scalars);
    }
}
