use std::cell::OnceCell;

use headspan_artifacts::{RunDirectory, StageRecord};
use headspan_extract::Shard;
use headspan_images::Dataset;

use crate::{
    error::{PipelineError, Result},
    model::RunModel,
    pools::Pools,
    progress::Progress,
    provenance::Provenance,
    settings::Settings,
    stages::IMAGES,
};

/// Which parts of a run one process extracts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parts {
    /// All parts, then the tables.
    #[default]
    All,
    /// The parts of one shard of a job array; the tables too if they were the last.
    Shard(Shard),
    /// None: only the tables, from the parts that are there.
    Merge,
}

/// What the stages that read weights and images need, opened once and shared by all models of a sweep where they can be.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The model; its weights are read when a stage first needs them.
    pub model: &'a RunModel,
    /// The images.
    pub dataset: &'a Dataset,
    /// The descriptions.
    pub pools: &'a Pools,
}

/// What a stage may look at: one run, its settings, and the weights and images where they are at hand.
pub struct Scope<'a> {
    /// Settings after all layers.
    pub settings: &'a Settings,
    /// The run's artifacts.
    pub run: &'a RunDirectory,
    /// None where a run's folder alone is looked at: by `status`, and by stages that read only tables.
    pub sources: Option<Sources<'a>>,
    /// Which parts to extract.
    pub parts: Parts,
    /// Whether stages are judged by the settings in their own records, and not by `settings`.
    pub as_recorded: bool,
    /// Told of progress.
    pub progress: &'a dyn Progress,
    recorded: OnceCell<Option<StageRecord>>,
}

impl<'a> Scope<'a> {
    /// Looks at a run's folder alone.
    pub fn of_run(settings: &'a Settings, run: &'a RunDirectory, progress: &'a dyn Progress) -> Self {
        Self {
            settings,
            run,
            sources: None,
            parts: Parts::All,
            as_recorded: false,
            progress,
            recorded: OnceCell::new(),
        }
    }

    /// With weights and images at hand.
    #[must_use]
    pub fn with(mut self, sources: Sources<'a>) -> Self {
        self.sources = Some(sources);
        self
    }

    /// For some parts alone.
    #[must_use]
    pub fn of_parts(mut self, parts: Parts) -> Self {
        self.parts = parts;
        self
    }

    /// By the settings that the run was made with, whatever those at hand are.
    #[must_use]
    pub fn as_recorded(mut self) -> Self {
        self.as_recorded = true;
        self
    }

    /// The weights and images; an error that says which stage needs them, where there are none.
    pub fn need_sources(&self, stage: &'static str) -> Result<Sources<'a>> {
        self.sources.ok_or(PipelineError::NeedsModel { stage })
    }

    /// Number of blocks of the model: its own, or as the extraction recorded it.
    pub fn blocks(&self) -> Result<Option<usize>> {
        if let Some(sources) = self.sources {
            return Ok(Some(sources.model.files().config.vision.layers));
        }
        Ok(self.provenance()?.and_then(|provenance| provenance.blocks))
    }

    /// Where the extraction read images and weights; none before it is done.
    pub fn provenance(&self) -> Result<Option<Provenance>> {
        let record = if let Some(record) = self.recorded.get() {
            record
        } else {
            let record = self.run.record(IMAGES)?;
            self.recorded.get_or_init(|| record)
        };
        record.as_ref().map_or(Ok(None), |record| Provenance::of(record).map(Some))
    }
}
