use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use headspan_artifacts::{ImageRow, ImageStatus, RunDirectory, Stage, StageRecord, StageState, read_rows};
use headspan_clip::{DeviceChoice, Precision};
use headspan_extract::{
    CheckFigures, Dataset, ExtractError, FinishSummary, ImagesJob, ImagesSummary, PartPlan, Shard, extract_images,
    finish_images,
};
use serde_json::{Value, json};

use crate::{
    pipeline::{
        model::LoadedModel,
        plan::{StagePlan, StageResult},
        run::StageReport,
    },
    progress::{Reporter, duration},
    settings::Settings,
    workbench::{CHECKPOINT, DATA},
};

/// Slice of the configuration that the stage reads. Device, batch size and threads are not in it: results do not depend on
/// them beyond rounding.
pub(crate) fn slice(settings: &Settings) -> Value {
    let images = &settings.images;
    let mut slice = json!({
        "layers": images.layers,
        "part_rows": images.part_rows,
        "max_pixels": images.max_pixels,
    });
    // Named only where it is not the rule: runs from before there was a choice stay what they are.
    if images.precision != Precision::Float32 {
        slice["precision"] = json!(images.precision);
    }
    slice
}

/// Lists the data set and says what is odd about it.
pub(crate) fn open_dataset(settings: &Settings) -> Result<Dataset> {
    if settings.data.path.as_os_str().is_empty() {
        anyhow::bail!("no images: give --images PATH, or `path` in section [data] of a configuration file");
    }
    let dataset = Dataset::open(&settings.data)?;
    for warning in dataset.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(dataset)
}

/// What the stage will do.
pub(crate) fn plan(settings: &Settings, model: &LoadedModel<'_>, dataset: &Dataset) -> StagePlan {
    let inputs = BTreeMap::from([
        ("checkpoint".to_owned(), model.files().checkpoint_hash.clone()),
        ("dataset".to_owned(), dataset.fingerprint()),
    ]);
    StagePlan::new(Stage::Images, slice(settings), inputs)
}

/// How the stage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All parts, then the tables.
    Whole,
    /// The parts of one shard; the tables too if they were the last.
    Shard(Shard),
    /// Only the tables.
    Merge,
}

pub(crate) fn run(
    settings: &Settings,
    model: &LoadedModel<'_>,
    dataset: &Dataset,
    run: &RunDirectory,
    plan: &StagePlan,
    mode: Mode,
    quiet: bool,
) -> Result<StageReport> {
    if plan.state(run)? == StageState::Done {
        if settings.images.strict {
            refuse_skipped(run)?;
        }
        return Ok(StageReport::up_to_date(Stage::Images));
    }
    let loaded = model.get()?;
    let precision = settings.images.precision;
    if loaded.kind == DeviceChoice::Cpu && precision == Precision::Bfloat16 && !precision.is_native() {
        tracing::warn!(
            "this processor has no products of bfloat16 (AVX-512 BF16): `images.precision = \"float32\"` is faster here"
        );
    }
    let started = Instant::now();
    let reporter = Reporter::new(&format!("{} images", run.id().model()), "images", quiet);
    let progress = |done, total| reporter.report(done, total);
    let job = ImagesJob {
        model: &loaded.model,
        cpu_model: loaded.cpu_model.as_ref(),
        config: &model.files().config,
        device: &loaded.device,
        dataset,
        run,
        fingerprint: plan.fingerprint.as_str(),
        settings: &settings.images,
        shard: match mode {
            Mode::Shard(shard) => Some(shard),
            Mode::Whole | Mode::Merge => None,
        },
        progress: &progress,
    };
    plan.begin(run)?;
    let summary = if mode == Mode::Merge { None } else { Some(extract_images(&job)?) };
    let finished = match finish_images(&job) {
        Ok(finished) => finished,
        Err(ExtractError::PartsMissing { missing, total }) if matches!(mode, Mode::Shard(_)) => {
            return Ok(StageReport::partial(Stage::Images, format!("{} of {total} parts are there", total - missing)));
        }
        Err(error) => return Err(error).context(format!("model `{}`", run.id().model())),
    };
    let seconds = started.elapsed().as_secs_f64();
    if finished.skipped > 0 {
        let examples: String = finished.examples.iter().map(|(id, error)| format!("\n  {id}: {error}")).collect();
        tracing::warn!("skipped {} of {} images (see images.parquet):{examples}", finished.skipped, finished.images);
    }
    let mut figures = figures(summary.as_ref(), &finished, &loaded.kind.to_string());
    figures.extend(origin(settings, model)?);
    let result = StageResult { rows: finished.images, seconds, figures };
    plan.commit(run, &result)?;
    Ok(StageReport::done(Stage::Images, finished.images, seconds, notes(summary.as_ref())))
}

