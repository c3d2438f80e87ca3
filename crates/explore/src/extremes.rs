use headspan_artifacts::HeadId;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    error::{ExploreError, Result},
    neighbours::{Neighbour, Query, best},
    run::ExploreRun,
};

/// What of a head is taken to its ends.
#[derive(Debug, Clone, Copy)]
pub enum ExtremesRequest<'a> {
    /// Projection of the contribution on a text's embedding of unit norm, `[d]`.
    Text(&'a [f32]),
    /// Distance of the contribution from the head's mean over the run: what the head tells apart most.
    Distance,
}

/// Both ends of a head's range, and some of what lies between.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extremes {
    /// The head.
    pub head: HeadId,
    /// Images with the largest values, largest first.
    pub largest: Vec<Neighbour>,
    /// Images with the smallest values, smallest first.
    pub smallest: Vec<Neighbour>,
    /// Images at even steps between, from large to small: a head is more than its ends.
    pub between: Vec<Neighbour>,
    /// Mean over all images.
    pub mean: f64,
    /// Standard deviation over all images (n − 1).
    pub std: f64,
}

impl ExploreRun {
    /// The `count` images at each end of what a head says, and as many between.
    pub fn extremes(&self, head: HeadId, request: ExtremesRequest<'_>, count: usize) -> Result<Extremes> {
        self.readout(head)?;
        let scores = match request {
            ExtremesRequest::Text(embedding) => {
                let direction = self.direction(Query::Text(embedding), &[head])?;
                self.scores(&direction, &[head])?
            }
            ExtremesRequest::Distance => self.distances(head)?,
        };
        let rows = self.rows()?;
        let all = || (0..scores.len()).collect::<Vec<usize>>();
        let ordered = best(all(), &scores, scores.len(), false);
        let step = |index: usize| ordered[(2 * index + 1) * ordered.len() / (2 * count)];
        let between: Vec<usize> = (0..count.min(ordered.len())).map(step).collect();
        let n = scores.len() as f64;
        let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / n;
        let squares = scores.iter().map(|score| (f64::from(*score) - mean).powi(2)).sum::<f64>();
        let smallest: Vec<usize> = ordered.iter().rev().take(count).copied().collect();
        Ok(Extremes {
            head,
            largest: self.named(&rows, &ordered[..count.min(ordered.len())], &scores),
            smallest: self.named(&rows, &smallest, &scores),
            between: self.named(&rows, &between, &scores),
            mean,
            std: (squares / (n - 1.0).max(1.0)).sqrt(),
        })
    }

    /// `|B(u − ū)|` of every image.
    fn distances(&self, head: HeadId) -> Result<Vec<f32>> {
        let moments = self.moments()?;
        let own = moments.iter().find(|row| row.layer == head.layer && row.head == head.head);
        let mean = &own.ok_or_else(|| ExploreError::Empty { run: self.name() })?.mean;
        let (readout, column, rows) = (self.readout(head)?, self.column(head)?, self.rows()?);
        let width = readout.head_dim + 3;
        // The Gram matrix BᵀB, [width, width]: the length of B x is that of x under it, whatever d is.
        let mut gram = vec![0.0_f64; width * width];
        for row in readout.matrix.chunks_exact(width) {
            for (i, one) in row.iter().enumerate() {
                for (j, other) in row.iter().enumerate() {
                    gram[i * width + j] += f64::from(*one) * f64::from(*other);
                }
            }
        }
        let distances = (0..rows.scalars.len()).into_par_iter().map(|image| {
            let u = column.row(image).iter().chain(&rows.scalars[image]);
            let x: Vec<f64> = u.zip(mean).map(|(u, mean)| f64::from(*u) - mean).collect();
            let product = |row: &[f64]| row.iter().zip(&x).map(|(g, x)| g * x).sum::<f64>();
            let square: f64 = gram.chunks_exact(width).zip(&x).map(|(row, x)| x * product(row)).sum();
            square.max(0.0).sqrt() as f32
        });
        Ok(distances.collect())
    }
}
