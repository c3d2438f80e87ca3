//! `pruning.parquet`: accuracy with heads scaled in the forward pass, and checkpoints with heads scaled.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use headspan_artifacts::{ClassRow, HeadId, Table, ZeroshotRow, write_atomic};
use headspan_metrics::{LabelledImages, PrunedRow, classify, draw_heads, predict, pruned_rows, pruning_parquet};
use headspan_model::{Checkpoint, LoadedModel, TraceRequest, open_device};
use headspan_query::HeadSelection;
use rayon::prelude::*;

use crate::{
    answers::made_from,
    classification::{
        ablations::heads_of_file, classes::classes, groups::GroupChoice, predictions::warn_of_others,
        templates::Templates,
    },
    error::{PipelineError, Result},
    model::ModelFiles,
    progress::Progress,
    session::Session,
    stages::{IMAGES, LABEL, METRICS},
};

/// Images of one forward pass.
const BATCH: usize = 64;

/// Which heads are scaled, and how it is judged.
#[derive(Debug, Clone)]
pub struct PruneOptions {
    /// Texts of a class; none: as the run's classes were made, else ours.
    pub templates: Option<Templates>,
    /// Groups that accuracy is also told of.
    pub groups: Option<GroupChoice>,
    /// Heads that are scaled together.
    pub heads: Option<HeadSelection>,
    /// File of heads that are scaled together, one a line.
    pub head_file: Option<PathBuf>,
    /// Levels of concept consistency (CCS), each a target: the heads that have so many consistent texts.
    pub levels: Vec<RangeInclusive<u32>>,
    /// What the heads' outputs are multiplied by.
    pub factor: f32,
    /// Most images, spread evenly over the run's; none: all.
    pub limit: Option<usize>,
    /// Random sets of as many heads beside each target; each costs a pass over the images.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Folder for a checkpoint with the heads scaled; there must be one target.
    pub save: Option<PathBuf>,
}

/// Accuracy with heads scaled.
#[derive(Debug)]
pub struct Pruned {
    /// A row a target and scope.
    pub rows: Vec<PrunedRow>,
    /// Images that went through the model.
    pub images: usize,
    /// `pruning.parquet`.
    pub table: PathBuf,
}

/// Heads with a name.
struct Target {
    name: String,
    heads: Vec<HeadId>,
}

/// Scales heads in the weights, sends images of the run through the model and classifies them: the total effect, with what later layers make of
/// the change. Writes `pruning.parquet`, and the checkpoint if it is wanted.
pub fn prune(session: &Session, options: &PruneOptions, progress: &dyn Progress) -> Result<Pruned> {
    let (run, directory) = (session.run(), session.run().directory());
    let targets = targets(session, options)?;
    let classes = classes(session, options.templates.as_ref(), progress)?.rows;
    let groups = options.groups.as_ref().map(|groups| groups.read(session)).transpose()?;
    let labels = LabelledImages::new(run.images(), &classes, groups.as_ref().map(|groups| &groups.of), 0)?;
    warn_of_others(&labels);
    let stored = predict(directory, run.images(), &classes, &labels)?;
    let stored: Vec<ZeroshotRow> = stored.into_iter().filter(|row| row.class_index.is_some()).collect();
    let stored = spread(&stored, options.limit);
    let files = session.checked_files()?;
    let weights = Checkpoint::open(&files.files.weights)?;
    if let (Some(folder), [target]) = (&options.save, &targets[..]) {
        save(&weights, &files, &scales(&target.heads, options.factor), folder)?;
    }
    let judge = Judge {
        session,
        files: &files,
        weights: &weights,
        classes: &classes,
        labels: &labels,
        stored: &stored,
        progress,
    };
    let all: Vec<HeadId> = run.heads().collect();
    let mut rows = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        let after = judge.after(&target.name, &target.heads, options.factor)?;
        let of = (target.name.as_str(), target.heads.len() as u64, Some(options.factor));
        rows.extend(pruned_rows(of, [&stored, &after], &labels));
        let mut draws = Vec::with_capacity(options.draws);
        for draw in 0..options.draws {
            let places = draw_heads(all.len(), target.heads.len(), options.seed, number, draw);
            let heads: Vec<HeadId> = places.into_iter().map(|place| all[place]).collect();
            let name = format!("random {} for {}", draw + 1, target.name);
            let after = judge.after(&name, &heads, options.factor)?;
            draws.push(pruned_rows(of, [&stored, &after], &labels));
        }
        rows.extend(mean_of(&target.name, &draws));
    }
    let table = directory.path().join("pruning.parquet");
    let mut inputs = made_from(directory, &[IMAGES, Table::Classes.name()])?;
    // A list of heads does not depend on labels and scores.
    if options.heads.as_ref().is_some_and(HeadSelection::depends_on_labels) {
        inputs.extend(made_from(directory, &[LABEL])?);
    }
    if !options.levels.is_empty() {
        inputs.extend(made_from(directory, &[METRICS])?);
    }
    let bytes =
        pruning_parquet(&rows, directory.id(), &inputs).map_err(|source| PipelineError::PruningTable { source })?;
    write_atomic(&table, &bytes)?;
    Ok(Pruned { rows, images: stored.len(), table })
}

