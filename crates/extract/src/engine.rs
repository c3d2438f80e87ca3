use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use headspan_artifacts::{
    ActivationBatch, ActivationShape, HeadId, ImageRow, ImageStatus, PartWriter, RunDirectory, write_rows,
};
use headspan_headspace::Scalars;
use headspan_images::{DecodeLimits, Preprocess};
use headspan_model::{HostTrace, LoadedModel, Precision, TraceRequest, VisionPass};

use crate::{
    busy::Passes,
    check::{CheckFigures, check_first_batch},
    decode::{BatchJob, DecodedBatch, decode},
    error::{ExtractError, Result},
    machine_use::MachineUse,
    nodes::Nodes,
    parts::PartPlan,
    settings::{ImagesSettings, Shard},
};
use headspan_images::Dataset;

/// Called with images done so far and images to do in this process. `Break` ends the work; parts that are committed stay.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> ControlFlow<()> + Sync);

/// One extraction of images.
pub struct ImagesJob<'a> {
    /// The model on its device, loaded by [`LoadedModel::load`]: the probe compares a GPU with the CPU.
    pub model: &'a LoadedModel,
    /// The images.
    pub dataset: &'a Dataset,
    /// Where the parts go.
    pub run: &'a RunDirectory,
    /// Fingerprint of the stage.
    pub fingerprint: &'a str,
    /// Settings.
    pub settings: &'a ImagesSettings,
    /// What the linear layers multiply; the settings may leave it open.
    pub precision: Precision,
    /// Which parts this process does.
    pub shard: Option<Shard>,
    /// Reports progress.
    pub progress: Progress<'a>,
}

/// What a process did.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagesSummary {
    /// Parts of the whole run.
    pub parts: u64,
    /// Parts that this process found committed.
    pub parts_found: u64,
    /// Parts that this process committed.
    pub parts_committed: u64,
    /// How it used the machine, none if there was nothing to do.
    pub machine_use: Option<MachineUse>,
    /// Images that this process extracted.
    pub extracted: u64,
    /// Images that this process skipped.
    pub skipped: u64,
    /// Seconds from the first decode to the last commit.
    pub seconds: f64,
    /// Seconds in which what computes had a forward pass to do: the mean over the workers of a CPU; on a GPU, which its workers
    /// share, the time in which at least one of them had.
    pub busy_seconds: f64,
    /// The run's own checks, none if there was nothing to do.
    pub checks: Option<CheckFigures>,
}

impl ImagesSummary {
    /// Share of the time in which what computes had a forward pass to do; the rest is waiting for images, and writing. None if
    /// nothing was done.
    pub fn busy_share(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.busy_seconds / self.seconds)
    }
}

impl ImagesJob<'_> {
    pub(crate) fn plan(&self) -> PartPlan {
        PartPlan { images: self.dataset.len(), rows: self.settings.part_rows, keep: self.settings.keep }
    }

    pub(crate) fn preprocess(&self) -> Preprocess {
        *self.model.vision().preprocess()
    }

    pub(crate) fn limits(&self) -> DecodeLimits {
        DecodeLimits { max_pixels: self.settings.max_pixels }
    }

    pub(crate) fn layers(&self) -> Result<Vec<usize>> {
        self.settings.layers.resolve(self.model.vision().geometry().layers)
    }

    /// The pass for so many images, and how it uses the machine.
    fn forward_pass(&self, to_do: u64) -> Result<(VisionPass, MachineUse)> {
        let pass = self.model.vision_pass(self.precision)?;
        let machine_use = match pass.own() {
            Some(vision) => MachineUse::on_cpu(self.settings, vision, to_do),
            None => MachineUse::on_gpu(self.settings, self.model.vision().geometry(), self.model.free_memory()),
        };
        Ok((pass.with_images_per_pass(machine_use.images), machine_use))
    }
}

/// Extracts the parts of the data set that are not committed yet: decodes ahead of the device with bounded memory, commits
/// part after part. Bad images are recorded and skipped.
pub fn extract_images(job: &ImagesJob<'_>) -> Result<ImagesSummary> {
    let plan = job.plan();
    let layers = job.layers()?;
    let mine = plan.of_shard(job.shard);
    let committed = plan.committed(job.run, &mine, job.fingerprint)?;
    let todo: Vec<u64> = mine.iter().zip(committed).filter(|(_, done)| !done).map(|(part, _)| *part).collect();
    let mut summary = ImagesSummary {
        parts: plan.parts(),
        parts_found: (mine.len() - todo.len()) as u64,
        parts_committed: 0,
        machine_use: None,
        extracted: 0,
        skipped: 0,
        seconds: 0.0,
        busy_seconds: 0.0,
        checks: None,
    };
    if todo.is_empty() {
        return Ok(summary);
    }
    let readouts = job.model.readout_folder()?;
    let work = Work { plan: &plan, todo: &todo, layers: &layers };
    let (pass, machine_use) = job.forward_pass(work.images())?;
    summary.machine_use = Some(machine_use);
    summary.checks = check_first_batch(job, &pass, &plan, &todo, &readouts, &layers)?;
    let started = Instant::now();
    let busy = run_pipeline(job, &work, &pass, machine_use, &mut summary)?;
    summary.seconds = started.elapsed().as_secs_f64();
    summary.busy_seconds = if job.model.on_cpu() { busy.sum() / machine_use.workers as f64 } else { busy.union() };
    Ok(summary)
}

