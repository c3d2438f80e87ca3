//! What runs keep of parts whose activations are not kept: sums, and rows of some images, of one part or of several.

use std::{ops::Range, path::PathBuf};

use arrow_schema::{DataType, Field};
use headspan_headspace::{HeadId, MomentTerms};
use serde::{Deserialize, Serialize};

use crate::{
    activations::ActivationBatch,
    error::Result,
    rows::Row,
    run::RunDirectory,
    schema::{Table, head_fields, required, vector},
};

/// Sums of `u` of one head over the images of some parts (`parts/sums-NNNNN.parquet`), from which its moments are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SumsRow {
    /// Block.
    pub layer: u32,
    /// Head.
    pub head: u32,
    /// Number of images.
    pub n: u64,
    /// Sum of `u`, shape `[head_dim + 3]`.
    pub sum: Vec<f64>,
    /// Sums of `u uᵀ` as [`MomentTerms`] has them: upper triangles, one or several.
    pub products: Vec<f64>,
}

impl SumsRow {
    /// The row of a head.
    pub fn new(HeadId { layer, head }: HeadId, terms: MomentTerms) -> Self {
        let MomentTerms { n, sum, products } = terms;
        Self { layer, head, n, sum, products }
    }

    /// The head that the row is of.
    pub fn head_id(&self) -> HeadId {
        HeadId { layer: self.layer, head: self.head }
    }
}

impl From<SumsRow> for MomentTerms {
    fn from(SumsRow { layer: _, head: _, n, sum, products }: SumsRow) -> Self {
        Self { n, sum, products }
    }
}

impl Row for SumsRow {
    const TABLE: Table = Table::Sums;
    const HAS_VECTORS: bool = true;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let mut fields = head_fields().to_vec();
        fields.extend([
            required("n", DataType::UInt64),
            vector("sum", DataType::Float64, lengths[0]),
            vector("products", DataType::Float64, lengths[1]),
        ]);
        fields
    }

    fn vector_lengths(&self) -> Vec<usize> {
        vec![self.sum.len(), self.products.len()]
    }
}

impl ActivationBatch {
    /// The rows at these positions.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let images = self.len().max(1);
        let take = |values: &[f32]| -> Vec<f32> {
            let length = values.len() / images;
            rows.iter().flat_map(|row| &values[row * length..][..length]).copied().collect()
        };
        Self {
            image_index: rows.iter().map(|row| self.image_index[*row]).collect(),
            inv_scale: take(&self.inv_scale),
            mean_scale: take(&self.mean_scale),
            inv_norm: take(&self.inv_norm),
            representation: take(&self.representation),
            heads: self.heads.iter().map(|head| take(head)).collect(),
        }
    }
}

/// Files of some parts, by kind and numbers: `sums-00003.parquet` of one, `sums-00000-00063.parquet` of several.
fn file_name(kind: &str, parts: &Range<u64>) -> String {
    let (first, last) = (parts.start, parts.end.saturating_sub(1));
    if first == last { format!("{kind}-{first:05}.parquet") } else { format!("{kind}-{first:05}-{last:05}.parquet") }
}

/// The parts that a file of a kind is of.
fn parts_of_name(name: &str, kind: &str) -> Option<Range<u64>> {
    let numbers = name.strip_prefix(kind)?.strip_prefix('-')?.strip_suffix(".parquet")?;
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
    (first <= last).then_some(first..last + 1)
}

impl RunDirectory {
    fn parts_folder(&self) -> PathBuf {
        self.path().join("parts")
    }

    /// Whether parts were ever begun, on a disk.
    pub(crate) fn has_parts(&self) -> bool {
        self.activations_folder().is_dir() || self.parts_folder().is_dir()
    }

    /// Sums of some parts.
    pub fn sums(&self, parts: &Range<u64>) -> PathBuf {
        self.parts_folder().join(file_name("sums", parts))
    }