/// Writes a checkpoint with heads scaled, and nothing else: no run, no image and no class is needed.
pub fn save_scaled(files: &ModelFiles, scales: &BTreeMap<HeadId, f32>, folder: &Path) -> Result<()> {
    save(&Checkpoint::open(&files.files.weights)?, files, scales, folder)
}

/// What predictions are made with.
struct Judge<'a> {
    session: &'a Session,
    files: &'a ModelFiles,
    weights: &'a Checkpoint,
    classes: &'a [ClassRow],
    labels: &'a LabelledImages,
    /// Predictions of the model as it is, for the images that count.
    stored: &'a [ZeroshotRow],
    progress: &'a dyn Progress,
}

impl Judge<'_> {
    fn after(&self, name: &str, heads: &[HeadId], factor: f32) -> Result<Vec<ZeroshotRow>> {
        let scaled = self.weights.with_scaled_heads(&self.files.config, &scales(heads, factor))?;
        let model =
            LoadedModel::for_queries(&scaled, &self.files.config, open_device(self.session.settings().device)?)?;
        let (vision, preprocess) = (model.vision(), *model.vision().preprocess());
        let size = 3 * preprocess.size * preprocess.size;
        let meter = self.progress.begin(&format!("without {name}"), "images");
        let mut found = Vec::with_capacity(self.stored.len());
        for some in self.stored.chunks(BATCH) {
            let pixels = |row: &ZeroshotRow| -> Result<Vec<f32>> {
                let mut pixels = vec![0.0; size];
                preprocess.apply(&self.session.image(row.image_index)?, &mut pixels);
                Ok(pixels)
            };
            let pixels: Vec<Vec<f32>> = some.par_iter().map(pixels).collect::<Result<_>>()?;
            let features = vision.trace(pixels.concat(), &TraceRequest::default())?.representation;
            let indices: Vec<u64> = some.iter().map(|row| row.image_index).collect();
            found.extend(classify(&indices, &features, self.classes, self.labels)?);
            if meter.report(found.len() as u64, self.stored.len() as u64).is_break() {
                return Err(PipelineError::Stopped);
            }
        }
        Ok(found)
    }
}

fn scales(heads: &[HeadId], factor: f32) -> BTreeMap<HeadId, f32> {
    heads.iter().map(|head| (*head, factor)).collect()
}

/// At most so many, spread evenly.
fn spread(rows: &[ZeroshotRow], limit: Option<usize>) -> Vec<ZeroshotRow> {
    let (all, wanted) = (rows.len(), limit.unwrap_or(rows.len()).min(rows.len()));
    (0..wanted).map(|at| rows[at * all / wanted].clone()).collect()
}

