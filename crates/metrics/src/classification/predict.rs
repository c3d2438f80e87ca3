use headspan_artifacts::{ActivationBatch, ClassRow, ImageRow, PartReader, RunDirectory, ZeroshotRow};
use rayon::prelude::*;

use crate::classification::{
    LabelledImages,
    error::Result,
    scores::{Embeddings, block_size, higher},
};

/// Classifies every image whose activations the run keeps, in their order: the class with the highest cosine `e·r/|r|` (Radford et al. 2021,
/// arXiv 2103.00020, section 3.1). Reads a part at a time.
pub fn predict(
    run: &RunDirectory,
    images: &[ImageRow],
    classes: &[ClassRow],
    labels: &LabelledImages,
) -> Result<Vec<ZeroshotRow>> {
    let embeddings = Embeddings::new(classes)?;
    let parts: Vec<PartReader> = run.parts_of(images)?;
    embeddings.fit(&parts)?;
    let mut found = Vec::new();
    for part in &parts {
        let batch = part.read(&[], true)?;
        let rows: Vec<usize> = (0..batch.len()).collect();
        let size = block_size(embeddings.classes, 1);
        found.par_extend(rows.par_chunks(size).flat_map_iter(|rows| of_block(&embeddings, &batch, rows, labels)));
    }
    Ok(found)
}

/// As [`predict`], of representations that were computed for these images, `[images, d]`, not normalised. One without a direction has no
/// prediction.
pub fn classify(
    image_index: &[u64],
    representation: &[f32],
    classes: &[ClassRow],
    labels: &LabelledImages,
) -> Result<Vec<ZeroshotRow>> {
    let embeddings = Embeddings::new(classes)?;
    let rows = representation.chunks_exact(embeddings.d);
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    let batch = ActivationBatch {
        image_index: image_index.to_vec(),
        inv_norm: rows.map(|row| (1.0 / norm(row)) as f32).collect(),
        representation: representation.to_vec(),
        ..ActivationBatch::default()
    };
    let whole: Vec<usize> = (0..batch.len()).filter(|row| batch.inv_norm[*row].is_finite()).collect();
    Ok(of_block(&embeddings, &batch, &whole, labels))
}

fn of_block(
    embeddings: &Embeddings,
    batch: &ActivationBatch,
    rows: &[usize],
    labels: &LabelledImages,
) -> Vec<ZeroshotRow> {
    let scores = embeddings.scores(batch, rows);
    let one = |(scores, row): (&[f32], &usize)| {
        let image_index = batch.image_index[*row];
        let class_index = labels.of(image_index).and_then(|labels| labels.class);
        let predicted = (1..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best });
        let others = scores.iter().enumerate().filter(|(at, _)| *at != predicted);
        let next = others.map(|(_, score)| *score).fold(f32::NEG_INFINITY, f32::max);
        ZeroshotRow {
            image_index,
            class_index,
            predicted: predicted as u32,
            margin: scores[predicted] - next,
            rank: class_index.map(|class| higher(scores, class as usize)),
        }
    };
    scores.chunks_exact(embeddings.classes).zip(rows).map(one).collect()
}
