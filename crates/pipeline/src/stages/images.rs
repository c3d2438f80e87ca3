use std::collections::BTreeMap;

use headspan_artifacts::{ImageRow, ImageStatus, Table, read_rows};
use headspan_extract::{
    CheckFigures, ExtractError, FinishSummary, IMAGES_VERSION, ImagesJob, ImagesSettings, ImagesSummary, Keep,
    LayerSelection, PartStatus, extract_images, finish_images,
};
use headspan_headspace::vector_length;
use headspan_images::Dataset;
use headspan_model::{ModelConfig, Precision};
use serde_json::{Value, json};

use crate::{
    engine::{Rate, Work},
    error::{PipelineError, Result},
    figures::duration,
    plan::StagePlan,
    precision::{precision_of, warn_of_slow_precision},
    provenance::Provenance,
    scope::{Parts, Scope, Sources},
    settings::Settings,
    stage::{Estimate, Stage, StageJob, StageOutcome, StageResult},
};

pub(crate) const NAME: &str = "images";
pub(super) static STAGE: Images = Images;

/// Name of the setting that says what is kept, in the stage's record.
const KEEP: &str = "keep";

/// Images to activations, readouts and moments.
pub(super) struct Images;

impl Stage for Images {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        IMAGES_VERSION
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn tables(&self) -> &'static [Table] {
        &[Table::Images, Table::Readout, Table::Moments]
    }

    fn writes_parts(&self) -> bool {
        true
    }

    fn needs_model(&self) -> bool {
        true
    }

    /// Device, batch size and threads are not in it: results do not depend on them beyond rounding.
    fn slice(&self, scope: &Scope<'_>) -> Result<Value> {
        let ImagesSettings {
            layers,
            precision,
            part_rows,
            max_pixels,
            keep,
            batch_size: _,
            strict: _,
            workers: _,
            decode_threads: _,
            identity_tolerance: _,
            probe_tolerance: _,
        } = &scope.settings.images;
        let layers = match scope.blocks()? {
            Some(blocks) => LayerSelection::of_list(&layers.resolve(blocks)?, blocks),
            None => layers.clone(),
        };
        let mut slice = json!({ "layers": layers, "part_rows": part_rows, "max_pixels": max_pixels });
        // Named only where it is not the default: runs from before there was a choice stay what they are.
        let precision = precision_of(*precision, scope.run)?;
        if precision != Precision::Float32 {
            slice["precision"] = json!(precision);
        }
        if *keep != Keep::All {
            slice[KEEP] = json!(keep);
        }
        Ok(slice)
    }

    /// Later stages read the readouts and the moments, which are those of all images whatever is kept of them.
    fn slice_for_later(&self, mut slice: Value) -> Value {
        if let Some(slice) = slice.as_object_mut() {
            slice.remove(KEEP);
        }
        slice
    }

    fn files(&self, scope: &Scope<'_>) -> Result<Option<BTreeMap<String, String>>> {
        Ok(scope.sources.map(|Sources { model, dataset, .. }| {
            BTreeMap::from([
                ("checkpoint".to_owned(), model.files().checkpoint_hash.clone()),
                ("dataset".to_owned(), dataset.fingerprint()),
            ])
        }))
    }

    /// Vectors at four bytes a number, other columns at a rough size per row.
    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate> {
        let Sources { model, dataset, .. } = scope.need_sources(NAME)?;
        let config = &model.files().config;
        let (heads, head_dim) = heads(scope.settings, config)?;
        let (images, d, columns) = (dataset.len(), config.vision.d as u64, vector_length(head_dim as usize) as u64);
        let kept = match scope.settings.images.keep {
            Keep::All => images,
            Keep::Moments => 0,
            Keep::Sample(count) => count.min(images),
        };
        let activations = kept * (4 * (heads * head_dim + d) + 20);
        let bytes = activations + kept * 60 + heads * (4 * d * columns + 8 * columns * columns);
        Ok(Estimate { rows: images, bytes })
    }

    /// A run that is asked for strictly must not pass for one without bad images because it was made before.
    fn accept(&self, scope: &Scope<'_>) -> Result<()> {
        if !scope.settings.images.strict {
            return Ok(());
        }
        let record = scope.run.record(NAME)?;
        if record.is_some_and(|record| record.figures.get("skipped").and_then(Value::as_u64) == Some(0)) {
            return Ok(());
        }
        let images: Vec<ImageRow> = read_rows(&scope.run.table(Table::Images))?;
        match images.into_iter().find(|row| row.status == ImageStatus::Skipped) {
            Some(ImageRow { image_id, error, .. }) => {
                Err(ExtractError::BadImage { image_id, message: error.unwrap_or_default() }.into())
            }
            None => Ok(()),
        }
    }

    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome> {
        let scope = job.scope;
        let sources = scope.need_sources(NAME)?;
        let model = sources.model.get()?;
        if let Some(precision) = scope.settings.images.precision.fixed() {
            warn_of_slow_precision(precision, model, &sources.model.files().config)?;
        }
        let meter = scope.progress.begin(&format!("{} images", scope.run.id().model()), "images");
        let progress = |done, total| meter.report(done, total);
        let images = ImagesJob {
            model,
            dataset: sources.dataset,
            run: scope.run,
            fingerprint: job.plan.fingerprint(),
            settings: &scope.settings.images,
            precision: precision_of(scope.settings.images.precision, scope.run)?,
            shard: match scope.parts {
                Parts::Shard(shard) => Some(shard),
                Parts::All | Parts::Merge => None,
            },
            progress: &progress,
        };
        job.begin()?;
        let summary = if scope.parts == Parts::Merge { None } else { Some(extract_images(&images)?) };
        if let Some(ImagesSummary { extracted, skipped, seconds, .. }) = summary
            && seconds > 0.0
        {
            let rate = Rate { images: extracted + skipped, seconds, device: model.device().to_string() };
            // Only a help for the next submission. Where two shards in a store end together, the second is refused, and the first's will do.
            if let Err(error) = rate.note(scope.run) {
                tracing::debug!("the rate is not noted: {error}");
            }
        }
        let finished = match finish_images(&images) {
            Ok(finished) => finished,
            Err(ExtractError::PartsMissing { missing, total }) if matches!(scope.parts, Parts::Shard(_)) => {
                return Ok(StageOutcome::Partial(format!("{} of {total} parts are there", total - missing)));
            }
            Err(source) => {
                let model = scope.run.id().model().to_owned();
                return Err(PipelineError::OfModel { model, source: Box::new(source) });
            }
        };
        if finished.skipped > 0 {
            let examples: String = finished.examples.iter().map(|(id, error)| format!("\n  {id}: {error}")).collect();
            tracing::warn!(
                "skipped {} of {} images (see images.parquet):{examples}",
                finished.skipped,
                finished.images
            );
        }
        Ok(StageOutcome::Done(StageResult {
            rows: finished.images,
            figures: figures(scope.settings, summary.as_ref(), &finished, &model.device().to_string()),
            notes: notes(summary.as_ref()),
            provenance: Some(Box::new(provenance(scope.settings, &sources)?)),
        }))
    }
}

