use std::path::PathBuf;

use faer::{Accum, Mat, Par, linalg::matmul::matmul};
use headspan_artifacts::{ActivationBatch, HeadId, MomentsRow, PartReader};
use rayon::prelude::*;

use crate::error::Result;

/// Moments of `u` of one head while the parts are read.
struct HeadSums {
    n: u64,
    sum: Vec<f64>,
    products: Mat<f64>,
}

impl HeadSums {
    fn new(length: usize) -> Self {
        Self { n: 0, sum: vec![0.0; length], products: Mat::zeros(length, length) }
    }

    /// Adds the rows of one part. Single-threaded inside, so that the result does not depend on the machine.
    fn add(&mut self, batch: &ActivationBatch, head: usize, head_dim: usize) {
        let scalars = [&batch.inv_scale, &batch.mean_scale, &batch.inv_norm];
        let u = Mat::from_fn(batch.len(), head_dim + 3, |image, column| {
            f64::from(if column < head_dim {
                batch.heads[head][image * head_dim + column]
            } else {
                scalars[column - head_dim][image]
            })
        });
        for (column, sum) in self.sum.iter_mut().enumerate() {
            *sum += u.col(column).iter().sum::<f64>();
        }
        matmul(self.products.as_mut(), Accum::Add, u.transpose(), u.as_ref(), 1.0, Par::Seq);
        self.n += batch.len() as u64;
    }

    fn row(&self, head: HeadId) -> MomentsRow {
        let n = self.n as f64;
        let length = self.sum.len();
        // The two halves differ by rounding; one of them is stored for both.
        let second_moment = (0..length * length)
            .map(|i| {
                let (row, column) = (i / length, i % length);
                self.products[(row.min(column), row.max(column))] / n
            })
            .collect();
        MomentsRow {
            layer: head.layer,
            head: head.head,
            n: self.n,
            mean: self.sum.iter().map(|sum| sum / n).collect(),
            second_moment,
        }
    }
}

/// Mean and second moment of `u` per head, in double precision, from committed parts in their order: a pure function of the
/// parts, so that it does not matter which process wrote them or how often it was interrupted. Memory is one part.
pub fn moments_of_parts(parts: &[PathBuf]) -> Result<Vec<MomentsRow>> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let shape = PartReader::open(first)?.shape().clone();
    let mut sums: Vec<HeadSums> = shape.heads.iter().map(|_| HeadSums::new(shape.head_dim + 3)).collect();
    for path in parts {
        let batch = PartReader::open(path)?.read(&shape.heads, false)?;
        if batch.is_empty() {
            continue;
        }
        sums.par_iter_mut().enumerate().for_each(|(head, sums)| sums.add(&batch, head, shape.head_dim));
    }
    Ok(shape.heads.iter().zip(&sums).map(|(head, sums)| sums.row(*head)).collect())
}
