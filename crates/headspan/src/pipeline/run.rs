use std::collections::BTreeMap;

use anyhow::{Result, bail};
use headspan_artifacts::{RunDirectory, RunId, Stage, StageState};
use headspan_extract::{Dataset, PartStatus, Shard};
use serde_json::Value;

use crate::{
    models::ModelChoice,
    pipeline::{
        images::{self, Mode},
        label, metrics,
        model::{LoadedModel, ModelFiles},
        plan::StagePlan,
        texts::{self, Pools},
        textspan,
    },
    settings::Settings,
};

/// What a command asks of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Every stage.
    All,
    /// Stage 1, or one shard of it.
    Extract(Option<Shard>),
    /// Joins committed parts.
    Merge,
    /// One later stage.
    Only(Stage),
}

/// What became of a stage.
#[derive(Debug, Clone)]
pub(crate) struct StageReport {
    pub(crate) stage: Stage,
    pub(crate) outcome: Outcome,
    /// Lines for the reader.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    /// The artifacts fitted already.
    UpToDate,
    /// A shard is done, others are missing.
    Partial,
    /// It ran.
    Done { rows: u64, seconds: f64 },
}

impl StageReport {
    pub(crate) fn up_to_date(stage: Stage) -> Self {
        Self { stage, outcome: Outcome::UpToDate, notes: Vec::new() }
    }

    pub(crate) fn partial(stage: Stage, note: String) -> Self {
        Self { stage, outcome: Outcome::Partial, notes: vec![note] }
    }

    pub(crate) fn done(stage: Stage, rows: u64, seconds: f64, notes: Vec<String>) -> Self {
        Self { stage, outcome: Outcome::Done { rows, seconds }, notes }
    }
}

/// What became of a model's run.
#[derive(Debug)]
pub(crate) struct RunReport {
    pub(crate) run: RunDirectory,
    pub(crate) stages: Vec<StageReport>,
}

/// Slice of the configuration that a stage reads, as it is written into its record.
pub(crate) fn config_slice(stage: Stage, settings: &Settings) -> Value {
    match stage {
        Stage::Images => images::slice(settings),
        Stage::Texts => texts::slice(),
        Stage::Textspan => textspan::slice(settings),
        Stage::Label => label::slice(settings),
        Stage::Metrics => metrics::slice(settings),
    }
}

/// Runs stages of one model after another; what all models share is read once.
pub(crate) struct Pipeline<'a> {
    settings: &'a Settings,
    quiet: bool,
    dataset: Option<Dataset>,
    pools: Option<Pools>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(settings: &'a Settings, quiet: bool) -> Self {
        Self { settings, quiet, dataset: None, pools: None }
    }

    pub(crate) fn run(&mut self, choice: &ModelChoice, wanted: Wanted) -> Result<RunReport> {
        let settings = self.settings;
        let id = RunId::new(&settings.dataset, &choice.id)?;
        let mut stages = Vec::new();
        let needs_model = !matches!(wanted, Wanted::Only(_));
        if needs_model {
            // Everything that can be wrong with the inputs is found before a folder is made.
            if self.dataset.is_none() {
                self.dataset = Some(images::open_dataset(settings)?);
            }
            if self.pools.is_none() {
                self.pools = Some(Pools::read(settings)?);
            }
        }
        let files = if needs_model { Some(ModelFiles::open(choice)?) } else { None };
        let run = RunDirectory::create(&settings.runs, &id)?;
        // Held until the end of this function.
        let _locks = if let Wanted::Extract(Some(shard)) = wanted {
            let (shared, own) = run.lock_shard(shard.index, shard.count)?;
            vec![shared, own]
        } else {
            let lock = run.lock()?;
            run.sweep_temporary()?;
            vec![lock]
        };
        if let (Some(files), Some(dataset), Some(pools)) = (&files, &self.dataset, &self.pools) {
            let model = LoadedModel::new(files, settings.device);
            let mode = match wanted {
                Wanted::Extract(Some(shard)) => Mode::Shard(shard),
                Wanted::Merge => Mode::Merge,
                _ => Mode::Whole,
            };
            let plan = images::plan(settings, &model, dataset);
            stages.push(images::run(settings, &model, dataset, &run, &plan, mode, self.quiet)?);
            if matches!(mode, Mode::Whole | Mode::Merge) {
                let plan = texts::plan(&model, pools);
                stages.push(texts::run(settings, &model, pools, &run, &plan, self.quiet)?);
            }
        }
        for stage in [Stage::Textspan, Stage::Label, Stage::Metrics] {
            if wanted == Wanted::All || wanted == Wanted::Only(stage) {
                stages.push(self.later_stage(stage, &run)?);
            }
        }
        Ok(RunReport { run, stages })
    }

    fn later_stage(&self, stage: Stage, run: &RunDirectory) -> Result<StageReport> {
        let inputs = input_fingerprints(stage, run)?;
        match stage {
            Stage::Textspan => textspan::run(self.settings, run, inputs, self.quiet),
            Stage::Label => label::run(self.settings, run, inputs, self.quiet),
            Stage::Metrics => metrics::run(self.settings, run, inputs),
            Stage::Images | Stage::Texts => bail!("`{stage}` is part of `headspan extract`"),
        }
    }
}

