use std::{path::Path, time::Instant};

use anyhow::{Context, Result};
use headspan_model::{DeviceChoice, open_device};
use headspan_pipeline::figures::duration;
use headspan_train::{CurvePoint, Recipe, Trainer};

use crate::{
    cli::TrainArgs,
    commands::{UsageError, curve::curve_plot, fine_tune::fine_tune},
    console::Console,
    progress::Reporter,
};

/// The recipe of the demo model, built into the program.
const DEMO: &str = include_str!("../../../../configs/train/scenes-6.toml");

/// Trains a model from a recipe, or continues where its folder's checkpoint left off.
pub(crate) fn train(arguments: &TrainArgs, console: &Console<'_>) -> Result<()> {
    if arguments.fine.images.images.is_some() {
        return fine_tune(arguments, console);
    }
    if arguments.fine.checkpoint.checkpoint.is_some() {
        return Err(UsageError::hinted("there are no images to train the checkpoint on", "give --images PATH"));
    }
    let mut recipe = read(arguments.recipe.as_deref())?;
    if let Some(steps) = arguments.steps {
        recipe.steps = steps;
        recipe.warmup_steps = recipe.warmup_steps.min(steps / 10);
        recipe.easy_steps = recipe.easy_steps.min(steps / 2);
    }
    if let Some(DeviceChoice::Cuda(_)) = arguments.device {
        return Err(UsageError("--device cuda: training runs on wgpu or cpu".to_owned()).into());
    }
    let device = open_device(arguments.device.unwrap_or(DeviceChoice::Auto))?;
    let mut trainer = Trainer::open(recipe, &arguments.out, &device)?;
    let (begun, total) = (trainer.steps_done(), trainer.recipe().steps);
    tracing::info!("{} parameters on {}, step {begun} of {total}", trainer.parameters(), device.choice());
    let started = Instant::now();
    let batch = trainer.recipe().batch_size as u64;
    let reporter = Reporter::new("training", "scenes", console.is_quiet());
    while trainer.steps_done() < total {
        if let Some(point) = trainer.advance()? {
            reporter.remark(&remark(&point));
        }
        // Only this sitting's scenes count for the rate.
        reporter.report((trainer.steps_done() - begun) * batch, (total - begun) * batch);
    }
    drop(reporter);
    trainer.finish()?;
    let plot = arguments.out.join("curve.svg");
    headspan_artifacts::write_atomic(&plot, curve_plot(trainer.curve()).as_bytes())?;
    let (seconds, scenes) = (started.elapsed().as_secs_f64(), (total - begun) * batch);
    tracing::info!("{scenes} scenes in {}, {:.1} a second", duration(seconds), scenes as f64 / seconds);
    tracing::info!("training curve in {} and curve.parquet beside it", plot.display());
    console.print(&arguments.out.display().to_string())
}

fn remark(point: &CurvePoint) -> String {
    format!("loss {:.3}, {:.0} % of pairs found", point.loss, 100.0 * point.accuracy)
}

fn read(path: Option<&Path>) -> Result<Recipe> {
    let (name, text) = match path {
        None => ("configs/train/scenes-6.toml".to_owned(), DEMO.to_owned()),
        Some(path) => (path.display().to_string(), fs_err::read_to_string(path)?),
    };
    toml::from_str(&text)
        .map_err(|error| UsageError(error.to_string().trim_end().to_owned()))
        .with_context(|| format!("recipe `{name}`"))
}
