use headspan_artifacts::ImageStatus;
use headspan_headspace::{HeadVector, Readout, Scalars};
use headspan_model::{HostTrace, Precision, ReadoutFolder, TraceRequest, VisionPass, VisionTower};
use serde::{Deserialize, Serialize};

use crate::{
    decode::{BatchJob, decode},
    engine::ImagesJob,
    error::{ExtractError, Result},
    parts::PartPlan,
};

/// Images of the check; a few are enough to show a dropped term or a wrong kernel.
const IMAGES: u64 = 8;
/// How far to look for images that can be decoded.
const SEARCHED: u64 = 64;

/// What rounding to bfloat16 may cost in either check, over the largest value: five times what random weights of ViT-L/14 and
/// ViT-B/32 show in the probe (1e-2), which amplify more than trained ones (5e-3).
const BFLOAT16_TOLERANCE: f64 = 5e-2;

/// The same for float16: five times what random weights of ViT-B/32 show (2e-3).
const FLOAT16_TOLERANCE: f64 = 1e-2;

/// Largest error, over the largest value of its kind, of a precision that headspan chooses by itself ([`precision_error`]). Trained models
/// in bfloat16 show half of it.
pub const AUTO_ERROR: f64 = 1e-2;

/// What a run measured about itself on its first images, as error over the largest absolute value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CheckFigures {
    /// Images that were checked.
    pub images: u64,
    /// Sum of all components against `r/|r|`.
    pub identity_error: f64,
    /// The pass of this run against Burn's on the CPU; none in records of older runs on a CPU, and where the model on a GPU has no
    /// copy on the CPU.
    pub probe_error: Option<f64>,
}

impl ImagesJob<'_> {
    /// Everything that a check looks at.
    fn request_of_all(&self) -> TraceRequest {
        let layers = (0..self.model.vision().geometry().layers).collect();
        TraceRequest { layers, residual_components: true, ..TraceRequest::default() }
    }

    /// What a check allows in the precision of the run.
    fn tolerance(&self, exact: f64) -> f64 {
        match self.precision {
            Precision::Float32 => exact,
            Precision::Bfloat16 => exact.max(BFLOAT16_TOLERANCE),
            Precision::Float16 => exact.max(FLOAT16_TOLERANCE),
        }
    }
}

/// Checks the sum identity, and the first images against Burn's pass on the CPU. None if the first images cannot be decoded.
pub(crate) fn check_first_batch(
    job: &ImagesJob<'_>,
    pass: &VisionPass,
    plan: &PartPlan,
    todo: &[u64],
    folder: &ReadoutFolder,
    layers: &[usize],
) -> Result<Option<CheckFigures>> {
    let Some(pixels) = first_pixels(job, plan, todo)? else { return Ok(None) };
    let request = job.request_of_all();
    let trace = pass.trace(pixels.clone(), &request)?;
    let identity_error = identity_error(folder, &folder.readouts(layers)?, &trace)?;
    within("sum identity", identity_error, job.tolerance(job.settings.identity_tolerance))?;
    let probe = |reference: &dyn VisionTower| -> Result<f64> {
        let error = probe_error(&trace, &reference.trace(pixels, &request)?);
        within("CPU probe", error, job.tolerance(job.settings.probe_tolerance)).map(|()| error)
    };
    let probe_error = job.model.reference_pass().map(probe).transpose()?;
    Ok(Some(CheckFigures { images: trace.scalars.len() as u64, identity_error, probe_error }))
}

/// Largest difference of anything stored between the job's precision and Burn's pass on the CPU in single precision, over the largest value of
/// its kind, on the first images. None without such a pass, and if the first images cannot be decoded.
pub fn precision_error(job: &ImagesJob<'_>) -> Result<Option<f64>> {
    let Some(reference) = job.model.reference_pass() else { return Ok(None) };
    let Some(pixels) = first_pixels(job, &job.plan(), &[0])? else { return Ok(None) };
    let request = job.request_of_all();
    let trace = job.model.vision_pass(job.precision)?.trace(pixels.clone(), &request)?;
    Ok(Some(probe_error(&trace, &reference.trace(pixels, &request)?)))
}

