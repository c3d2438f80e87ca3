//! Scores of images for classes, and what each head adds to them, block by block.

use faer::{Accum, Mat, MatRef};
use headspan_artifacts::{
    ActivationBatch, ClassRow, HeadId, ImageRow, PartReader, ReadoutRow, RunDirectory, Table, read_rows,
};
use headspan_headspace::{Readout, product, single_product, vector_length};
use rayon::prelude::*;

use crate::classification::{ClassificationError, LabelledImages, error::Result, images::Labels};

/// Numbers that a block has in memory, at most: 16 MB for each thread.
const BLOCK: usize = 4 << 20;

/// The classes' embeddings, `[classes, d]`.
pub(super) struct Embeddings {
    pub(super) classes: usize,
    pub(super) d: usize,
    pub(super) values: Vec<f32>,
}

impl Embeddings {
    /// Errors if there are fewer than two classes.
    pub(super) fn new(classes: &[ClassRow]) -> Result<Self> {
        if classes.len() < 2 {
            return Err(ClassificationError::FewClasses { classes: classes.len() });
        }
        let values: Vec<f32> = classes.iter().flat_map(|row| &row.embedding).copied().collect();
        Ok(Self { classes: classes.len(), d: values.len() / classes.len(), values })
    }

    /// Errors if the representations of `parts` have another length.
    pub(super) fn fit(&self, parts: &[PartReader]) -> Result<()> {
        match parts.first().map(|part| part.shape().d) {
            Some(expected) if expected != self.d => {
                Err(ClassificationError::OtherEmbedding { found: self.d, expected })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wide(&self) -> Mat<f64> {
        wide(&self.values, self.d)
    }

    /// Scores `e·r/|r|` of some rows of a batch, `[rows, classes]`.
    pub(super) fn scores(&self, batch: &ActivationBatch, rows: &[usize]) -> Vec<f32> {
        let unit: Vec<f32> = rows.iter().flat_map(|row| unit_representation(batch, *row, self.d)).collect();
        let mut scores = vec![0.0; rows.len() * self.classes];
        single_product(&mut scores, &unit, &self.values, self.d, Accum::Replace);
        scores
    }
}

/// The classes `E`, `[classes, d]`, in a head's space, `E B`, `[classes, head_dim + 3]`.
pub(super) fn projected(classes: MatRef<'_, f64>, readout: &Readout) -> Mat<f64> {
    product(classes, wide(&readout.matrix, readout.columns()).as_ref())
}

/// What ablations and reconstructions both begin with.
pub(super) struct Opened {
    pub(super) embeddings: Embeddings,
    pub(super) parts: Vec<PartReader>,
    pub(super) readouts: Vec<Readout>,
    /// Heads of the readouts, in their order.
    pub(super) heads: Vec<HeadId>,
}

impl Opened {
    /// Errors if the classes do not fit the run, or its tables cannot be read.
    pub(super) fn new(run: &RunDirectory, images: &[ImageRow], classes: &[ClassRow]) -> Result<Self> {
        let embeddings = Embeddings::new(classes)?;
        let (parts, readouts) = sources(run, images)?;
        embeddings.fit(&parts)?;
        let heads = readouts.iter().map(|readout| readout.head).collect();
        Ok(Self { embeddings, parts, readouts, heads })
    }
}

/// The activations of a run, and the readouts of its heads.
pub(super) fn sources(run: &RunDirectory, images: &[ImageRow]) -> Result<(Vec<PartReader>, Vec<Readout>)> {
    let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
    Ok((run.parts_of(images)?, readouts.into_iter().map(Readout::from).collect()))
}

/// `r/|r|` of one row of a batch, `[d]`.
pub(super) fn unit_representation(batch: &ActivationBatch, row: usize, d: usize) -> impl Iterator<Item = f32> + '_ {
    let inv_norm = batch.inv_norm[row];
    batch.representation[row * d..][..d].iter().map(move |x| x * inv_norm)
}

/// Row-major numbers in double precision.
pub(super) fn wide(values: &[f32], columns: usize) -> Mat<f64> {
    let narrow = MatRef::from_row_major_slice(values, values.len() / columns, columns);
    Mat::from_fn(narrow.nrows(), columns, |row, column| f64::from(narrow[(row, column)]))
}

/// Row-major numbers in single precision.
pub(super) fn narrow(values: &Mat<f64>) -> Vec<f32> {
    (0..values.nrows()).flat_map(|row| (0..values.ncols()).map(move |at| values[(row, at)] as f32)).collect()
}

/// Some images of a part.
pub(super) struct Block<'a> {
    /// All images of the part.
    pub(super) batch: &'a ActivationBatch,
    /// Rows of the block's images.
    pub(super) rows: &'a [usize],
    /// Class of each, and what else is known of it.
    pub(super) labels: &'a [(u32, Labels)],
}

impl Block<'_> {
    pub(super) fn images(&self) -> usize {
        self.rows.len()
    }