/// Lists the data set and warns of what is unusual about it. A strict run accepts no data set of which a part cannot be read.
pub(crate) fn open_dataset(settings: &Settings) -> Result<Dataset> {
    if settings.data.path.as_os_str().is_empty() {
        return Err(PipelineError::NoImages);
    }
    let dataset = Dataset::open(&settings.data)?;
    if settings.images.strict {
        dataset.refuse_damage(&settings.data)?;
    }
    for warning in dataset.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(dataset)
}

/// How many parts of an extraction are there.
pub(crate) fn parts_done(scope: &Scope<'_>) -> Result<PartStatus> {
    let work = work_of(scope, 1)?;
    Ok(work.plan().status(scope.run, &work.fingerprint)?)
}

/// An extraction as shards.
pub(crate) fn work_of(scope: &Scope<'_>, shards: u64) -> Result<Work> {
    let Sources { dataset, .. } = scope.need_sources(NAME)?;
    let fingerprint = StagePlan::of(&STAGE, scope)?.fingerprint().to_owned();
    let ImagesSettings { part_rows, keep, .. } = scope.settings.images;
    Ok(Work { shards, images: dataset.len(), part_rows, keep, fingerprint })
}

/// Heads that are extracted, and the width of one.
pub(super) fn heads(settings: &Settings, config: &ModelConfig) -> Result<(u64, u64)> {
    let vision = &config.vision;
    let layers = settings.images.layers.resolve(vision.layers)?.len() as u64;
    Ok((layers * vision.heads as u64, vision.head_dim as u64))
}

fn provenance(settings: &Settings, sources: &Sources<'_>) -> Result<Provenance> {
    let files = sources.model.files();
    let blocks = files.config.vision.layers;
    Ok(Provenance {
        data: Some(settings.data.clone().with_queries_aside().absolute()?),
        checkpoint: files.folder.clone(),
        model: (!settings.model.is_empty()).then(|| settings.model.clone()),
        blocks: Some(blocks),
        layers: Some(settings.images.layers.resolve(blocks)?),
    })
}

fn figures(
    settings: &Settings,
    summary: Option<&ImagesSummary>,
    finished: &FinishSummary,
    device: &str,
) -> BTreeMap<String, Value> {
    let mut figures = BTreeMap::from([
        ("device".to_owned(), json!(device)),
        ("images".to_owned(), json!(finished.images)),
        ("skipped".to_owned(), json!(finished.skipped)),
        ("heads".to_owned(), json!(finished.heads)),
    ]);
    if settings.images.keep != Keep::All {
        figures.insert("kept".to_owned(), json!(finished.kept));
    }
    let Some(summary) = summary else { return figures };
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
    if let Some(machine_use) = summary.machine_use {
        figures.insert("pace".to_owned(), json!(machine_use));
    }
    if let Some(CheckFigures { images, identity_error, probe_error }) = summary.checks {
        figures.insert("checked_images".to_owned(), json!(images));
        figures.insert("identity_error".to_owned(), json!(identity_error));
        figures.insert("probe_error".to_owned(), json!(probe_error));
    }
    figures
}

fn notes(summary: Option<&ImagesSummary>) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(summary) = summary else { return notes };
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
    notes
}