/// Tells how far the work is, and ends it where that is the answer.
pub(crate) fn report(progress: Progress<'_>, done: u64, total: u64) -> Result<()> {
    match progress(done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ExtractError::Stopped),
    }
}

/// What this process has to do.
struct Work<'a> {
    plan: &'a PartPlan,
    /// Parts that are not committed yet.
    todo: &'a [u64],
    layers: &'a [usize],
}

impl Work<'_> {
    fn images(&self) -> u64 {
        self.todo.iter().map(|part| self.plan.images_of(*part).count() as u64).sum()
    }
}

fn run_pipeline(
    job: &ImagesJob<'_>,
    work: &Work<'_>,
    pass: &VisionPass,
    machine_use: MachineUse,
    summary: &mut ImagesSummary,
) -> Result<Passes> {
    let workers = machine_use.workers;
    let decoders = rayon::ThreadPoolBuilder::new().num_threads(job.settings.decode_threads).build()?;
    // The bound of these channels is the bound of memory: so many batches wait for the device, and so many results for
    // the disk, however many images there are.
    let (to_device, decoded) = bounded::<Result<DecodedBatch>>(workers + 1);
    let (to_disk, traced) = bounded::<Result<TracedBatch>>(workers + 1);
    let request = TraceRequest { layers: work.layers.to_vec(), ..TraceRequest::default() };
    thread::scope(|scope| {
        // `spawn_scoped` and not `spawn`, which panics where the machine has no thread left. A failure drops the channels, so
        // that what runs already ends.
        thread::Builder::new()
            .spawn_scoped(scope, move || {
                let (preprocess, limits) = (job.preprocess(), job.limits());
                for batch in batches(work.plan, work.todo, machine_use.batch as u64) {
                    let batch = decoders.install(|| decode(batch, job.dataset, &preprocess, &limits));
                    let failed = batch.is_err();
                    if to_device.send(batch).is_err() || failed {
                        // The other side gave up; its error is the one to report.
                        return;
                    }
                }
            })
            .map_err(ExtractError::Thread)?;
        for _ in 0..workers {
            let (decoded, to_disk, request) = (decoded.clone(), to_disk.clone(), request.clone());
            thread::Builder::new()
                .spawn_scoped(scope, move || forward_batches(job, pass, &request, &decoded, &to_disk))
                .map_err(ExtractError::Thread)?;
        }
        drop((decoded, to_disk));
        commit_parts(job, work, traced, summary)
    })
}

/// Batches never cross a part, so that a part does not depend on its neighbours.
fn batches(plan: &PartPlan, todo: &[u64], size: u64) -> impl Iterator<Item = BatchJob> {
    todo.iter().flat_map(move |&part| {
        let images = plan.images_of(part);
        let starts = images.clone().step_by(size.max(1) as usize);
        starts.map(move |first| BatchJob { part, images: first..(first + size).min(images.end) })
    })
}

struct TracedBatch {
    job: BatchJob,
    /// When its forward pass was; none if there was nothing to pass.
    pass: Option<Range<Instant>>,
    rows: Vec<ImageRow>,
    activations: ActivationBatch,
}

fn forward_batches(
    job: &ImagesJob<'_>,
    pass: &VisionPass,
    request: &TraceRequest,
    decoded: &Receiver<Result<DecodedBatch>>,
    to_disk: &Sender<Result<TracedBatch>>,
) {
    // Images in parallel beat threads inside operations: half the batch on each of two single-threaded pools ran 1.5
    // times as fast as the whole batch on two threads. A GPU needs no threads here.
    let pool = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool,
        Err(error) => {
            // If nobody listens any more, an earlier error is already on its way.
            drop(to_disk.send(Err(error.into())));
            return;
        }
    };
    for batch in decoded {
        let result = batch.and_then(|batch| {
            if job.model.on_cpu() {
                pool.install(|| forward(pass, request, batch))
            } else {
                forward(pass, request, batch)
            }
        });
        let failed = result.is_err();
        if to_disk.send(result).is_err() || failed {
            return;
        }
    }
}

fn forward(pass: &VisionPass, request: &TraceRequest, batch: DecodedBatch) -> Result<TracedBatch> {
    if batch.good() == 0 {
        let activations = ActivationBatch::default();
        return Ok(TracedBatch { job: batch.job, pass: None, rows: batch.rows, activations });
    }
    let started = Instant::now();
    let trace = pass.trace(batch.pixels, request)?;
    let pass = Some(started..Instant::now());
    let mut rows = batch.rows;
    let activations = to_activations(&trace, &mut rows);
    Ok(TracedBatch { job: batch.job, pass, rows, activations })
}