    /// `u` of a head, by position, for every image of the block, `[images, head_dim + 3]`, less `mean` if there is one.
    pub(super) fn u(&self, head: usize, mean: Option<&[f64]>) -> Vec<f32> {
        let head_dim = self.batch.heads[head].len() / self.batch.len();
        let mut all = Vec::with_capacity(self.rows.len() * vector_length(head_dim));
        for row in self.rows {
            all.extend_from_slice(&self.batch.heads[head][row * head_dim..][..head_dim]);
            all.extend(self.batch.scalars(*row).to_array());
        }
        if let Some(mean) = mean {
            for u in all.chunks_exact_mut(mean.len()) {
                u.iter_mut().zip(mean).for_each(|(x, mean)| *x = (f64::from(*x) - mean) as f32);
            }
        }
        all
    }
}

/// Images of a block, of which so many vectors over the classes are held.
pub(super) fn block_size(classes: usize, vectors: usize) -> usize {
    (BLOCK / (classes * vectors)).clamp(1, 256)
}

/// Goes over the images of known classes of the half that gives accuracy, block by block, with some heads' columns. A part is read after the
/// other; its blocks are looked at in parallel, and what `look` collects is joined.
pub(super) fn each_block<T: Send>(
    parts: &[PartReader],
    heads: &[HeadId],
    images: &LabelledImages,
    size: usize,
    none: impl Fn() -> T + Sync + Send,
    look: impl Fn(&mut T, &Block<'_>) + Sync + Send,
    join: impl Fn(T, T) -> T + Sync + Send,
) -> Result<T> {
    let mut found = none();
    for part in parts {
        let batch = part.read(heads, true)?;
        let known = batch.image_index.iter().enumerate().filter_map(|(row, index)| {
            let labels = images.of(*index).filter(|labels| !labels.for_means)?;
            Some((row, (labels.class?, labels)))
        });
        let (rows, labels): (Vec<usize>, Vec<(u32, Labels)>) = known.unzip();
        let of_part = rows.par_chunks(size).zip(labels.par_chunks(size)).fold(&none, |mut so_far, (rows, labels)| {
            look(&mut so_far, &Block { batch: &batch, rows, labels });
            so_far
        });
        found = join(found, of_part.reduce(&none, &join));
    }
    Ok(found)
}

/// Whether a class has the highest score of a row, the first of equal ones.
pub(super) fn is_highest(row: &[f32], class: usize) -> bool {
    higher(row, class) == 0
}

/// Number of classes that stand before a class by their scores; of equal ones the first stands first.
pub(super) fn higher(row: &[f32], class: usize) -> u32 {
    let own = row[class];
    // Sums of whole numbers, which the compiler adds many at a time.
    let before: u32 = row[..class].iter().map(|score| u32::from(*score >= own)).sum();
    before + row[class + 1..].iter().map(|score| u32::from(*score > own)).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_first_stands_first() {
        let row = [0.25, 0.5, 0.5, -1.0];
        assert_eq!([0, 1, 2, 3].map(|class| higher(&row, class)), [2, 0, 1, 3]);
        assert!(is_highest(&row, 1) && !is_highest(&row, 2));
    }

    #[test]
    fn a_block_has_some_images_however_many_classes_there_are() {
        assert_eq!(block_size(1, 1), 256);
        assert_eq!(block_size(1 << 23, 64), 1);
        assert!(block_size(1_000, 66) * 1_000 * 66 <= BLOCK);
    }
}