    /// Image rows of some parts; those of one part are [`RunDirectory::part_images`].
    pub fn images_of(&self, parts: &Range<u64>) -> PathBuf {
        self.parts_folder().join(file_name("images", parts))
    }

    /// Activations of the images of a part that are kept, until they stand in `activations/` with those of other parts.
    pub fn part_sample(&self, part: u64) -> PathBuf {
        self.parts_folder().join(file_name("sample", &(part..part + 1)))
    }

    /// The parts of all files of a kind (`sums`, `images` or `sample`) that are there, in order.
    fn files_of(&self, kind: &str) -> Result<Vec<Range<u64>>> {
        let folder = self.parts_folder();
        let names = self.names_in(&folder)?;
        let mut found: Vec<Range<u64>> = names.iter().filter_map(|name| parts_of_name(name, kind)).collect();
        found.sort_unstable_by_key(|parts| (parts.start, parts.end));
        Ok(found)
    }

    /// The parts of all sums that are there, in order; of some, sums of their own and sums with others may be there.
    pub fn all_sums(&self) -> Result<Vec<Range<u64>>> {
        self.files_of("sums")
    }

    /// The parts of which there are image rows, in order.
    pub fn all_images_of(&self) -> Result<Vec<Range<u64>>> {
        self.files_of("images")
    }

    /// The parts of which activations wait to be joined, in order.
    pub fn all_part_samples(&self) -> Result<Vec<u64>> {
        Ok(self.files_of("sample")?.into_iter().map(|parts| parts.start).collect())
    }

    /// How many parts are committed, by what settings ever: by their activations, or by sums.
    pub fn parts_there(&self) -> Result<u64> {
        let (mut covered, mut end) = (0, 0);
        for parts in self.all_sums()? {
            covered += parts.end.saturating_sub(end.max(parts.start));
            end = end.max(parts.end);
        }
        Ok(covered.max(self.parts()?.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use crate::{atomic::write_atomic, run::RunId};

    use super::*;

    #[test]
    fn file_names_tell_their_parts() {
        for (parts, name) in [(3..4, "sums-00003.parquet"), (64..128, "sums-00064-00127.parquet")] {
            assert_eq!(file_name("sums", &parts), name);
            assert_eq!(parts_of_name(name, "sums"), Some(parts));
        }
        for name in ["images-00003.parquet", "sums-00003", "sums-4-3.parquet", "sums-x.parquet", ".headspan-1.tmp"] {
            assert_eq!(parts_of_name(name, "sums"), None, "{name}");
        }
    }

    #[test]
    fn a_part_counts_once_however_often_it_is_there() -> Result<(), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let run = RunDirectory::create(root.path(), &RunId::new("d", "m")?)?;
        assert_eq!(run.parts_there()?, 0);
        for parts in [0..64, 3..4, 63..65, 70..71] {
            write_atomic(&run.sums(&parts), b"")?;
        }
        assert_eq!(run.parts_there()?, 66);
        assert_eq!(run.images_of(&(7..8)), run.part_images(7));
        Ok(())
    }

    #[test]
    fn selected_rows_keep_their_numbers() {
        let batch = ActivationBatch {
            image_index: vec![4, 5, 9],
            inv_scale: vec![1.0, 2.0, 3.0],
            mean_scale: vec![4.0, 5.0, 6.0],
            inv_norm: vec![7.0, 8.0, 9.0],
            representation: vec![0.0, 0.1, 1.0, 1.1, 2.0, 2.1],
            heads: vec![vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5]],
        };
        let some = batch.select(&[0, 2]);
        assert_eq!((some.image_index, some.mean_scale), (vec![4, 9], vec![4.0, 6.0]));
        assert_eq!((some.representation, some.heads), (vec![0.0, 0.1, 2.0, 2.1], vec![vec![0.0, 0.5, 2.0, 2.5]]));
        assert!(ActivationBatch::default().select(&[]).is_empty());
    }
}
