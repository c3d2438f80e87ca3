//! Directions of a head that nobody picked: those of given texts, and those of the largest variance.

use faer::Mat;
use headspan_headspace::{Moments, product};

use crate::{
    error::TextspanError,
    pool::{TextPool, expect_length, finite},
    span::dot,
    subspace::Subspace,
};

/// A text of which less than this share is left (of its squared length in the head's space) says nothing new: the rest is rounding.
const NOTHING_NEW: f64 = 1e-12;

/// Orthonormal directions of texts in their order, as rows, `[k, d]`: each text is projected onto the head's directions (the first `rank`),
/// and what the texts before it say is removed, as TEXTSPAN does with its picks. Of the texts that TEXTSPAN picked, in their order, they are
/// the directions that it removed. Texts that say nothing new are passed over, so that there may be fewer directions than texts.
pub fn text_directions(
    readout: &[f32],
    moments: &Moments,
    texts: &TextPool,
    rank: usize,
) -> Result<Mat<f64>, TextspanError> {
    let subspace = subspace(readout, moments, texts.d(), rank)?;
    let projected = product(texts.embeddings.as_ref(), subspace.directions.as_ref());
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for text in 0..projected.nrows() {
        let mut rest: Vec<f64> = (0..subspace.rank()).map(|i| projected[(text, i)]).collect();
        let whole = dot(&rest, &rest);
        // Twice: after one removal, rounding leaves a little of the directions that were removed.
        for direction in kept.iter().chain(&kept) {
            let along = dot(&rest, direction);
            rest.iter_mut().zip(direction).for_each(|(x, part)| *x -= along * part);
        }
        let left = dot(&rest, &rest);
        if left > NOTHING_NEW * whole {
            let length = left.sqrt();
            for x in &mut rest {
                *x /= length;
            }
            kept.push(rest);
        }
    }
    let kept = Mat::from_fn(kept.len(), subspace.rank(), |row, i| kept[row][i]);
    Ok(product(kept.as_ref(), subspace.directions.transpose()))
}

/// Orthonormal directions in which a head's contribution varies most, as rows, `[rank, d]`: the eigenvectors of its covariance `B C Bᵀ`, the
/// largest variance first. `rank` is the smaller of the one given and the head's numerical rank.
pub fn principal_directions(
    readout: &[f32],
    moments: &Moments,
    d: usize,
    rank: usize,
) -> Result<Mat<f64>, TextspanError> {
    let subspace = subspace(readout, moments, d, rank)?;
    Ok(product(subspace.axes.transpose(), subspace.directions.transpose()))
}

fn subspace(readout: &[f32], moments: &Moments, d: usize, rank: usize) -> Result<Subspace, TextspanError> {
    moments.check()?;
    if rank == 0 {
        return Err(TextspanError::Zero { what: "rank" });
    }
    expect_length("readout", readout.len(), d * moments.mean.len())?;
    finite("readout", readout.iter().map(|x| f64::from(*x)))?;
    Subspace::new(readout, d, moments, rank)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::span::{Settings, textspan};

    /// A head of width 4 in 9 dimensions, its moments over 200 images, and 12 texts.
    fn head() -> (Vec<f32>, Moments, Vec<f32>) {
        let (m, d) = (7, 9);
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random::<f32>() - 0.4).collect() };
        let (readout, rows, mut texts) = (draw(d * m), draw(200 * m), draw(12 * d));
        for text in texts.chunks_exact_mut(d) {
            let norm = text.iter().map(|x| x * x).sum::<f32>().sqrt();
            for x in text.iter_mut() {
                *x /= norm;
            }
        }
        let at = |row: usize, i: usize| f64::from(rows[row * m + i]);
        let mean = |of: &dyn Fn(usize) -> f64| (0..200).map(of).sum::<f64>() / 200.0;
        let moments = Moments {
            n: 200,
            mean: (0..m).map(|i| mean(&|row| at(row, i))).collect(),
            second_moment: (0..m * m).map(|i| mean(&|row| at(row, i / m) * at(row, i % m))).collect(),
        };
        (readout, moments, texts)
    }

    fn row(matrix: &Mat<f64>, row: usize) -> Vec<f64> {
        (0..matrix.ncols()).map(|i| matrix[(row, i)]).collect()
    }

    #[test]
    fn picked_texts_in_their_order_give_the_directions_that_were_removed() -> Result<(), TextspanError> {
        let (readout, moments, texts) = head();
        let basis = textspan(&readout, &moments, &TextPool::new(&texts, 9)?, &Settings { texts: 5, rank: 80 })?;
        let picked: Vec<f32> =
            basis.picks.iter().flat_map(|pick| &texts[pick.text_index * 9..][..9]).copied().collect();
        let found = text_directions(&readout, &moments, &TextPool::new(&picked, 9)?, basis.rank)?;
        assert_eq!(found.nrows(), 5);
        for pick in 0..5 {
            let expected = basis.direction(pick).unwrap_or_default();
            let furthest = row(&found, pick).iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            assert!(furthest < 1e-9, "pick {pick}: {furthest}");
        }
        Ok(())
    }

    #[test]
    fn a_text_that_says_nothing_new_is_passed_over() -> Result<(), TextspanError> {
        let (readout, moments, texts) = head();
        // The second text once more, and in all more texts than the head has directions.
        let repeated: Vec<f32> = texts[..18].iter().chain(&texts[9..]).copied().collect();
        let found = text_directions(&readout, &moments, &TextPool::new(&repeated, 9)?, 80)?;
        let plain = text_directions(&readout, &moments, &TextPool::new(&texts, 9)?, 80)?;
        assert_eq!((found.nrows(), plain.nrows()), (7, 7));
        for one in 0..7 {
            let (own, other) = (row(&found, one), row(&plain, one));
            assert!((dot(&own, &other) - 1.0).abs() < 1e-9, "direction {one}");
        }
        Ok(())
    }

    #[test]
    fn principal_directions_hold_the_most_variance_first() -> Result<(), TextspanError> {
        let (readout, moments, _) = head();
        let found = principal_directions(&readout, &moments, 9, 80)?;
        assert_eq!(found.nrows(), 7);
        let covariance = moments.covariance();
        let variance = |direction: &[f64]| -> f64 {
            let inside: Vec<f64> = (0..7)
                .map(|i| direction.iter().enumerate().map(|(at, x)| x * f64::from(readout[at * 7 + i])).sum())
                .collect();
            (0..49).map(|at| inside[at / 7] * covariance[(at / 7, at % 7)] * inside[at % 7]).sum()
        };
        let variances: Vec<f64> = (0..7).map(|one| variance(&row(&found, one))).collect();
        assert!(variances.is_sorted_by(|one, other| one >= other), "{variances:?}");
        for one in 0..7 {
            for other in 0..7 {
                let expected = f64::from(u8::from(one == other));
                assert!((dot(&row(&found, one), &row(&found, other)) - expected).abs() < 1e-9, "{one} {other}");
            }
        }
        // All directions together hold all of the variance.
        let total = Subspace::new(&readout, 9, &moments, 80)?.total_variance;
        assert!((variances.iter().sum::<f64>() / total - 1.0).abs() < 1e-9);
        Ok(())
    }
}
