//! How alike two heads are: in what they put out over images, and in where they can write.

use faer::{Mat, MatRef};
use headspan_artifacts::HeadId;
use headspan_headspace::{Readout, eigen, product};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    bootstrap::percentiles,
    diff::{
        DiffError, ReadoutLikeness,
        side::{Places, Side},
    },
    settings::Settings,
};

/// Parts of the images that are drawn with replacement for an interval. Image `i` belongs to part `i mod FOLDS`, so that each has some of
/// every class whatever the order of the images.
const FOLDS: usize = 40;
/// Fewest images of such a part.
const IMAGES_OF_FOLD: usize = 5;
/// Directions in which a matrix is smaller than this share of its largest are rounding.
const SMALLEST: f64 = 1e-10;

/// A head's vectors with the inner products of its contributions: `x = Lᵀu` with `L Lᵀ = BᵀB`, so that `x·x' = c·c'`.
pub(super) fn contributions(readout: &Readout, rows: &[f32]) -> Mat<f64> {
    let columns = readout.columns();
    let u = MatRef::from_row_major_slice(rows, rows.len() / columns, columns);
    let u = Mat::from_fn(u.nrows(), columns, |row, column| f64::from(u[(row, column)]));
    let matrix = MatRef::from_row_major_slice(&readout.matrix, readout.d, columns);
    let root = root_of(&gram(matrix));
    product(u.as_ref(), root.as_ref())
}

/// `AᵀA` in double precision.
fn gram(matrix: MatRef<'_, f32>) -> Mat<f64> {
    let wide = Mat::from_fn(matrix.nrows(), matrix.ncols(), |row, column| f64::from(matrix[(row, column)]));
    product(wide.transpose(), wide.as_ref())
}

/// `L`, `[m, rank]`, with `L Lᵀ` the symmetric matrix.
fn root_of(symmetric: &Mat<f64>) -> Mat<f64> {
    scaled_directions(symmetric, f64::sqrt)
}

/// Directions of a symmetric matrix without those that are rounding, each times a function of its size; none of a matrix that is not finite.
fn scaled_directions(symmetric: &Mat<f64>, scale: impl Fn(f64) -> f64) -> Mat<f64> {
    let side = symmetric.nrows();
    let Some((directions, sizes)) = eigen(symmetric.as_ref()) else { return Mat::zeros(side, 0) };
    let kept = sizes.iter().take_while(|size| **size > SMALLEST * sizes[0]).count();
    Mat::from_fn(side, kept, |row, column| directions[(row, column)] * scale(sizes[column]))
}

/// Sums of a pair's vectors over parts of the images.
pub(super) struct Folds(Vec<Sums>);

struct Sums {
    images: f64,
    of_vectors: [Vec<f64>; 2],
    /// Products within the head before, within the head after, and between both.
    products: [Mat<f64>; 3],
}

impl Folds {
    /// Of a pair of heads over the images that both runs have; none without images.
    pub(super) fn of(sides: &[Side; 2], images: &[Places], heads: [HeadId; 2]) -> Result<Option<Self>, DiffError> {
        if images.is_empty() {
            return Ok(None);
        }
        let vectors = |side: usize| -> Result<Mat<f64>, DiffError> {
            let rows = sides[side].rows(heads[side], images.iter().map(|places| places[side]))?;
            Ok(contributions(&sides[side].readouts[&heads[side]], &rows))
        };
        Ok(Some(Self::of_vectors(&vectors(0)?, &vectors(1)?)))
    }

    fn of_vectors(before: &Mat<f64>, after: &Mat<f64>) -> Self {
        let images = before.nrows();
        let folds = FOLDS.min((images / IMAGES_OF_FOLD).max(1));
        let of_fold = |fold: usize| {
            let rows: Vec<usize> = (fold..images).step_by(folds).collect();
            let [one, other] = [before, after]
                .map(|all| Mat::from_fn(rows.len(), all.ncols(), |row, column| all[(rows[row], column)]));
            let sum = |all: &Mat<f64>| (0..all.ncols()).map(|column| all.col(column).iter().sum()).collect();
            Sums {
                images: rows.len() as f64,
                of_vectors: [sum(&one), sum(&other)],
                products: [
                    product(one.transpose(), one.as_ref()),
                    product(other.transpose(), other.as_ref()),
                    product(one.transpose(), other.as_ref()),
                ],
            }
        };
        Self((0..folds).map(of_fold).collect())
    }

    /// Linear CKA over all images (Kornblith et al. 2019, equation 4, of centred contributions). None where a head does not vary.
    pub(super) fn cka(&self) -> Option<f64> {
        cka(&vec![1; self.0.len()], &self.0)
    }

