//! Means of the half that gives them.

use headspan_artifacts::{HeadId, PartReader};
use headspan_headspace::{MomentSums, MomentTerms, Moments, vector_length};
use rayon::prelude::*;

use crate::classification::{LabelledImages, error::Result, scores::unit_representation};

/// What ablations put in the place of outputs.
pub(super) struct HalfMeans {
    /// Mean of `r/|r|`, `[d]`.
    pub(super) representation: Vec<f64>,
    /// Moments of `u` of each head.
    pub(super) heads: Vec<Moments>,
}

impl HalfMeans {
    /// Over the images of one half, whatever their class. Reads a part at a time.
    pub(super) fn read(parts: &[PartReader], heads: &[HeadId], images: &LabelledImages) -> Result<Self> {
        images.need_halves()?;
        let shape = parts.first().map(PartReader::shape);
        let (head_dim, d) = shape.map_or((0, 0), |shape| (shape.head_dim, shape.d));
        let length = vector_length(head_dim);
        let mut sums: Vec<MomentSums> = heads.iter().map(|_| MomentSums::new(length)).collect();
        let (mut sum, mut count) = (vec![0.0; d], 0_u64);
        for part in parts {
            let batch = part.read(heads, true)?;
            let is_of_half = |row: &usize| images.of(batch.image_index[*row]).is_some_and(|labels| labels.for_means);
            let rows: Vec<usize> = (0..batch.len()).filter(is_of_half).collect();
            for row in &rows {
                let unit = unit_representation(&batch, *row, d);
                sum.iter_mut().zip(unit).for_each(|(sum, x)| *sum += f64::from(x));
            }
            count += rows.len() as u64;
            let of_head = |head: usize| batch.moment_terms(head, head_dim, rows.len(), |row| rows[row]);
            let terms: Vec<MomentTerms> = (0..heads.len()).into_par_iter().map(of_head).collect();
            sums.iter_mut().zip(&terms).for_each(|(sums, terms)| sums.join(terms));
        }
        Ok(Self {
            representation: sum.into_iter().map(|sum| sum / count.max(1) as f64).collect(),
            heads: sums.iter().map(MomentSums::moments).collect(),
        })
    }
}
