use headspan_artifacts::{ImageRow, ImageStatus, ReadoutRow, RowsWriter, Table, read_rows, write_rows};

use crate::{
    engine::ImagesJob,
    error::{ExtractError, Result},
    moments::moments_of_parts,
    parts::PartPlan,
};

/// Skipped images that are named.
const EXAMPLES: usize = 3;

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
    let Listed { images, skipped, examples } = list_images(job, &plan)?;

    let readouts = job.model.readout_folder()?.readouts(&job.layers()?)?;
    let readout_rows: Vec<ReadoutRow> = readouts.into_iter().map(ReadoutRow::from).collect();
    write_rows(&job.run.table(Table::Readout), job.run.id(), job.fingerprint, &readout_rows)?;
    let moments = moments_of_parts(&job.run.parts()?)?;
    write_rows(&job.run.table(Table::Moments), job.run.id(), job.fingerprint, &moments)?;
    Ok(FinishSummary { images, skipped, examples, heads: readout_rows.len() as u64 })
}

/// What the table of images holds.
#[derive(Default)]
struct Listed {
    images: u64,
    skipped: u64,
    examples: Vec<(String, String)>,
}

/// Writes `images.parquet` part by part: memory is that of one part's rows. The table is committed only if an image is good, and if
/// all are where the run is strict.
fn list_images(job: &ImagesJob<'_>, plan: &PartPlan) -> Result<Listed> {
    let path = job.run.table(Table::Images);
    let mut writer = RowsWriter::<ImageRow>::create(&path, job.run.id(), job.fingerprint);
    let mut listed = Listed::default();
    for part in 0..plan.parts() {
        let rows: Vec<ImageRow> = read_rows(&job.run.part_images(part))?;
        let skipped = rows.iter().filter(|row| row.status == ImageStatus::Skipped);
        for row in skipped {
            listed.skipped += 1;
            if listed.examples.len() < EXAMPLES {
                listed.examples.push((row.image_id.clone(), row.error.clone().unwrap_or_default()));
            }
        }
        listed.images += rows.len() as u64;
        writer.write(&rows)?;
    }
    if listed.skipped == listed.images {
        let first = listed.examples.first().map(|(id, error)| format!("`{id}`: {error}")).unwrap_or_default();
        return Err(ExtractError::NothingDecoded { images: listed.images, first });
    }
    // Parts that an earlier run left may hold some, whatever this one allows.
    if job.settings.strict
        && let Some((image_id, message)) = listed.examples.first().cloned()
    {
        return Err(ExtractError::BadImage { image_id, message });
    }
    writer.commit()?;
    Ok(listed)
}
