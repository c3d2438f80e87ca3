//! Rows of heads and the types of head space are two forms of the same numbers.

use headspan_artifacts::{ActivationBatch, HeadId, MomentsRow, ReadoutRow};
use headspan_headspace::{HeadVector, Moments, Readout, Scalars};

const HEAD: HeadId = HeadId { layer: 11, head: 3 };

#[test]
fn a_row_becomes_a_readout_and_a_readout_the_row() {
    let row =
        ReadoutRow { layer: 11, head: 3, readout: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], d: 2, head_dim: 1 };
    let readout = Readout::from(row.clone());
    assert_eq!((readout.head, readout.d, readout.columns()), (HEAD, 2, 4));
    assert_eq!(readout.rows().last(), Some(&[4.0, 5.0, 6.0, 7.0][..]));
    assert_eq!((row.head_id(), ReadoutRow::from(readout)), (HEAD, row));
}

#[test]
fn a_row_becomes_moments_and_moments_the_row() {
    let row = MomentsRow { layer: 11, head: 3, n: 7, mean: vec![0.5], second_moment: vec![2.0] };
    let moments = Moments::from(row.clone());
    assert_eq!(moments, Moments { n: 7, mean: vec![0.5], second_moment: vec![2.0] });
    assert_eq!((row.head_id(), MomentsRow::new(HEAD, moments)), (HEAD, row));
}

#[test]
fn a_batch_has_a_vector_for_each_head_and_image() {
    let batch = ActivationBatch {
        image_index: vec![4, 9],
        inv_scale: vec![0.1, 0.2],
        mean_scale: vec![0.3, 0.4],
        inv_norm: vec![0.5, 0.6],
        representation: Vec::new(),
        heads: vec![vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0, 7.0, 8.0]],
    };
    let second = Scalars { inv_scale: 0.2, mean_scale: 0.4, inv_norm: 0.6 };
    assert_eq!(batch.scalars(1), second);
    assert_eq!(batch.u(0, 1), HeadVector::new(&[3.0, 4.0], second));
    assert_eq!(batch.u(1, 0), HeadVector::new(&[5.0, 6.0], batch.scalars(0)));
    assert_eq!(batch.scalar_columns(), [&batch.inv_scale[..], &batch.mean_scale, &batch.inv_norm]);
}