    /// Percentile interval of CKA over parts that are drawn with replacement; none for few images.
    pub(super) fn interval(&self, settings: &Settings) -> Option<(f64, f64)> {
        if self.0.len() < FOLDS || settings.bootstrap_samples == 0 {
            return None;
        }
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut values = Vec::with_capacity(settings.bootstrap_samples);
        for _ in 0..settings.bootstrap_samples {
            let mut drawn = vec![0_u32; FOLDS];
            (0..FOLDS).for_each(|_| drawn[random.random_range(0..FOLDS)] += 1);
            values.extend(cka(&drawn, &self.0));
        }
        let value = self.cka()?;
        let (low, high) = percentiles(&mut values, settings.confidence)?;
        Some((low.min(value), high.max(value)))
    }
}

/// CKA over parts, each taken so many times.
fn cka(times: &[u32], parts: &[Sums]) -> Option<f64> {
    let drawn =
        || times.iter().zip(parts).filter(|(times, _)| **times > 0).map(|(times, part)| (f64::from(*times), part));
    let images: f64 = drawn().map(|(times, part)| times * part.images).sum();
    let mean = |side: usize| {
        let mut mean = vec![0.0; parts[0].of_vectors[side].len()];
        drawn().for_each(|(times, part)| {
            mean.iter_mut().zip(&part.of_vectors[side]).for_each(|(to, x)| *to += times * x / images);
        });
        mean
    };
    let means = [mean(0), mean(1)];
    // Squared length of a centred product, all of its numbers together.
    let length = |which: usize, [one, other]: [&[f64]; 2]| -> f64 {
        let centred = |row: usize, column: usize| {
            let sum: f64 = drawn().map(|(times, part)| times * part.products[which][(row, column)]).sum();
            (sum / images - one[row] * other[column]).powi(2)
        };
        (0..other.len()).map(|column| (0..one.len()).map(|row| centred(row, column)).sum::<f64>()).sum()
    };
    let (before, after) = (length(0, [&means[0], &means[0]]), length(1, [&means[1], &means[1]]));
    let between = length(2, [&means[0], &means[1]]);
    let value = between / (before * after).sqrt();
    value.is_finite().then(|| value.min(1.0))
}

/// How alike the linear parts of two readouts are; none where the joint embeddings have different lengths.
pub(super) fn readout_likeness([before, after]: [&Readout; 2]) -> Option<ReadoutLikeness> {
    if before.d != after.d {
        return None;
    }
    let linear = |readout: &Readout| {
        let rows: Vec<&[f32]> = readout.rows().collect();
        Mat::from_fn(readout.d, readout.head_dim, |row, column| f64::from(rows[row][column]))
    };
    let [one, other] = [before, after].map(linear);
    let bases = [&one, &other].map(|matrix| {
        let inverse = scaled_directions(&product(matrix.transpose(), matrix.as_ref()), |size| 1.0 / size.sqrt());
        product(matrix.as_ref(), inverse.as_ref())
    });
    let between = product(bases[0].transpose(), bases[1].as_ref());
    // The smaller side has as many angles as it has directions; the other's further ones would be right angles.
    let turned = if between.nrows() < between.ncols() { between.transpose().to_owned() } else { between };
    let (_, squares) = eigen(product(turned.transpose(), turned.as_ref()).as_ref())?;
    let (largest, smallest) = squares.first().zip(squares.last())?;
    let degrees = |square: f64| square.clamp(0.0, 1.0).sqrt().acos().to_degrees();
    let cosine = (one.ncols() == other.ncols())
        .then(|| inner(&one, &other) / (inner(&one, &one) * inner(&other, &other)).sqrt());
    Some(ReadoutLikeness {
        cosine: cosine.filter(|cosine| cosine.is_finite()),
        overlap: (squares.iter().sum::<f64>() / squares.len() as f64).clamp(0.0, 1.0),
        angles: (degrees(*largest), degrees(*smallest)),
    })
}

fn inner(one: &Mat<f64>, other: &Mat<f64>) -> f64 {
    (0..one.ncols())
        .map(|column| one.col(column).iter().zip(other.col(column).iter()).map(|(x, y)| x * y).sum::<f64>())
        .sum()
}

#[cfg(test)]
mod tests {
    use headspan_headspace::HeadId;
    use proptest::prelude::*;

    use super::*;