/// Rows of the good images; an image whose numbers are not finite becomes a skipped one.
fn to_activations(trace: &HostTrace, rows: &mut [ImageRow]) -> ActivationBatch {
    let images = trace.scalars.len();
    let mut good = Vec::with_capacity(images);
    let decoded = rows.iter_mut().filter(|row| row.status == ImageStatus::Ok);
    for (position, row) in decoded.enumerate() {
        if trace.scalars[position].is_finite() {
            good.push((position, row.image_index));
        } else {
            row.status = ImageStatus::Skipped;
            row.error = Some("the model's output for this image is not finite".to_owned());
        }
    }
    let take = |values: &[f32]| -> Vec<f32> {
        let length = values.len() / images.max(1);
        good.iter().flat_map(|(position, _)| &values[position * length..][..length]).copied().collect()
    };
    let scalars = |pick: fn(&Scalars) -> f32| -> Vec<f32> {
        good.iter().map(|(position, _)| pick(&trace.scalars[*position])).collect()
    };
    ActivationBatch {
        image_index: good.iter().map(|(_, index)| *index).collect(),
        inv_scale: scalars(|scalars| scalars.inv_scale),
        mean_scale: scalars(|scalars| scalars.mean_scale),
        inv_norm: scalars(|scalars| scalars.inv_norm),
        representation: take(&trace.representation),
        heads: trace.heads.iter().map(|head| take(head)).collect(),
    }
}

/// Puts the batches of each part in order and commits a part when it is whole. Takes the receiver: dropping it on an error is
/// what ends the other threads.
fn commit_parts(
    job: &ImagesJob<'_>,
    work: &Work<'_>,
    traced: Receiver<Result<TracedBatch>>,
    summary: &mut ImagesSummary,
) -> Result<Passes> {
    let total = work.images();
    let vision = job.model.vision().geometry();
    let shape = ActivationShape {
        heads: HeadId::of_layers(work.layers, vision.heads).collect(),
        head_dim: vision.head_dim,
        d: vision.d,
    };
    let mut pending: BTreeMap<u64, BTreeMap<u64, TracedBatch>> = BTreeMap::new();
    let mut passes = Passes::default();
    let nodes = Nodes::of(work.plan, job.run, job.fingerprint);
    report(job.progress, 0, total)?;
    for batch in traced {
        let batch = batch?;
        if job.settings.strict
            && let Some(row) = batch.rows.iter().find(|row| row.status == ImageStatus::Skipped)
        {
            return Err(ExtractError::BadImage {
                image_id: row.image_id.clone(),
                message: row.error.clone().unwrap_or_default(),
            });
        }
        if let Some(pass) = batch.pass.clone() {
            passes.add(pass);
        }
        let good = batch.activations.len() as u64;
        summary.extracted += good;
        summary.skipped += batch.rows.len() as u64 - good;
        let part = batch.job.part;
        let batches = pending.entry(part).or_default();
        batches.insert(batch.job.images.start, batch);
        let held: u64 = batches.values().map(|batch| batch.rows.len() as u64).sum();
        if held == work.plan.images_of(part).count() as u64
            && let Some(batches) = pending.remove(&part)
        {
            commit_part(job, nodes.as_ref(), part, &shape, batches)?;
            summary.parts_committed += 1;
        }
        // After the commit: whoever asks to stop loses no part that is whole.
        report(job.progress, summary.extracted + summary.skipped, total)?;
    }
    if summary.parts_committed == work.todo.len() as u64 { Ok(passes) } else { Err(ExtractError::WorkerStopped) }
}

fn commit_part(
    job: &ImagesJob<'_>,
    nodes: Option<&Nodes<'_>>,
    part: u64,
    shape: &ActivationShape,
    batches: BTreeMap<u64, TracedBatch>,
) -> Result<()> {
    // A process that slept, and lost its lock meanwhile, leaves a part of the same work to whoever was first.
    if job.run.is_remote() && job.plan().committed(job.run, &[part], job.fingerprint)? == [true] {
        return Ok(());
    }
    let mut rows = Vec::new();
    let mut activations = ActivationBatch::default();
    for mut batch in batches.into_values() {
        rows.append(&mut batch.rows);
        if !batch.activations.is_empty() {
            activations.append(batch.activations);
        }
    }
    if let Some(nodes) = nodes {
        return nodes.commit(part, rows, &activations, shape);
    }
    // The image rows first: a part counts as done when its activations are there.
    write_rows(&job.run.part_images(part), job.run.id(), job.fingerprint, &rows)?;
    let mut writer = PartWriter::create(&job.run.part(part), job.run.id(), job.fingerprint, shape)?;
    if !activations.is_empty() {
        writer.write(activations)?;
    }
    Ok(writer.commit()?)
}
