use headspan_artifacts::{ImageRow, ImageStatus, ReadoutRow, RowsWriter, Table, write_rows};

use crate::{
    engine::ImagesJob,
    error::{ExtractError, Result},
    moments::moments_of_parts,
    parts::PartPlan,
};

/// Tables of parts that are read at once from a store.
const AT_ONCE: usize = 64;
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
    let status = plan.status(job.run, job.fingerprint)?;
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

impl Listed {
    fn add(&mut self, rows: &[ImageRow]) {
        for row in rows.iter().filter(|row| row.status == ImageStatus::Skipped) {
            self.skipped += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push((row.image_id.clone(), row.error.clone().unwrap_or_default()));
            }
        }
        self.images += rows.len() as u64;
    }
}

/// Writes `images.parquet` part by part: memory is that of one part's rows, or of some from a store. The table is committed only if an image is good, and if
/// all are where the run is strict.
fn list_images(job: &ImagesJob<'_>, plan: &PartPlan) -> Result<Listed> {
    let path = job.run.table(Table::Images);
    let mut writer = RowsWriter::<ImageRow>::create(&path, job.run.id(), job.fingerprint);
    let mut listed = Listed::default();
    // A store answers many questions at once as fast as one.
    let step = if job.run.is_remote() { AT_ONCE } else { 1 };
    let files: Vec<_> = (0..plan.parts()).map(|part| job.run.part_images(part)).collect();
    for files in files.chunks(step) {
        // Written part by part all the same: how rows come to the writer shows in the table's bytes.
        for rows in job.run.rows_of::<ImageRow>(files)? {
            listed.add(&rows);
            writer.write(&rows)?;
        }
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
