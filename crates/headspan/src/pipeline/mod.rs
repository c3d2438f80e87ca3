//! Stage order: what each stage of one run reads, when it is skipped, and how it is done.

mod images;
mod label;
mod metrics;
mod model;
mod plan;
mod run;
mod texts;
mod textspan;

pub(crate) use images::open_dataset;
pub(crate) use label::dry_run;
pub(crate) use metrics::{score_imported, synonyms};
pub(crate) use model::{LoadedModel, ModelFiles};
pub(crate) use plan::{bytes_of, tables};
pub(crate) use run::{Outcome, Pipeline, PlannedStages, RunReport, StageReport, Wanted, config_slice};