/// What a stage after extraction will do.
fn later_plan(stage: Stage, settings: &Settings, run: &RunDirectory) -> Result<StagePlan> {
    let inputs = input_fingerprints(stage, run)?;
    match stage {
        Stage::Textspan => Ok(textspan::plan(settings, inputs)),
        Stage::Label => label::plan(settings, run, inputs),
        Stage::Metrics => Ok(metrics::plan(settings, inputs)),
        Stage::Images | Stage::Texts => bail!("`{stage}` is part of `headspan extract`"),
    }
}

/// Fingerprints of the stages before, as their records give them.
pub(crate) fn input_fingerprints(stage: Stage, run: &RunDirectory) -> Result<BTreeMap<String, String>> {
    let mut inputs = BTreeMap::new();
    for input in stage.inputs() {
        let Some(record) = run.record(*input)? else {
            let command = match input {
                Stage::Images | Stage::Texts => "extract",
                other => other.name(),
            };
            bail!(
                "stage `{stage}` of `{}` needs the tables of `{input}`, which are not there: run `headspan {command}` or `headspan run-all` first",
                run.path().display()
            );
        };
        inputs.insert(input.name().to_owned(), record.fingerprint);
    }
    Ok(inputs)
}

/// States of all stages as `run-all` would find them, and how far the images are.
pub(crate) struct PlannedStages {
    pub(crate) states: Vec<(Stage, StageState)>,
    pub(crate) parts: PartStatus,
    pub(crate) descriptions: u64,
}

impl PlannedStages {
    pub(crate) fn new(
        settings: &Settings,
        model: &LoadedModel<'_>,
        dataset: &Dataset,
        run: &RunDirectory,
    ) -> Result<Self> {
        let pools = Pools::read(settings)?;
        let images = images::plan(settings, model, dataset);
        let parts = images::parts(settings, dataset).status(run, images.fingerprint.as_str());
        let mut state = images.state(run)?;
        if state != StageState::Done && parts.done > 0 {
            state = StageState::Partial;
        }
        let mut states = vec![(Stage::Images, state), (Stage::Texts, texts::plan(model, &pools).state(run)?)];
        for stage in [Stage::Textspan, Stage::Label, Stage::Metrics] {
            // A stage after one that runs can only run itself.
            let blocked =
                states.iter().any(|(before, state)| stage.inputs().contains(before) && *state != StageState::Done);
            let state = match (run.record(stage)?, blocked) {
                (None, _) => StageState::Missing,
                (Some(_), true) => StageState::Stale,
                (Some(_), false) => later_plan(stage, settings, run)?.state(run)?,
            };
            states.push((stage, state));
        }
        Ok(Self { states, parts, descriptions: pools.descriptions.entries.len() as u64 })
    }
}