fn within(check: &'static str, error: f64, tolerance: f64) -> Result<()> {
    if error.is_nan() {
        return Err(ExtractError::NotFinite { check });
    }
    if error <= tolerance { Ok(()) } else { Err(ExtractError::Check { check, error, tolerance }) }
}

fn first_pixels(job: &ImagesJob<'_>, plan: &PartPlan, todo: &[u64]) -> Result<Option<Vec<f32>>> {
    let Some(&part) = todo.first() else { return Ok(None) };
    let first = plan.images_of(part).start;
    let mut images = first..first;
    while images.end < job.dataset.len() && images.end < first + SEARCHED {
        images.end = (images.end + IMAGES).min(job.dataset.len());
        let batch = BatchJob { part, images: images.clone() };
        let decoded = decode(batch, job.dataset, &job.preprocess(), &job.limits())?;
        if decoded.rows.iter().any(|row| row.status == ImageStatus::Ok) {
            return Ok(Some(decoded.pixels));
        }
        images.start = images.end;
    }
    Ok(None)
}

/// Sum over all heads of all layers and the MLP-side components, against `r/|r|`: extracted layers through their readouts,
/// which are what is stored, the others through the plain output projection.
fn identity_error(folder: &ReadoutFolder, readouts: &[Readout], trace: &HostTrace) -> Result<f64> {
    let images = trace.scalars.len();
    let layers = folder.layers();
    let heads = trace.heads.len() / layers;
    let head_dim = trace.heads[0].len() / images;
    let d = trace.representation.len() / images;
    let (mut worst, mut largest) = (0.0_f64, 0.0_f64);
    for image in 0..images {
        let scalars = Scalars::<f64>::from(trace.scalars[image]);
        let mut sum = vec![0.0_f64; d];
        let mut add = |terms: &[f64]| sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        let row = |layer: usize, head: usize| &trace.heads[layer * heads + head][image * head_dim..][..head_dim];
        for readout in readouts {
            let z = row(readout.head.layer as usize, readout.head.head as usize);
            let u = HeadVector::new(z, trace.scalars[image]);
            let terms: Vec<f64> = readout.contribution(u.as_slice()).into_iter().map(f64::from).collect();
            add(&terms);
        }
        for layer in (0..layers).filter(|layer| !readouts.iter().any(|readout| readout.head.layer as usize == *layer)) {
            let scaled: Vec<f32> = (0..heads).flat_map(|head| row(layer, head).iter().copied()).collect();
            add(&folder.attention_contribution(layer, &scaled, scalars)?);
        }
        for component in &trace.residual_components {
            let width = component.len() / images;
            add(&folder.component_contribution(&component[image * width..][..width], scalars));
        }
        for (sum, r) in sum.iter().zip(&trace.representation[image * d..][..d]) {
            let expected = f64::from(*r) * scalars.inv_norm;
            // `max` would hide a NaN.
            worst = if (sum - expected).abs() <= worst { worst } else { (sum - expected).abs() };
            largest = largest.max(expected.abs());
        }
    }
    Ok(worst / largest)
}

/// Largest difference of anything stored, over the largest value of its kind.
fn probe_error(trace: &HostTrace, reference: &HostTrace) -> f64 {
    let mut worst = relative_error(&trace.representation, &reference.representation);
    for (head, expected) in trace.heads.iter().zip(&reference.heads) {
        worst = larger(worst, relative_error(head, expected));
    }
    let scalars =
        |trace: &HostTrace, pick: fn(&Scalars) -> f32| -> Vec<f32> { trace.scalars.iter().map(pick).collect() };
    for pick in [|scalars: &Scalars| scalars.inv_scale, |scalars: &Scalars| scalars.inv_norm] {
        worst = larger(worst, relative_error(&scalars(trace, pick), &scalars(reference, pick)));
    }
    worst
}

fn relative_error(values: &[f32], expected: &[f32]) -> f64 {
    let largest = expected.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
    let worst = values.iter().zip(expected).map(|(x, y)| f64::from((x - y).abs())).fold(0.0, larger);
    worst / largest
}

/// The larger of two, NaN if the second is.
fn larger(one: f64, other: f64) -> f64 {
    if other <= one { one } else { other }
}
