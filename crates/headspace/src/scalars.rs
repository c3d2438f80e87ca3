/// The three scalars of one image (design section 1): `F` is `f64` where they are computed and `f32` where they are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scalars<F = f32> {
    /// `1/(σ|r|)`.
    pub inv_scale: F,
    /// `m/(σ|r|)`.
    pub mean_scale: F,
    /// `1/|r|`.
    pub inv_norm: F,
}

impl Scalars {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// Whether all three are finite.
    pub fn is_finite(self) -> bool {
        self.to_array().iter().all(|scalar| scalar.is_finite())
    }
}

impl<F: Copy> Scalars<F> {
    /// In the order in which they stand at the end of `u`.
    pub fn to_array(self) -> [F; Scalars::COUNT] {
        [self.inv_scale, self.mean_scale, self.inv_norm]
    }
}

impl<F> From<[F; Scalars::COUNT]> for Scalars<F> {
    fn from([inv_scale, mean_scale, inv_norm]: [F; Scalars::COUNT]) -> Self {
        Self { inv_scale, mean_scale, inv_norm }
    }
}

impl From<Scalars> for Scalars<f64> {
    fn from(stored: Scalars) -> Self {
        stored.to_array().map(f64::from).into()
    }
}

impl Scalars<f64> {
    /// From the final class-token residual `[width]` and the representation `r` `[d]`.
    pub fn of(residual: &[f32], representation: &[f32], norm_epsilon: f64) -> Self {
        let n = residual.len() as f64;
        let mean = residual.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let variance = residual.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        let sigma = (variance + norm_epsilon).sqrt();
        let norm = representation.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        Self { inv_scale: 1.0 / (sigma * norm), mean_scale: mean / (sigma * norm), inv_norm: 1.0 / norm }
    }

    /// From what stands for `1/σ` and `m/σ` of an image whose tokens are normalised one by one, and the representation `r` `[d]`.
    pub fn of_scales([inv_sigma, mean]: [f64; 2], representation: &[f32]) -> Self {
        let norm = representation.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        Self { inv_scale: inv_sigma / norm, mean_scale: mean / norm, inv_norm: 1.0 / norm }
    }

    /// As they are stored, rounded to `f32`.
    pub fn stored(self) -> Scalars {
        self.to_array().map(|scalar| scalar as f32).into()
    }
}
