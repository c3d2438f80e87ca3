//! Which head after belongs to which head before.

use std::fmt;

use faer::Mat;
use headspan_artifacts::HeadId;
use headspan_headspace::product;
use pathfinding::prelude::{Matrix, kuhn_munkres};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::diff::{
    DiffError,
    likeness::contributions,
    side::{Places, Side},
};

/// Images over which all pairs are compared for an assignment.
const IMAGES: usize = 2048;
/// The assignment is of whole numbers.
const STEPS: f64 = 1e12;

/// How heads find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// The head at the same place.
    Position,
    /// One to one, so that the sum of CKA over all pairs is largest: the places of heads mean nothing between two trainings.
    Assignment,
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Position => "paired by position",
            Self::Assignment => "paired by assignment",
        })
    }
}

/// Pairs, by the head before.
pub(super) struct Paired {
    pub(super) pairing: Pairing,
    pub(super) pairs: Vec<[HeadId; 2]>,
    pub(super) unpaired: [Vec<HeadId>; 2],
}

pub(super) fn pair(sides: &[Side; 2], images: &[Places], wanted: Option<Pairing>) -> Result<Paired, DiffError> {
    let [before, after] = sides.each_ref().map(Side::heads);
    let missing = [(1, &before, &after), (0, &after, &before)].into_iter().find_map(|(side, own, others)| {
        let head = own.iter().find(|head| !others.contains(head))?;
        Some(DiffError::NoHead { run: sides[side].run.path().to_owned(), head: *head })
    });
    match (wanted, missing) {
        (Some(Pairing::Position), Some(error)) => Err(error),
        (Some(Pairing::Assignment), _) | (None, Some(_)) => assign(sides, images, &before, &after),
        (Some(Pairing::Position) | None, None) => Ok(Paired {
            pairing: Pairing::Position,
            pairs: before.iter().map(|head| [*head, *head]).collect(),
            unpaired: [Vec::new(), Vec::new()],
        }),
    }
}

fn assign(sides: &[Side; 2], images: &[Places], before: &[HeadId], after: &[HeadId]) -> Result<Paired, DiffError> {
    let pairing = Pairing::Assignment;
    if images.is_empty() {
        return Err(DiffError::NoActivations { pairing });
    }
    let sample: Vec<&Places> = images.iter().step_by(images.len().div_ceil(IMAGES)).collect();
    let centred = |side: usize, head: HeadId| -> Result<Centred, DiffError> {
        let rows = sides[side].rows(head, sample.iter().map(|places| places[side]))?;
        Ok(Centred::new(&contributions(&sides[side].readouts[&head], &rows)))
    };
    let of_side = |side: usize, heads: &[HeadId]| {
        heads.par_iter().map(|head| centred(side, *head)).collect::<Result<Vec<_>, _>>()
    };
    let [one, other] = [of_side(0, before)?, of_side(1, after)?];
    let alike: Vec<Vec<f64>> = one.par_iter().map(|one| other.iter().map(|other| one.alike(other)).collect()).collect();
    let chosen = best(&alike);
    let pairs: Vec<[HeadId; 2]> = chosen.iter().map(|&(row, column)| [before[row], after[column]]).collect();
    let left = |side: usize, heads: &[HeadId]| -> Vec<HeadId> {
        heads.iter().filter(|head| pairs.iter().all(|pair| pair[side] != **head)).copied().collect()
    };
    Ok(Paired { pairing, unpaired: [left(0, before), left(1, after)], pairs })
}

/// A head's vectors about their mean, with what every pair needs of one side alone.
struct Centred {
    rows: Mat<f64>,
    /// Squared length of the product with itself.
    own: f64,
}

impl Centred {
    fn new(rows: &Mat<f64>) -> Self {
        let mean: Vec<f64> =
            (0..rows.ncols()).map(|column| rows.col(column).iter().sum::<f64>() / rows.nrows() as f64).collect();
        let rows = Mat::from_fn(rows.nrows(), rows.ncols(), |row, column| rows[(row, column)] - mean[column]);
        let own = length(&rows, &rows);
        Self { rows, own }
    }

    /// CKA; 0 for what does not vary.
    fn alike(&self, other: &Self) -> f64 {
        let value = length(&self.rows, &other.rows) / (self.own * other.own).sqrt();
        if value.is_finite() { value } else { 0.0 }
    }
}

fn length(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    product(a.transpose(), b.as_ref()).squared_norm_l2()
}

/// The pairs whose sum is largest, by row: as many as the smaller side has.
fn best(alike: &[Vec<f64>]) -> Vec<(usize, usize)> {
    let columns = alike.first().map_or(0, Vec::len);
    let whole = |value: f64| (value * STEPS) as i64;
    let turned = alike.len() > columns;
    let weight = |(row, column): (usize, usize)| whole(if turned { alike[column][row] } else { alike[row][column] });
    let (rows, columns) = if turned { (columns, alike.len()) } else { (alike.len(), columns) };
    if rows == 0 {
        return Vec::new();
    }
    let (_, chosen) = kuhn_munkres(&Matrix::from_fn(rows, columns, weight));
    let pairs = chosen.into_iter().enumerate().map(|(row, column)| if turned { (column, row) } else { (row, column) });
    let mut pairs: Vec<(usize, usize)> = pairs.collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_counts_and_not_the_greediest_pair() {
        // 0.9 first would leave 0.1: 1.0 together; 0.8 and 0.7 are 1.5.
        assert_eq!(best(&[vec![0.9, 0.8], vec![0.7, 0.1]]), [(0, 1), (1, 0)]);
        assert_eq!(best(&[vec![0.1, 0.2, 0.9]]), [(0, 2)]);
        assert_eq!(best(&[vec![0.1], vec![0.9], vec![0.3]]), [(1, 0)]);
        assert_eq!(best(&[]), []);
    }
}
