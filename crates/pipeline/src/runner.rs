use std::{path::Path, time::Instant};

use headspan_artifacts::{RunDirectory, RunId, RunLock, StageState, absolute};
use headspan_extract::{PartStatus, Shard};
use headspan_images::Dataset;

use crate::{
    engine::{Jobs, Rate, Rates, ShardCount, Work, shards_of_bytes},
    error::{PipelineError, Result},
    inputs::check_inputs,
    model::RunModel,
    plan::{StagePlan, StageStatus, state_of, state_of_same},
    pools::Pools,
    precision::{require_precision, settle_precision},
    progress::Progress,
    registry::ModelChoice,
    scope::{Parts, Scope, Sources},
    settings::Settings,
    stage::{Estimate, Stage, StageJob, StageOutcome, stage},
    stages::{LABEL, STAGES, TEXTS, open_dataset, parts_done, work_of},
};

/// What is asked of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Every stage.
    All,
    /// The stages that read weights and images, or one shard of them.
    Extract(Option<Shard>),
    /// The tables of an extraction, from the parts that are there.
    Merge,
    /// One stage that reads only tables, by name.
    Only(&'static str),
}

/// What became of a stage.
#[derive(Debug, Clone)]
pub struct StageReport {
    /// Name of the stage.
    pub stage: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Lines for the reader.
    pub notes: Vec<String>,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Its tables fitted settings and inputs already.
    UpToDate,
    /// A shard is done, others are missing.
    Partial,
    /// It ran.
    Done {
        /// Rows of its main table.
        rows: u64,
        /// Seconds it took.
        seconds: f64,
    },
}

/// What became of a model's run.
#[derive(Debug)]
pub struct RunReport {
    /// Its artifacts.
    pub run: RunDirectory,
    /// Its stages, in the order in which they were looked at.
    pub stages: Vec<StageReport>,
}

