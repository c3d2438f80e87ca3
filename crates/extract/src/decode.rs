use std::ops::Range;

use headspan_artifacts::{ImageRow, ImageStatus, with_causes};
use headspan_images::{Dataset, DecodeLimits, Preprocess, decode_rgb, probe_dimensions};
use rayon::prelude::*;

use crate::error::{ExtractError, Result};

/// Images of one forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchJob {
    pub(crate) part: u64,
    pub(crate) images: Range<u64>,
}

/// Decoded images of one batch: rows for every image, pixels for the good ones.
#[derive(Debug)]
pub(crate) struct DecodedBatch {
    pub(crate) job: BatchJob,
    pub(crate) rows: Vec<ImageRow>,
    /// `[good images, 3, side, side]`.
    pub(crate) pixels: Vec<f32>,
}

impl DecodedBatch {
    /// Number of images with pixels.
    pub(crate) fn good(&self) -> usize {
        self.rows.iter().filter(|row| row.status == ImageStatus::Ok).count()
    }
}

/// Decodes and preprocesses a batch on the threads of the current rayon pool. An error if the machine could not read an image;
/// an image that is at fault itself is skipped.
pub(crate) fn decode(
    job: BatchJob,
    dataset: &Dataset,
    preprocess: &Preprocess,
    limits: &DecodeLimits,
) -> Result<DecodedBatch> {
    let (rows, mut pixels) = decode_for(job.images.clone(), dataset, std::slice::from_ref(preprocess), limits)?;
    Ok(DecodedBatch { job, rows, pixels: pixels.pop().unwrap_or_default() })
}

/// As [`decode`], for models that see an image each in its own way: an image is decoded once. The pixels of the good images for each
/// preprocessing, `[good images, 3, side, side]`.
pub(crate) fn decode_for(
    images: Range<u64>,
    dataset: &Dataset,
    preprocess: &[Preprocess],
    limits: &DecodeLimits,
) -> Result<(Vec<ImageRow>, Vec<Vec<f32>>)> {
    let each = images.into_par_iter().map(|index| decode_one(index, dataset, preprocess, limits));
    let decoded = each.collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::with_capacity(decoded.len());
    let mut pixels: Vec<Vec<f32>> =
        preprocess.iter().map(|own| Vec::with_capacity(decoded.len() * values(own))).collect();
    for (row, image) in decoded {
        rows.push(row);
        for (all, own) in pixels.iter_mut().zip(image.into_iter().flatten()) {
            all.extend_from_slice(&own);
        }
    }
    Ok((rows, pixels))
}

/// Values of an image.
fn values(preprocess: &Preprocess) -> usize {
    3 * preprocess.size * preprocess.size
}

fn decode_one(
    index: u64,
    dataset: &Dataset,
    preprocess: &[Preprocess],
    limits: &DecodeLimits,
) -> Result<(ImageRow, Option<Vec<Vec<f32>>>)> {
    let item = dataset.item(index);
    let mut row = ImageRow {
        image_index: index,
        image_id: item.id.into_owned(),
        class_id: item.class_id.map(|class| class.to_string()),
        class_index: item.class_index,
        width: 0,
        height: 0,
        status: ImageStatus::Ok,
        error: None,
    };
    let skip = |row: &mut ImageRow, error: &dyn std::error::Error| {
        row.status = ImageStatus::Skipped;
        row.error = Some(with_causes(error));
    };
    let bytes = match dataset.read(index) {
        Ok(bytes) => bytes,
        Err(source) if source.is_of_the_machine() => {
            return Err(ExtractError::Unreadable { image_id: row.image_id, source });
        }
        Err(error) => {
            skip(&mut row, &error);
            return Ok((row, None));
        }
    };
    Ok(match decode_rgb(&bytes, limits) {
        Ok(image) => {
            (row.width, row.height) = (image.width, image.height);
            let pixels = preprocess.iter().map(|own| {
                let mut pixels = vec![0.0; values(own)];
                own.apply(&image, &mut pixels);
                pixels
            });
            let pixels = pixels.collect();
            (row, Some(pixels))
        }
        Err(error) => {
            (row.width, row.height) = probe_dimensions(&bytes).unwrap_or_default();
            skip(&mut row, &error);
            (row, None)
        }
    })
}

#[cfg(test)]
mod tests {
    use headspan_images::{ImageError, ReadError};
    use parquet::errors::ParquetError;

    use super::*;

    /// These texts stand in `images.parquet`: programs compare them.
    #[test]
    fn the_column_error_has_each_cause_once() {
        let corrupt = ImageError::Corrupt { format: "PNG", source: "CRC error".into() };
        assert_eq!(with_causes(&corrupt), "corrupt PNG: CRC error");
        let cut = ImageError::Truncated { format: "PNG", message: "the file ends before the image does".to_owned() };
        assert_eq!(with_causes(&cut), "truncated PNG: the file ends before the image does");
        let outer = ParquetError::External("no such page".into());
        let read = ReadError::Parquet { source: outer.into() };
        assert_eq!(with_causes(&read), "the Parquet row cannot be read: External: no such page");
    }
}
