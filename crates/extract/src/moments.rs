use std::path::PathBuf;

use headspan_artifacts::{ActivationBatch, MomentsRow, PartReader};
use headspan_headspace::{MomentSums, vector_length};
use rayon::prelude::*;

use crate::error::Result;

/// Mean and second moment of `u` per head, in double precision, from committed parts in their order: a pure function of the
/// parts, so that it does not matter which process wrote them or how often it was interrupted. Memory is one part.
pub fn moments_of_parts(parts: &[PathBuf]) -> Result<Vec<MomentsRow>> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let shape = PartReader::open(first)?.shape().clone();
    let mut sums: Vec<MomentSums> =
        shape.heads.iter().map(|_| MomentSums::new(vector_length(shape.head_dim))).collect();
    for path in parts {
        let batch = PartReader::open(path)?.read(&shape.heads, false)?;
        if batch.is_empty() {
            continue;
        }
        sums.par_iter_mut().enumerate().for_each(|(head, sums)| add(sums, &batch, head, shape.head_dim));
    }
    Ok(shape.heads.iter().zip(&sums).map(|(head, sums)| MomentsRow::new(*head, sums.moments())).collect())
}

/// Adds one head of all images of a part.
fn add(sums: &mut MomentSums, batch: &ActivationBatch, head: usize, head_dim: usize) {
    let (z, scalars) = (&batch.heads[head], batch.scalar_columns());
    sums.add(batch.len(), |image, column| {
        if column < head_dim { z[image * head_dim + column] } else { scalars[column - head_dim][image] }
    });
}