/// Runs stages of one model after another. What all models share is read once.
pub struct Pipeline<'a> {
    settings: &'a Settings,
    progress: &'a dyn Progress,
    dataset: Option<Dataset>,
    pools: Option<Pools>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline by these settings.
    pub fn new(settings: &'a Settings, progress: &'a dyn Progress) -> Self {
        Self { settings, progress, dataset: None, pools: None }
    }

    /// Brings the wanted stages of a model up to date. Everything that can be wrong with the inputs is found before a
    /// folder is made.
    pub fn run(&mut self, choice: &ModelChoice, wanted: Wanted) -> Result<RunReport> {
        if let Some(disagreement) = self.settings.disagreement() {
            tracing::warn!("{disagreement}");
        }
        let id = RunId::new(&self.settings.dataset, &choice.id)?;
        check_inputs(self.settings, wanted)?;
        if let Wanted::Only(name) = wanted {
            let only = stage(name).filter(|stage| !stage.needs_model());
            let only = only.ok_or_else(|| PipelineError::NoStage { stage: name.to_owned() })?;
            let run = RunDirectory::create(&self.settings.runs, &id)?;
            let _lock = take(&run, Parts::All)?;
            let scope = Scope::of_run(self.settings, &run, self.progress);
            let report = bring_up_to_date(only, &scope)?;
            return Ok(RunReport { run, stages: vec![report] });
        }
        let (parts, all) = match wanted {
            Wanted::Extract(Some(shard)) => (Parts::Shard(shard), false),
            Wanted::Merge => (Parts::Merge, false),
            Wanted::Extract(None) | Wanted::Only(_) => (Parts::All, false),
            Wanted::All => (Parts::All, true),
        };
        self.open_shared()?;
        // A run that has labels needs no key to find them up to date.
        if all && RunDirectory::at(&self.settings.runs, &id).record(LABEL)?.is_none() {
            let label = &self.settings.label;
            label.labeller.labeller().check(label)?;
        }
        let model = RunModel::open(choice, self.settings.device, &self.settings.model)?;
        self.settings.images.layers.resolve(model.files().config.vision.layers)?;
        if all {
            // Half a run would end at the first stage that needs them.
            model.files().config.texts()?;
        }
        let run = RunDirectory::create(&self.settings.runs, &id)?;
        let _lock = take(&run, parts)?;
        let scope = Scope::of_run(self.settings, &run, self.progress).with(self.sources(&model)?).of_parts(parts);
        settle_precision(&scope)?;
        let mut stages = Vec::new();
        for stage in STAGES.iter().copied().filter(|stage| all || stage.needs_model()) {
            // Texts are no part of a shard: whoever joins the parts embeds them.
            if matches!(parts, Parts::Shard(_)) && !stage.writes_parts() {
                continue;
            }
            if stage.name() == TEXTS && model.files().config.text.is_none() {
                continue;
            }
            stages.push(bring_up_to_date(stage, &scope)?);
        }
        Ok(RunReport { run, stages })
    }

    /// States of all stages as `run-all` would find them, with what each will write.
    pub fn plan(&mut self, choice: &ModelChoice) -> Result<RunPlan> {
        check_inputs(self.settings, Wanted::All)?;
        self.open_shared()?;
        let model = RunModel::open(choice, self.settings.device, &self.settings.model)?;
        let run = RunDirectory::at(&self.settings.runs, &RunId::new(&self.settings.dataset, &choice.id)?).look()?;
        let scope = Scope::of_run(self.settings, &run, self.progress).with(self.sources(&model)?);
        let parts = parts_done(&scope)?;
        let mut statuses = statuses(&scope)?;
        for status in &mut statuses {
            // Parts of other settings are not continued, parts of these are.
            let continues = parts.done > 0 && status.state != StageState::Done;
            if stage(status.stage).is_some_and(Stage::writes_parts) && status.state != StageState::Done {
                let otherwise = if status.record.is_some() { status.state } else { StageState::Missing };
                status.state = if continues { StageState::Partial } else { otherwise };
            }
        }
        let estimates = STAGES.iter().map(|stage| stage.estimate(&scope)).collect::<Result<_>>()?;
        let rates = Rates::known(&self.settings.runs, &run)?;
        let image_bytes = self.dataset.as_ref().and_then(Dataset::bytes);
        Ok(RunPlan { statuses, estimates, parts, rates, image_bytes })
    }

    /// The extraction of a model's images as shards, for an engine that runs them elsewhere. Everything that can be wrong with the inputs
    /// is found here, before anything is submitted; no folder is made.
    pub fn work(&mut self, choice: &ModelChoice, shards: ShardCount) -> Result<PlannedWork> {
        if let Some(disagreement) = self.settings.disagreement() {
            tracing::warn!("{disagreement}");
        }
        check_inputs(self.settings, Wanted::All)?;
        self.open_shared()?;
        let runs = absolute(&self.settings.runs)?;
        let run = RunDirectory::at(&runs, &RunId::new(&self.settings.dataset, &choice.id)?);
        if run.record(LABEL)?.is_none() {
            let label = &self.settings.label;
            label.labeller.labeller().check(label)?;
        }
        let model = RunModel::open(choice, self.settings.device, &self.settings.model)?;
        self.settings.images.layers.resolve(model.files().config.vision.layers)?;
        let (work, finished) = {
            let seen = run.look()?;
            let sources = self.sources(&model)?;
            let dataset = sources.dataset;
            let scope = Scope::of_run(self.settings, &seen, self.progress).with(sources);
            require_precision(&scope)?;
            let finished = statuses(&scope)?.iter().all(|status| status.state == StageState::Done);
            (cut(work_of(&scope, 1)?, dataset, &runs, &seen, shards)?, finished)
        };
        Ok(PlannedWork { run, work, finished })
    }

    fn open_shared(&mut self) -> Result<()> {
        if self.dataset.is_none() {
            self.dataset = Some(open_dataset(self.settings)?);
        }
        if self.pools.is_none() {
            self.pools = Some(Pools::read(&self.settings.texts)?);
        }
        Ok(())
    }

    fn sources<'b>(&'b self, model: &'b RunModel) -> Result<Sources<'b>> {
        let (Some(dataset), Some(pools)) = (&self.dataset, &self.pools) else { return Err(PipelineError::NoImages) };
        Ok(Sources { model, dataset, pools })
    }
}

