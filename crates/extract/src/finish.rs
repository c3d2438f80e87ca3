use headspan_artifacts::{ImageRow, ImageStatus, MomentsRow, PartReader, ReadoutRow, RowsWriter, Table, write_rows};

use crate::{
    engine::ImagesJob,
    error::{ExtractError, Result},
    moments::{moments, moments_of_parts},
    nodes::Nodes,
    parts::{PartPlan, PartStatus},
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
    /// Images whose activations are kept.
    pub kept: u64,
    /// Heads of the run.
    pub heads: u64,
}

/// Writes `images.parquet`, `readout.parquet` and `moments.parquet` from what is committed. An error if parts are missing.
pub fn finish_images(job: &ImagesJob<'_>) -> Result<FinishSummary> {
    let plan = job.plan();
    let (listed, moments) = match Nodes::of(&plan, job.run, job.fingerprint) {
        Some(nodes) => finish_nodes(job, &plan, &nodes)?,
        None => finish_parts(job, &plan)?,
    };
    let readouts = job.model.readout_folder()?.readouts(&job.layers()?)?;
    let readout_rows: Vec<ReadoutRow> = readouts.into_iter().map(ReadoutRow::from).collect();
    write_rows(&job.run.table(Table::Readout), job.run.id(), job.fingerprint, &readout_rows)?;
    write_rows(&job.run.table(Table::Moments), job.run.id(), job.fingerprint, &moments)?;
    let Listed { images, skipped, examples, kept } = listed;
    Ok(FinishSummary { images, skipped, examples, kept, heads: readout_rows.len() as u64 })
}

fn missing(PartStatus { total, done }: PartStatus) -> ExtractError {
    ExtractError::PartsMissing { missing: total - done, total }
}

fn need_all(status: PartStatus) -> Result<()> {
    if status.done < status.total { Err(missing(status)) } else { Ok(()) }
}

/// Of a run that keeps all activations.
fn finish_parts(job: &ImagesJob<'_>, plan: &PartPlan) -> Result<(Listed, Vec<MomentsRow>)> {
    // By names first: every shard of an array comes here, and looking into all files that are there costs as much as all shards.
    need_all(plan.named(job.run)?)?;
    need_all(plan.status(job.run, job.fingerprint)?)?;
    plan.remove_surplus(job.run)?;
    let listed = list_images(job, plan)?;
    let run = job.run.look()?;
    Ok((listed, moments_of_parts(&run, &run.parts()?)?))
}

/// Of a run that keeps moments, and perhaps a sample.
fn finish_nodes(job: &ImagesJob<'_>, plan: &PartPlan, nodes: &Nodes<'_>) -> Result<(Listed, Vec<MomentsRow>)> {
    let Some(root) = nodes.finish()? else { return Err(missing(plan.status(job.run, job.fingerprint)?)) };
    plan.remove_surplus(job.run)?;
    let kept = job.run.parts()?.iter().map(|path| Ok(PartReader::open(path)?.metadata().rows)).sum::<Result<u64>>()?;
    let good = root.sums.first().map_or(0, |row| row.n);
    let mut listed =
        Listed { images: plan.images, skipped: plan.images.saturating_sub(good), kept, ..Listed::default() };
    listed.name(&root.rows);
    listed.check(job)?;
    write_rows(&job.run.table(Table::Images), job.run.id(), job.fingerprint, &root.rows)?;
    Ok((listed, moments(root.sums)))
}

/// What is known of the images.
#[derive(Default)]
struct Listed {
    images: u64,
    skipped: u64,
    examples: Vec<(String, String)>,
    kept: u64,
}

impl Listed {
    /// Names the first skipped images.
    fn name(&mut self, rows: &[ImageRow]) {
        let skipped = rows.iter().filter(|row| row.status == ImageStatus::Skipped);
        let named = skipped.map(|row| (row.image_id.clone(), row.error.clone().unwrap_or_default()));
        self.examples.extend(named.take(EXAMPLES - self.examples.len()));
    }

    /// An error if no image is good, or if one is not and the run is strict.
    fn check(&self, job: &ImagesJob<'_>) -> Result<()> {
        if self.skipped == self.images {
            let first = self.examples.first().map(|(id, error)| format!("`{id}`: {error}")).unwrap_or_default();
            return Err(ExtractError::NothingDecoded { images: self.images, first });
        }
        // Parts that an earlier run left may hold some, whatever this one allows.
        if job.settings.strict
            && let Some((image_id, message)) = self.examples.first().cloned()
        {
            return Err(ExtractError::BadImage { image_id, message });
        }
        Ok(())
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
    let run = job.run.look()?;
    let files: Vec<_> = (0..plan.parts()).map(|part| run.part_images(part)).collect();
    for files in files.chunks(step) {
        // Written part by part all the same: how rows come to the writer shows in the table's bytes.
        for rows in run.rows_of::<ImageRow>(files)? {
            listed.skipped += rows.iter().filter(|row| row.status == ImageStatus::Skipped).count() as u64;
            listed.images += rows.len() as u64;
            listed.name(&rows);
            writer.write(&rows)?;
        }
    }
    listed.check(job)?;
    listed.kept = listed.images - listed.skipped;
    writer.commit()?;
    Ok(listed)
}
