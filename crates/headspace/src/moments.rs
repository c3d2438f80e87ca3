use faer::{Accum, Mat, MatRef, Par, linalg::matmul::matmul};

/// Moments of `u` of one head over `n` images; `m = head_dim + 3`.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Number of images.
    pub n: u64,
    /// Mean of `u`, `[m]`.
    pub mean: Vec<f64>,
    /// Mean of `u uᵀ`, not centred, `[m, m]` row-major.
    pub second_moment: Vec<f64>,
}

/// Moments from which nothing can be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MomentsError {
    /// A variance needs two images.
    #[error("{n} images: a variance needs 2 or more")]
    TooFewImages {
        /// Number of images.
        n: u64,
    },
    /// The second moment does not fit the mean.
    #[error("`second_moment` has {found} numbers, {expected} were expected")]
    Length {
        /// Numbers given.
        found: usize,
        /// Numbers expected.
        expected: usize,
    },
    /// A number is not finite.
    #[error("`{what}` is not finite at position {position}")]
    NotFinite {
        /// `mean` or `second_moment`.
        what: &'static str,
        /// Position, from 0.
        position: usize,
    },
}

impl Moments {
    /// Refuses moments that have no covariance.
    pub fn check(&self) -> Result<(), MomentsError> {
        let m = self.mean.len();
        if self.n < 2 {
            return Err(MomentsError::TooFewImages { n: self.n });
        }
        if self.second_moment.len() != m * m {
            return Err(MomentsError::Length { found: self.second_moment.len(), expected: m * m });
        }
        for (what, values) in [("mean", &self.mean), ("second_moment", &self.second_moment)] {
            if let Some(position) = values.iter().position(|value| !value.is_finite()) {
                return Err(MomentsError::NotFinite { what, position });
            }
        }
        Ok(())
    }

    /// Second moment `M`, `[m, m]`.
    pub fn second(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.second_moment, self.mean.len(), self.mean.len())
    }

    /// Covariance with n − 1, as the `std` of the published TEXTSPAN has it, `[m, m]`.
    pub fn covariance(&self) -> Mat<f64> {
        let unbiased = self.n as f64 / (self.n as f64 - 1.0);
        let second = self.second();
        Mat::from_fn(self.mean.len(), self.mean.len(), |i, j| unbiased * (second[(i, j)] - self.mean[i] * self.mean[j]))
    }
}

/// Sums from which moments are made, while images arrive. Double precision; the order of the batches decides the last bits.
#[derive(Debug, Clone)]
pub struct MomentSums {
    n: u64,
    sum: Vec<f64>,
    products: Mat<f64>,
}

impl MomentSums {
    /// No image yet; `length` is that of `u`.
    pub fn new(length: usize) -> Self {
        Self { n: 0, sum: vec![0.0; length], products: Mat::zeros(length, length) }
    }

    /// Adds `rows` images: `value(row, column)` of `u`. Single-threaded, so that the result does not depend on the machine.
    pub fn add(&mut self, rows: usize, value: impl Fn(usize, usize) -> f32) {
        let u = Mat::from_fn(rows, self.sum.len(), |row, column| f64::from(value(row, column)));
        for (column, sum) in self.sum.iter_mut().enumerate() {
            *sum += u.col(column).iter().sum::<f64>();
        }
        matmul(self.products.as_mut(), Accum::Add, u.transpose(), u.as_ref(), 1.0, Par::Seq);
        self.n += rows as u64;
    }

    /// The moments of all images so far.
    pub fn moments(&self) -> Moments {
        let (n, length) = (self.n as f64, self.sum.len());
        // The two halves differ by rounding; one of them is stored for both.
        let second_moment = (0..length * length)
            .map(|i| {
                let (row, column) = (i / length, i % length);
                self.products[(row.min(column), row.max(column))] / n
            })
            .collect();
        Moments { n: self.n, mean: self.sum.iter().map(|sum| sum / n).collect(), second_moment }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Batches may be of any size, and the covariance is that of the definition.
        #[test]
        fn moments_do_not_depend_on_the_batches(rows in prop::collection::vec([-2.0_f32..2.0, -2.0_f32..2.0, -2.0_f32..2.0], 2..40), cut in 0_usize..40) {
            let cut = cut.min(rows.len());
            let mut sums = MomentSums::new(3);
            sums.add(cut, |row, column| rows[row][column]);
            sums.add(rows.len() - cut, |row, column| rows[cut + row][column]);
            let moments = sums.moments();
            prop_assert_eq!(moments.check(), Ok(()));
            let n = rows.len() as f64;
            let mean = |column: usize| rows.iter().map(|row| f64::from(row[column])).sum::<f64>() / n;
            let covariance = moments.covariance();
            for i in 0..3 {
                for j in 0..3 {
                    let centred = rows.iter().map(|row| (f64::from(row[i]) - mean(i)) * (f64::from(row[j]) - mean(j)));
                    // Sums of 40 products of at most 4: rounding in double precision stays far below this.
                    prop_assert!((covariance[(i, j)] - centred.sum::<f64>() / (n - 1.0)).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn moments_without_a_covariance_say_why() {
        let good = Moments { n: 2, mean: vec![0.0], second_moment: vec![1.0] };
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Moments { n: 1, ..good.clone() }.check(), Err(MomentsError::TooFewImages { n: 1 }));
        assert!(Moments { second_moment: vec![1.0, 2.0], ..good.clone() }.check().is_err());
        let infinite = Moments { mean: vec![f64::INFINITY], ..good };
        assert_eq!(infinite.check(), Err(MomentsError::NotFinite { what: "mean", position: 0 }));
    }
}
