use std::{path::Path, thread, time::Instant};

use anyhow::{Context, Result};
use headspan_images::{Dataset, DatasetSettings};
use headspan_model::{ClipConfig, DeviceChoice, open_device};
use headspan_pipeline::{ModelChoice, ModelFiles, ModelSource, figures::duration};
use headspan_train::{Beginning, CurvePoint, FineTuner, FineTuning, HeldOut, Labelled, TrainError};

use crate::{
    cli::{DEFAULT_CONFIGS, PipelineArgs, PlaceArgs, TrainArgs},
    commands::{UsageError, curve::curve_plot, settings},
    console::Console,
    progress::Reporter,
};

/// Trains a checkpoint further on images of the user's, or continues where its folder's checkpoint left off.
pub(crate) fn fine_tune(arguments: &TrainArgs, console: &Console<'_>) -> Result<()> {
    let fine = &arguments.fine;
    let Some(place) = fine.checkpoint.checkpoint.clone() else {
        return Err(UsageError::hinted("there is no model to train further", "give --checkpoint PATH"));
    };
    let own = settings(&pipeline(arguments), None)?;
    let device = open_device(arguments.device.unwrap_or(DeviceChoice::Auto))?;
    let how = how(arguments, device.choice().is_gpu())?;
    // What is wrong with the files is found before images are listed.
    let choice = ModelChoice { id: "checkpoint".to_owned(), source: ModelSource::Folder(place) };
    let files = ModelFiles::open(&choice, &own.model)?;
    let config = ClipConfig::with_options(files.files.config.as_deref(), &own.model)?;
    let tokenizer = files.tokenizer.as_deref().ok_or(TrainError::Family)?;
    let labelled = labelled(&own.data)?;
    let test = |path: &Path| DatasetSettings { path: path.to_owned(), limit: None, sample: None, ..own.data.clone() };
    let tested = fine.test_images.as_deref().map(|path| self::labelled(&test(path))).transpose()?;
    let beginning = Beginning { weights: &files.files.weights, config, tokenizer };
    let mut tuner = FineTuner::open(how, beginning, labelled, tested, &arguments.out, device)?;
    let (begun, total, (learned, measured)) = (tuner.steps_done(), tuner.steps(), tuner.images());
    tracing::info!("{learned} images to learn from, {measured} to measure on; step {begun} of {total}");
    if begun == 0 {
        tracing::info!("before: {}", told(tuner.measure(usize::MAX)?));
    }
    let seconds = run(&mut tuner, console)?;
    let after = tuner.finish()?;
    let plot = arguments.out.join("curve.svg");
    headspan_artifacts::write_atomic(&plot, curve_plot(tuner.curve()).as_bytes())?;
    let images = (total - begun) * tuner.settings().batch_size as u64;
    tracing::info!("{images} images in {}, {:.1} a second", duration(seconds), images as f64 / seconds);
    tracing::info!("after: {}", told(after));
    tracing::info!("training curve in {} and curve.parquet beside it", plot.display());
    console.print(&arguments.out.display().to_string())
}

/// Takes all steps that are left; the seconds that they took.
fn run(tuner: &mut FineTuner, console: &Console<'_>) -> Result<f64> {
    let (begun, total, batch) = (tuner.steps_done(), tuner.steps(), tuner.settings().batch_size as u64);
    let started = Instant::now();
    let reporter = Reporter::new("fine-tuning", "images", console.is_quiet());
    while tuner.steps_done() < total {
        if let Some(point) = tuner.advance()? {
            reporter.remark(&remark(&point));
        }
        reporter.report((tuner.steps_done() - begun) * batch, (total - begun) * batch);
    }
    Ok(started.elapsed().as_secs_f64())
}

fn remark(point: &CurvePoint) -> String {
    let held_out =
        point.held_out.map(|share| format!(", {:.1} % of held-out images", 100.0 * share)).unwrap_or_default();
    format!("loss {:.3}, {:.0} % of the batch{held_out}", point.loss, 100.0 * point.accuracy)
}

fn told(found: HeldOut) -> String {
    let HeldOut { right, images } = found;
    let share = found.accuracy().map_or_else(|| "n/a".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    format!("{share} of the held-out images are put into their class ({right} of {images})")
}

fn labelled(settings: &DatasetSettings) -> Result<Labelled> {
    if settings.path.as_os_str().is_empty() {
        return Err(UsageError::hinted("there are no images to learn from", "give --images PATH"));
    }
    let dataset = Dataset::open(settings)?;
    for warning in dataset.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Labelled::new(dataset)?)
}

/// The flags as those of the pipeline, for what they have in common.
fn pipeline(arguments: &TrainArgs) -> PipelineArgs {
    let fine = &arguments.fine;
    PipelineArgs {
        place: PlaceArgs { configs: DEFAULT_CONFIGS.into(), set: fine.set.clone(), ..PlaceArgs::default() },
        checkpoint: fine.checkpoint.clone(),
        images: fine.images.clone(),
        ..PipelineArgs::default()
    }
}

/// The recipe with what flags say.
fn how(arguments: &TrainArgs, on_gpu: bool) -> Result<FineTuning> {
    let fine = &arguments.fine;
    let mut how = match &arguments.recipe {
        None => FineTuning { parts: if on_gpu { 1 } else { threads() }, ..FineTuning::default() },
        Some(path) => {
            let text = fs_err::read_to_string(path)?;
            toml::from_str(&text)
                .map_err(|error| UsageError(error.to_string().trim_end().to_owned()))
                .with_context(|| format!("recipe `{}`", path.display()))?
        }
    };
    how.epochs = fine.epochs.unwrap_or(how.epochs);
    how.learning_rate = fine.learning_rate.unwrap_or(how.learning_rate);
    how.blocks = fine.blocks.unwrap_or(how.blocks);
    how.interpolate = fine.interpolate.unwrap_or(how.interpolate);
    how.text_tower &= !fine.freeze_texts;
    if let Some(size) = fine.batch_size {
        how.batch_size = size;
        // As many parts as fit: the recipe's need not divide another batch.
        how.parts = (1..=how.parts).rev().find(|parts| size.is_multiple_of(*parts)).unwrap_or(1);
    }
    if let Some(path) = &fine.templates {
        let text = fs_err::read_to_string(path)?;
        how.templates = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    }
    Ok(how)
}

/// Threads, as far as they divide the default batch.
fn threads() -> usize {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    (1..=threads.min(64)).rev().find(|parts| 64_usize.is_multiple_of(*parts)).unwrap_or(1)
}