/// One row a scope: mean, lowest and highest of the draws.
fn mean_of(name: &str, draws: &[Vec<PrunedRow>]) -> Vec<PrunedRow> {
    let Some(first) = draws.first() else { return Vec::new() };
    let row = |(at, row): (usize, &PrunedRow)| {
        let values: Vec<f64> = draws.iter().filter_map(|draw| Some(draw.get(at)?.accuracy_after)).collect();
        PrunedRow {
            target: format!("random, as many as {name}"),
            accuracy_after: values.iter().sum::<f64>() / values.len() as f64,
            ci_low: values.iter().copied().fold(f64::INFINITY, f64::min),
            ci_high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ..row.clone()
        }
    };
    first.iter().enumerate().filter(|(_, row)| row.scope != "worst_group").map(row).collect()
}

/// All that is scaled, with names.
fn targets(session: &Session, options: &PruneOptions) -> Result<Vec<Target>> {
    let run = session.run();
    let mut found = Vec::new();
    if let Some(selection) = &options.heads {
        found.push(Target { name: selection.to_string(), heads: run.resolve(selection)? });
    }
    if let Some(file) = &options.head_file {
        let heads = heads_of_file(file)?;
        for head in &heads {
            run.readout(*head)?;
        }
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        found.push(Target { name, heads });
    }
    for level in &options.levels {
        let heads: BTreeSet<HeadId> = run
            .metrics()
            .iter()
            .filter(|row| row.scope == "head" && row.metric == "ccs" && Some(row.labeller.as_str()) == run.labeller())
            .filter(|row| row.value.is_some_and(|value| level.contains(&(value as u32))))
            .filter_map(|row| Some(HeadId { layer: row.layer?, head: row.head? }))
            .collect();
        let (least, most) = (level.start(), level.end());
        let name = if least == most { format!("CCS {least}") } else { format!("CCS {least}-{most}") };
        if heads.is_empty() {
            return Err(PipelineError::NoHeadsOfLevel { run: run.name(), level: name });
        }
        found.push(Target { name, heads: heads.into_iter().collect() });
    }
    if options.save.is_some() && found.len() != 1 {
        return Err(PipelineError::SavedTargets { targets: found.len() });
    }
    Ok(found)
}

/// A level of concept consistency: `5`, or a range such as `0-1`. Errors with a sentence.
pub fn ccs_level(text: &str) -> Result<RangeInclusive<u32>, String> {
    let wrong = || format!("`{text}` is no level: expected a number of texts such as 5, or a range such as 0-1");
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_no_number| wrong());
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    let (least, most) = (number(least)?, number(most)?);
    if least > most { Err(wrong()) } else { Ok(least..=most) }
}

/// Writes a checkpoint folder that OpenCLIP loads. The configuration comes last: without it, a folder is no checkpoint.
fn save(weights: &Checkpoint, files: &ModelFiles, scales: &BTreeMap<HeadId, f32>, folder: &Path) -> Result<()> {
    let scaled = weights.with_scaled_heads(&files.config, scales)?;
    let config = files.config.open_clip_json(files.files.config.as_deref())?;
    fs_err::create_dir_all(folder)?;
    write_atomic(&folder.join("open_clip_model.safetensors"), &scaled.to_open_clip()?)?;
    if let Some(tokenizer) = &files.tokenizer {
        write_atomic(&folder.join("tokenizer.json"), &fs_err::read(tokenizer)?)?;
    }
    write_atomic(&folder.join("open_clip_config.json"), config.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_over_all() {
        let row =
            |image_index| ZeroshotRow { image_index, class_index: Some(0), predicted: 0, margin: 0.0, rank: None };
        let all: Vec<ZeroshotRow> = (0..10).map(row).collect();
        let of = |limit| spread(&all, limit).iter().map(|row| row.image_index).collect::<Vec<_>>();
        assert_eq!(of(Some(4)), [0, 2, 5, 7]);
        assert_eq!((of(None).len(), of(Some(99)).len(), of(Some(0)).len()), (10, 10, 0));
    }
}