/// A run that is asked for strictly must not pass for one without bad images because it was made before.
fn refuse_skipped(run: &RunDirectory) -> Result<()> {
    let record = run.record(Stage::Images)?;
    let none = |record: StageRecord| record.figures.get("skipped").and_then(Value::as_u64) == Some(0);
    if record.is_some_and(none) {
        return Ok(());
    }
    let images: Vec<ImageRow> = read_rows(&run.table("images"))?;
    match images.into_iter().find(|row| row.status == ImageStatus::Skipped) {
        Some(ImageRow { image_id, error, .. }) => {
            Err(ExtractError::BadImage { image_id, message: error.unwrap_or_default() }.into())
        }
        None => Ok(()),
    }
}

/// Parts that are committed, for `plan` and `status`.
pub(crate) fn parts(settings: &Settings, dataset: &Dataset) -> PartPlan {
    PartPlan { images: dataset.len(), rows: settings.images.part_rows }
}

/// Where images and weights lie, for questions that are asked later. Not part of the fingerprint: they may move.
fn origin(settings: &Settings, model: &LoadedModel<'_>) -> Result<BTreeMap<String, Value>> {
    let mut data = settings.data.clone();
    data.path = std::path::absolute(&data.path)?;
    data.classes = data.classes.map(std::path::absolute).transpose()?;
    data.root = data.root.map(std::path::absolute).transpose()?;
    let mut origin = BTreeMap::from([(DATA.to_owned(), serde_json::to_value(data)?)]);
    if let Some(folder) = &model.files().folder {
        origin.insert(CHECKPOINT.to_owned(), json!(folder));
    }
    Ok(origin)
}

fn figures(summary: Option<&ImagesSummary>, finished: &FinishSummary, device: &str) -> BTreeMap<String, Value> {
    let mut figures = BTreeMap::from([
        ("device".to_owned(), json!(device)),
        ("images".to_owned(), json!(finished.images)),
        ("skipped".to_owned(), json!(finished.skipped)),
        ("heads".to_owned(), json!(finished.heads)),
    ]);
    if let Some(summary) = summary {
        figures.insert("parts".to_owned(), json!(summary.parts));
        figures.insert("parts_found".to_owned(), json!(summary.parts_found));
        figures.insert("parts_committed".to_owned(), json!(summary.parts_committed));
        if summary.seconds > 0.0 {
            let rate = (summary.extracted + summary.skipped) as f64 / summary.seconds;
            figures.insert("images_per_second".to_owned(), json!(rate));
        }
        if let Some(share) = summary.busy_share() {
            figures.insert("busy_share".to_owned(), json!(share));
        }
        if let Some(pace) = summary.pace {
            figures.insert("pace".to_owned(), json!(pace));
        }
        if let Some(CheckFigures { images, identity_error, probe_error }) = summary.checks {
            figures.insert("checked_images".to_owned(), json!(images));
            figures.insert("identity_error".to_owned(), json!(identity_error));
            figures.insert("probe_error".to_owned(), json!(probe_error));
        }
    }
    figures
}

fn notes(summary: Option<&ImagesSummary>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(summary) = summary {
        if summary.parts_found > 0 {
            notes.push(format!("continued: {} of {} parts were there", summary.parts_found, summary.parts));
        }
        if summary.seconds > 0.0 {
            let images = summary.extracted + summary.skipped;
            let busy = summary.busy_share().map(|share| format!(", {:.0} % of it in the model", 100.0 * share));
            notes.push(format!(
                "{images} images in {}, {:.1} a second{}",
                duration(summary.seconds),
                images as f64 / summary.seconds,
                busy.unwrap_or_default()
            ));
        }
        if let Some(checks) = summary.checks {
            let probe = checks.probe_error.map(|error| format!(", CPU probe {error:.1e}")).unwrap_or_default();
            notes.push(format!("sum identity {:.1e} of the largest value{probe}", checks.identity_error));
        }
    }
    notes
}
