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

/// Images whose products are summed before they are added to those of others. The library that multiplies has blocks of the same
/// length, so that parts that were summed one by one give the bits of parts that are summed in one go.
const BLOCK: usize = 512;

/// What some images add to [`MomentSums`]: all that has to be kept of them, whatever their number.
#[derive(Debug, Clone, PartialEq)]
pub struct MomentTerms {
    /// Number of images.
    pub n: u64,
    /// Sum of `u`, `[m]`.
    pub sum: Vec<f64>,
    /// Sums of `u uᵀ`, each the upper triangle row by row, `[m (m + 1) / 2]`: one for every 512 images, which are added in this order; at
    /// least one.
    pub products: Vec<f64>,
}

impl MomentTerms {
    /// The terms of `rows` images; `length` is that of `u`, and `value(row, column)` gives its numbers. Single-threaded, so that
    /// the result does not depend on the machine.
    pub fn of(length: usize, rows: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let u = Mat::from_fn(rows, length, |row, column| f64::from(value(row, column)));
        let sum = (0..length).map(|column| u.col(column).iter().sum::<f64>()).collect();
        let mut products = Vec::with_capacity(rows.div_ceil(BLOCK).max(1) * triangle(length));
        let mut block = Mat::zeros(length, length);
        for first in (0..rows.max(1)).step_by(BLOCK) {
            let some = u.subrows(first, BLOCK.min(rows - first));
            matmul(block.as_mut(), Accum::Replace, some.transpose(), some, 1.0, Par::Seq);
            // The two halves differ by rounding; one of them is kept for both.
            products
                .extend((0..length).flat_map(|row| (row..length).map(move |column| (row, column))).map(|at| block[at]));
        }
        Self { n: rows as u64, sum, products }
    }

    /// Whether the lengths fit those of `u`.
    pub fn fit(&self, length: usize) -> bool {
        let triangle = triangle(length);
        self.sum.len() == length && !self.products.is_empty() && self.products.len().is_multiple_of(triangle)
    }
}

/// Numbers of the upper triangle of a square of this side.
const fn triangle(side: usize) -> usize {
    side * (side + 1) / 2
}

/// Sums from which moments are made. Double precision; the order in which terms are joined decides the last bits.
#[derive(Debug, Clone)]
pub struct MomentSums {
    n: u64,
    sum: Vec<f64>,
    /// Upper triangle, row by row.
    products: Vec<f64>,
}

impl MomentSums {
    /// No image yet; `length` is that of `u`.
    pub fn new(length: usize) -> Self {
        Self { n: 0, sum: vec![0.0; length], products: vec![0.0; triangle(length)] }
    }

    /// Length of `u`.
    pub fn length(&self) -> usize {
        self.sum.len()
    }

    /// Adds `rows` images: `value(row, column)` of `u`.
    pub fn add(&mut self, rows: usize, value: impl Fn(usize, usize) -> f32) {
        self.join(&MomentTerms::of(self.sum.len(), rows, value));
    }

    /// Adds the terms of images. They must [fit](MomentTerms::fit).
    pub fn join(&mut self, terms: &MomentTerms) {
        self.n += terms.n;
        self.sum.iter_mut().zip(&terms.sum).for_each(|(sum, term)| *sum += term);
        for block in terms.products.chunks_exact(self.products.len()) {
            self.products.iter_mut().zip(block).for_each(|(sum, term)| *sum += term);
        }
    }

    /// The sums as terms of greater sums.
    pub fn into_terms(self) -> MomentTerms {
        let Self { n, sum, products } = self;
        MomentTerms { n, sum, products }
    }

    /// The moments of all images so far.
    pub fn moments(&self) -> Moments {
        let (n, length) = (self.n as f64, self.sum.len());
        let second_moment = (0..length * length)
            .map(|i| {
                let (one, other) = (i / length, i % length);
                let (row, column) = (one.min(other), one.max(other));
                // Before row `r` of the triangle stand `m + (m - 1) + … + (m - r + 1)` numbers.
                let before = row * length - row * row.saturating_sub(1) / 2;
                self.products[before + column - row] / n
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

    /// The sums as they were before parts had terms of their own: every part's product is added to the sum by the library.
    fn in_one_go(parts: &[Vec<Vec<f32>>], length: usize) -> Moments {
        let (mut n, mut sum, mut products) = (0, vec![0.0; length], Mat::<f64>::zeros(length, length));
        for part in parts {
            let u = Mat::from_fn(part.len(), length, |row, column| f64::from(part[row][column]));
            for (column, sum) in sum.iter_mut().enumerate() {
                *sum += u.col(column).iter().sum::<f64>();
            }
            matmul(products.as_mut(), Accum::Add, u.transpose(), u.as_ref(), 1.0, Par::Seq);
            n += part.len();
        }
        let at = |i: usize| (i / length, i % length);
        let second = |i: usize| products[(at(i).0.min(at(i).1), at(i).0.max(at(i).1))] / n as f64;
        Moments {
            n: n as u64,
            mean: sum.iter().map(|sum| sum / n as f64).collect(),
            second_moment: (0..length * length).map(second).collect(),
        }
    }

    /// Bits of runs that were made before must not change: parts of the default length, an odd last one, and heads of usual and
    /// of small widths.
    #[test]
    fn terms_give_the_bits_of_sums_in_one_go() {
        let mut state = 1_u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        for (length, sizes) in [(67, vec![1024, 1024, 1024, 700]), (67, vec![1500, 513, 1, 2]), (11, vec![16, 16, 3])] {
            let parts: Vec<Vec<Vec<f32>>> = sizes
                .iter()
                .map(|rows| (0..*rows).map(|_| (0..length).map(|_| number()).collect()).collect())
                .collect();
            let mut sums = MomentSums::new(length);
            for part in &parts {
                let terms = MomentTerms::of(length, part.len(), |row, column| part[row][column]);
                assert!(terms.fit(length) && !terms.fit(length + 1));
                sums.join(&terms);
            }
            // Only where the library has the vector instructions for which its blocks are fixed.
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                assert_eq!(sums.moments(), in_one_go(&parts, length), "{length} {sizes:?}");
            }
            let mut again = MomentSums::new(length);
            again.join(&sums.clone().into_terms());
            assert_eq!(again.moments(), sums.moments());
        }
        let nothing = MomentTerms::of(3, 0, |_, _| 1.0);
        assert_eq!(nothing, MomentTerms { n: 0, sum: vec![0.0; 3], products: vec![0.0; 6] });
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
