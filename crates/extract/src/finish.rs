use headspan_artifacts::{ImageRow, ImageStatus, ReadoutRow, read_rows, write_rows};
use headspan_clip::ReadoutFolder;

use crate::{
    engine::{ImagesJob, heads_of},
    error::{ExtractError, Result},
    moments::moments_of_parts,
};

/// What the whole run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishSummary {
    /// Images of the data set.
    pub images: u64,
    /// Images that were skipped, by all processes together.
    pub skipped: u64,
    /// The first few skipped images and why.
    pub examples: Vec<(String, String)>,
    /// Heads of the run.
    pub heads: u64,
}

/// Writes `images.parquet`, `readout.parquet` and `moments.parquet` from the committed parts. An error if parts are missing.
pub fn finish_images(job: &ImagesJob<'_>) -> Result<FinishSummary> {
    let plan = job.plan();
    let status = plan.status(job.run, job.fingerprint);
    if status.done < status.total {
        return Err(ExtractError::PartsMissing { missing: status.total - status.done, total: status.total });
    }
    plan.remove_surplus(job.run)?;
    let mut rows: Vec<ImageRow> = Vec::new();
    for part in 0..plan.parts() {
        rows.append(&mut read_rows(&job.run.part_images(part))?);
    }
    let skipped: Vec<&ImageRow> = rows.iter().filter(|row| row.status == ImageStatus::Skipped).collect();
    let examples: Vec<(String, String)> =
        skipped.iter().take(3).map(|row| (row.image_id.clone(), row.error.clone().unwrap_or_default())).collect();
    if skipped.len() == rows.len() {
        let first = examples.first().map(|(id, error)| format!("`{id}`: {error}")).unwrap_or_default();
        return Err(ExtractError::NothingDecoded { images: rows.len() as u64, first });
    }
    let skipped = skipped.len() as u64;
    write_rows(&job.run.table("images"), job.run.id(), job.fingerprint, &rows)?;

    let readouts = ReadoutFolder::new(&job.model.visual)?.readouts(&job.layers()?)?;
    let heads = heads_of(&readouts);
    let readout_rows: Vec<ReadoutRow> = readouts
        .into_iter()
        .zip(&heads)
        .map(|(readout, head)| ReadoutRow {
            layer: head.layer,
            head: head.head,
            d: readout.d as u32,
            head_dim: readout.head_dim as u32,
            readout: readout.matrix,
        })
        .collect();
    write_rows(&job.run.table("readout"), job.run.id(), job.fingerprint, &readout_rows)?;
    let moments = moments_of_parts(&job.run.parts()?)?;
    write_rows(&job.run.table("moments"), job.run.id(), job.fingerprint, &moments)?;
    Ok(FinishSummary { images: rows.len() as u64, skipped, examples, heads: heads.len() as u64 })
}