/// What `run-all` would do for one model.
#[derive(Debug)]
pub struct RunPlan {
    /// Stages in pipeline order.
    pub statuses: Vec<StageStatus>,
    /// What each will write.
    pub estimates: Vec<Estimate>,
    /// Activation parts that are there and fit.
    pub parts: PartStatus,
    /// How fast the model was, as far as the run says, or one below the same folder.
    pub rates: Rates,
    /// Bytes that the images lie in, where they are known ([`Dataset::bytes`]).
    pub image_bytes: Option<u64>,
}

/// A run that an engine may do elsewhere.
#[derive(Debug)]
pub struct PlannedWork {
    /// Its folder, at an absolute path.
    pub run: RunDirectory,
    /// Its extraction as shards.
    pub work: Work,
    /// Whether every stage is done.
    pub finished: bool,
}

/// The same extraction as so many shards. What was submitted already keeps its number, unless another one is given: its tasks do those
/// shards.
fn cut(work: Work, dataset: &Dataset, runs: &Path, run: &RunDirectory, count: ShardCount) -> Result<Work> {
    let submitted = || -> Result<Option<u64>> {
        let before = Jobs::read(run)?.last().map(|submission| submission.work.clone());
        Ok(before.filter(|before| Work { shards: 1, ..before.clone() } == work).map(|before| before.shards))
    };
    let counted = || -> Result<u64> {
        match count {
            ShardCount::Exactly(shards) => Ok(shards),
            ShardCount::OfBytes(limit) => {
                let bytes = dataset.bytes().ok_or(PipelineError::NoBytes)?;
                Ok(shards_of_bytes(bytes, limit, work.images.div_ceil(work.part_rows.max(1))))
            }
            ShardCount::OfMinutes { minutes, on_gpus } => {
                let no_rate = || PipelineError::NoRate { model: run.id().model().to_owned(), on_gpus };
                let rate = Rate::of(runs, run, on_gpus)?.ok_or_else(no_rate)?;
                Ok(rate.shards(work.images, work.part_rows, minutes))
            }
        }
    };
    let kept = if matches!(count, ShardCount::Exactly(_)) { None } else { submitted()? };
    let shards = kept.map_or_else(counted, Ok)?;
    Ok(Work { shards, ..work })
}

/// Locks a run, or a shard of it, until the result is dropped.
fn take(run: &RunDirectory, parts: Parts) -> Result<RunLock> {
    if let Parts::Shard(shard) = parts {
        return Ok(run.lock_shard(shard.index, shard.count)?);
    }
    let lock = run.lock()?;
    run.sweep_temporary()?;
    Ok(lock)
}

/// States of all stages of a run, in pipeline order.
pub fn statuses(scope: &Scope<'_>) -> Result<Vec<StageStatus>> {
    let mut statuses = Vec::new();
    for stage in STAGES.iter().copied() {
        statuses.push(state_of(stage, scope, &statuses)?);
    }
    Ok(statuses)
}

/// Runs a stage unless it is done.
fn bring_up_to_date(stage: &dyn Stage, scope: &Scope<'_>) -> Result<StageReport> {
    let report = |outcome, notes| Ok(StageReport { stage: stage.name(), outcome, notes });
    let plan = StagePlan::of(stage, scope)?;
    let record = scope.run.record(stage.name())?.filter(|record| record.fingerprint == plan.fingerprint());
    let state = record.map(|record| state_of_same(stage, scope, &record)).transpose()?;
    if state == Some(StageState::Done) {
        stage.accept(scope)?;
        return report(Outcome::UpToDate, Vec::new());
    }
    let started = Instant::now();
    match stage.run(&StageJob { scope, plan: &plan })? {
        StageOutcome::Partial(note) => report(Outcome::Partial, vec![note]),
        StageOutcome::Done(result) => {
            let seconds = started.elapsed().as_secs_f64();
            plan.commit(stage, scope.run, seconds, &result)?;
            if state == Some(StageState::Partial) {
                // The same fingerprint, and not the same results: a language model answered what it had not before.
                for after in STAGES.iter().filter(|after| after.inputs().contains(&stage.name())) {
                    scope.run.forget(after.name())?;
                }
            }
            report(Outcome::Done { rows: result.rows, seconds }, result.notes)
        }
    }
}