    /// Numbers between -1 and 1 without a pattern.
    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        std::iter::repeat_with(|| random.random_range(-1.0_f32..1.0)).take(count).collect()
    }

    fn readout(d: usize, head_dim: usize, seed: u64) -> Readout {
        let matrix = noise(d * (head_dim + 3), seed);
        Readout { head: HeadId { layer: 0, head: 0 }, d, head_dim, matrix }
    }

    /// CKA of dense contributions, by its definition: centred inner products of all pairs of images.
    fn dense(one: &[Vec<f32>], other: &[Vec<f32>]) -> f64 {
        let images = one.len();
        let kernel = |rows: &[Vec<f32>]| {
            let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            let plain = Mat::from_fn(images, images, |i, j| dot(&rows[i], &rows[j]));
            let mean = |i: usize| (0..images).map(|j| plain[(i, j)]).sum::<f64>() / images as f64;
            let means: Vec<f64> = (0..images).map(mean).collect();
            let all = means.iter().sum::<f64>() / images as f64;
            Mat::from_fn(images, images, |i, j| plain[(i, j)] - means[i] - means[j] + all)
        };
        let (one, other) = (kernel(one), kernel(other));
        inner(&one, &other) / (inner(&one, &one) * inner(&other, &other)).sqrt()
    }

    fn contributions_of(readout: &Readout, rows: &[f32]) -> Vec<Vec<f32>> {
        rows.chunks_exact(readout.columns()).map(|u| readout.contribution(u)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Double precision on both sides, but the dense contributions are rounded to float32.
        #[test]
        fn cka_in_head_space_is_that_of_the_contributions(images in 3_usize..60, d in 2_usize..12, head_dim in 1_usize..6, seed: u32) {
            let readouts = [readout(d, head_dim, u64::from(seed)), readout(d + 1, head_dim + 2, u64::from(seed) + 1)];
            let rows = readouts.each_ref().map(|readout| noise(images * readout.columns(), u64::from(seed) + readout.d as u64));
            let [one, other] = [0, 1].map(|side| contributions(&readouts[side], &rows[side]));
            let expected = dense(&contributions_of(&readouts[0], &rows[0]), &contributions_of(&readouts[1], &rows[1]));
            let found = Folds::of_vectors(&one, &other).cka();
            prop_assert!(found.is_some_and(|found| (found - expected).abs() < 1e-5), "{found:?} {expected}");
        }
    }

    #[test]
    fn a_factor_and_another_basis_change_nothing() {
        let one = readout(8, 4, 1);
        // The same columns in another order and twice as large: the vectors' numbers change places.
        let mut other = one.clone();
        for row in other.matrix.chunks_exact_mut(7) {
            for b in row.iter_mut() {
                *b *= 2.0;
            }
            row[..4].reverse();
        }
        let rows = noise(400 * 7, 2);
        let mut turned = rows.clone();
        turned.chunks_exact_mut(7).for_each(|u| u[..4].reverse());
        let folds = Folds::of_vectors(&contributions(&one, &rows), &contributions(&other, &turned));
        let cka = folds.cka().expect("both vary");
        assert!((cka - 1.0).abs() < 1e-9, "{cka}");
        let (low, high) = folds.interval(&Settings::default()).expect("400 images are enough");
        assert!(low > 1.0 - 1e-9 && high <= 1.0, "{low} {high}");
        let likeness = readout_likeness([&one, &other]).expect("the same length");
        assert!((likeness.overlap - 1.0).abs() < 1e-9 && likeness.angles.1 < 1e-3, "{likeness:?}");
        assert!(likeness.cosine.is_some_and(|cosine| cosine < 0.99), "{likeness:?}");
    }

    #[test]
    fn heads_that_have_nothing_in_common_are_told_apart() {
        let [one, other] = [1, 2].map(|seed| readout(8, 2, seed));
        let rows = [3, 4].map(|seed| noise(4000 * 5, seed));
        let folds = Folds::of_vectors(&contributions(&one, &rows[0]), &contributions(&other, &rows[1]));
        let cka = folds.cka().expect("both vary");
        assert!(cka < 0.02, "{cka}");
        let (low, high) = folds.interval(&Settings::default()).expect("enough images");
        assert!(low <= cka && cka <= high && high < 0.05, "{low} {high}");
        // Readouts into other dimensions.
        let apart = |first: usize| {
            let mut readout = readout(8, 2, 5);
            readout
                .matrix
                .chunks_exact_mut(5)
                .enumerate()
                .filter(|(row, _)| row / 4 != first)
                .for_each(|(_, row)| row.fill(0.0));
            readout
        };
        let likeness = readout_likeness([&apart(0), &apart(1)]).expect("the same length");
        assert!(likeness.overlap < 1e-12 && (likeness.angles.0 - 90.0).abs() < 1e-6, "{likeness:?}");
        assert!(readout_likeness([&one, &readout(9, 2, 1)]).is_none());
    }

    #[test]
    fn few_images_have_no_interval_and_a_constant_head_no_cka() {
        let one = readout(8, 2, 1);
        let rows = noise(50 * 5, 3);
        let vectors = contributions(&one, &rows);
        let folds = Folds::of_vectors(&vectors, &vectors);
        assert!(folds.cka().is_some() && folds.interval(&Settings::default()).is_none());
        let still = contributions(&one, &[0.5; 50 * 5]);
        assert_eq!(Folds::of_vectors(&vectors, &Mat::zeros(50, 2)).cka(), None);
        assert!(Folds::of_vectors(&vectors, &still).cka().is_none_or(|cka| cka < 1e-3));
    }
}
