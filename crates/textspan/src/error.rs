use headspan_headspace::MomentsError;

/// Why a head has no TEXTSPAN basis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextspanError {
    /// A variance needs two images.
    #[error("moments of {n} images: TEXTSPAN needs at least 2")]
    TooFewImages {
        /// Number of images.
        n: u64,
    },
    /// Lengths that do not fit together.
    #[error("{what} has {found} values, expected {expected}")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits the others.
        expected: usize,
    },
    /// A NaN or an infinity.
    #[error("{what} is not finite at position {position}")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// Where.
        position: usize,
    },
    /// No description to pick from.
    #[error("the pool of descriptions is empty")]
    EmptyPool,
    /// A setting that asks for nothing.
    #[error("`{what}` must be at least 1")]
    Zero {
        /// `texts` or `rank`.
        what: &'static str,
    },
    /// The eigendecomposition did not converge.
    #[error("the eigendecomposition of the head's second moment did not converge")]
    NoConvergence,
}

impl From<MomentsError> for TextspanError {
    fn from(error: MomentsError) -> Self {
        match error {
            MomentsError::TooFewImages { n } => Self::TooFewImages { n },
            MomentsError::Length { found, expected } => Self::Length { what: "second_moment", found, expected },
            MomentsError::NotFinite { what, position } => Self::NotFinite { what, position },
        }
    }
}
