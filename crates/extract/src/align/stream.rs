//! Both models over the same images, in one pass.

use std::{ops::Range, thread};

use crossbeam_channel::bounded;
use headspan_artifacts::{ImageRow, ImageStatus};
use headspan_headspace::unit_feature;
use headspan_images::{DecodeLimits, Preprocess};
use headspan_model::{LoadedModel, Precision, TraceRequest, VisionPass};

use super::{AlignJob, figures::Candidates, pairs::PairSums, split::Use};
use crate::{
    decode::decode_for,
    engine::report,
    error::{ExtractError, Result},
    sample::key,
};

/// Images of one forward pass if nothing is configured.
const BATCH: usize = 64;
/// Batches that wait for the models: one that is ready, and one that is being made.
const AHEAD: usize = 1;
/// Skipped images that are named.
const EXAMPLES: usize = 3;

/// What was seen of all images.
pub(super) struct Seen {
    pub(super) fitted: PairSums,
    pub(super) validation: PairSums,
    pub(super) held_out: PairSums,
    pub(super) candidates: Candidates,
    pub(super) skipped: u64,
    pub(super) examples: Vec<(String, String)>,
}

/// Images of one batch, and their pixels for each preprocessing.
struct Batch {
    rows: Vec<ImageRow>,
    pixels: Vec<Vec<f32>>,
}

/// Decodes each image once, and passes it through both models.
pub(super) fn pairs_of_images(job: &AlignJob<'_>) -> Result<Seen> {
    let passes = [forward_pass(job.tower)?, forward_pass(job.clip)?];
    let sizes = [job.tower, job.clip].map(|model| model.vision().geometry().d);
    let mut seen = Seen {
        fitted: PairSums::new(sizes),
        validation: PairSums::new(sizes),
        held_out: PairSums::new(sizes),
        candidates: Candidates::new(sizes),
        skipped: 0,
        examples: Vec::new(),
    };
    let decoders = rayon::ThreadPoolBuilder::new().num_threads(job.settings.decode_threads).build()?;
    let total = job.dataset.len();
    report(job.progress, 0, total)?;
    let (to_models, decoded) = bounded::<Result<Batch>>(AHEAD);
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, move || {
                for images in batches(total, job.settings.batch_size) {
                    let batch = decoders.install(|| read(job, images));
                    let failed = batch.is_err();
                    if to_models.send(batch).is_err() || failed {
                        // The other side gave up; its error is the one to report.
                        return;
                    }
                }
            })
            .map_err(ExtractError::Thread)?;
        let mut done = 0;
        // Taken by the loop: dropping it on an error is what ends the other thread.
        for batch in decoded {
            let batch = batch?;
            done += batch.rows.len() as u64;
            seen.add(job, &passes, batch)?;
            report(job.progress, done, total)?;
        }
        Ok(seen)
    })
}

fn forward_pass(model: &LoadedModel) -> Result<VisionPass> {
    Ok(model.vision_pass(Precision::Float32)?)
}

fn batches(images: u64, size: usize) -> impl Iterator<Item = Range<u64>> {
    let size = if size == 0 { BATCH } else { size } as u64;
    (0..images).step_by(size as usize).map(move |first| first..(first + size).min(images))
}

/// Pixels for both models, made once where both see an image alike.
fn read(job: &AlignJob<'_>, images: Range<u64>) -> Result<Batch> {
    let mut preprocess: Vec<Preprocess> = vec![*job.tower.vision().preprocess()];
    let own = *job.clip.vision().preprocess();
    if preprocess[0] != own {
        preprocess.push(own);
    }
    let limits = DecodeLimits { max_pixels: job.settings.max_pixels };
    let (rows, pixels) = decode_for(images, job.dataset, &preprocess, &limits)?;
    Ok(Batch { rows, pixels })
}

impl Seen {
    fn add(&mut self, job: &AlignJob<'_>, passes: &[VisionPass; 2], batch: Batch) -> Result<()> {
        let Batch { rows, mut pixels } = batch;
        let good: Vec<&ImageRow> = rows.iter().filter(|row| row.status == ImageStatus::Ok).collect();
        for row in rows.iter().filter(|row| row.status == ImageStatus::Skipped) {
            self.skip(job, row, row.error.clone().unwrap_or_default())?;
        }
        if good.is_empty() {
            return Ok(());
        }
        let of_clip = if pixels.len() > 1 { pixels.pop() } else { None };
        let of_tower = pixels.pop().unwrap_or_default();
        let of_clip = of_clip.unwrap_or_else(|| of_tower.clone());
        let [tower, clip] = passes;
        let request = TraceRequest::default();
        let x = tower.trace(of_tower, &request)?.representation;
        let y = clip.trace(of_clip, &request)?.representation;
        let (from, to) = (x.len() / good.len(), y.len() / good.len());
        for (row, (x, y)) in good.into_iter().zip(x.chunks_exact(from).zip(y.chunks_exact(to))) {
            match (unit_feature(x), unit_feature(y)) {
                (Some(x), Some(y)) => self.note(row.image_index, job.settings.held_out, &x, &y),
                (x, _) => {
                    let which = if x.is_none() { "tower" } else { "CLIP" };
                    self.skip(job, row, format!("the {which}'s output for this image is not a finite direction"))?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, image: u64, held_out: f64, x: &[f32], y: &[f32]) {
        match Use::of(image, held_out) {
            Use::Fit => self.fitted.add(x, y),
            Use::Validation => self.validation.add(x, y),
            Use::HeldOut => {
                self.held_out.add(x, y);
                self.candidates.add(key(image), x, y);
            }
        }
    }

    fn skip(&mut self, job: &AlignJob<'_>, row: &ImageRow, message: String) -> Result<()> {
        let image_id = row.image_id.clone();
        if job.settings.strict {
            return Err(ExtractError::BadImage { image_id, message });
        }
        self.skipped += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push((image_id, message));
        }
        Ok(())
    }
}
