//! The pipeline of headspan as a library: what the command line can do, a Rust program can do through the same functions.
//!
//! - [`Settings`] come from files, the environment and typed overrides ([`SettingsFiles`]); [`Registry`] knows the models.
//! - [`Pipeline`] brings the stages of a run up to date. A stage is a [`Stage`] in the table [`STAGES`]; [`state_of`] is
//!   the one function that says whether a stage is done.
//! - [`Session`] is a finished run with its model and its images, for the analyses of `headspan-query`.
//! - [`engine`] describes a run as shards for machines that something else schedules.
//! - [`align`] gives an image tower the texts of a CLIP.
//! - [`inspect`] says what a checkpoint is, and what of that is certain.
//! - [`diff`] compares two runs over the same images head by head.
//! - [`head_weights`] says from weights alone where each head can write.
//! - [`stability`] says whether picks and labels would come out the same again.
//! - [`zeroshot`] classifies the images of a run without training; [`ablate`] measures what is left of that without some heads, and [`prune`] with
//!   heads scaled in the forward pass. [`repair`] removes heads that bring a spurious cue in.
//! - [`paper`] reads what a paper published, and [`replicate`] measures it.
//! - [`agreement`] compares labellers and people, [`standing`] lists what people said.
//! - [`compare`] writes the scores of all runs of a data set side by side, and [`report`] all that is known of each, for people and for papers.
//!
//! It uses every crate below it and is used by the command line, the explorer and the Python module. It draws no progress
//! ([`Progress`] is told of it), prints nothing, and logs through `tracing`.

mod activation;
mod align;
mod answers;
mod classification;
mod compare;
pub mod demo;
mod diff;
pub mod engine;
mod error;
mod facts;
pub mod figures;
mod head_weights;
mod inputs;
mod inspect;
mod memory;
mod model;
mod papers;
mod people;
mod plan;
mod pools;
mod precision;
mod progress;
mod provenance;
mod publication;
mod registry;
mod report;
mod runner;
mod scope;
mod session;
mod settings;
mod stability;
mod stage;
mod stages;
mod weights;

pub use align::{AlignedModel, align};
pub use answers::{ANSWERS, Answer, MadeAnswer, answers};
pub use classification::{
    AblateOptions, AblationKind, Ablations, GroupChoice, Learning, PruneOptions, Pruned, RepairOptions, Repaired,
    Templates, Zeroshot, ZeroshotOptions, ablate, ccs_level, prune, repair, save_scaled, zeroshot,
};
pub use compare::{ComparedRow, ComparedRuns, compare, labellers, notices, warn_of_unfinished};
pub use diff::{DiffedRuns, diff};
pub use error::{PipelineError, Result};
pub use facts::facts;
pub use head_weights::{HeadWeightsRequest, WeighedRun, head_weights};
pub use inputs::check_inputs;
pub use inspect::{ConfigSource, InspectedModel, Inspection, inspect, inspect_files};
pub use model::{ModelFiles, RunModel, log_notice};
pub use papers::{
    Measure, MeasuredFigure, Paper, PaperData, PaperError, PaperFigure, PaperJob, PaperSetting, PaperTable, Placed,
    ReplicatedRun, Unit, paper, replicate,
};
pub use people::{Agreement, agreement, standing, texts_of};
pub use plan::{StagePlan, StageStatus, state_of};
pub use pools::Pools;
pub use progress::{Meter, Progress, Silent};
pub use provenance::Provenance;
pub use publication::{Publication, report};
pub use registry::{KnownModel, ModelChoice, ModelError, ModelSource, Registry};
pub use runner::{Outcome, Pipeline, PlannedWork, RunPlan, RunReport, StageReport, Wanted, statuses};
pub use scope::{Parts, Scope, Sources};
pub use session::{Session, column_store};
pub use settings::{
    BUILT_IN, DataOverrides, ImagesOverrides, LabelOverrides, MetricsSection, ModelOverrides, Overrides, Settings,
    SettingsError, SettingsFiles, TextsOverrides, TextsSection, TextspanOverrides, TextspanSection, VALUES, Values,
    assigned, meant_variable,
};
pub use stability::{Stability, StabilityRequest, stability};
pub use stage::{Estimate, Stage, StageJob, StageOutcome, StageResult, stage};
pub use stages::{STAGES, ScoredLabels, dry_run, score_imported, synonyms};
pub use weights::{cached_files, fetch_descriptions, fetch_model, fetch_tokenizer, hub_settings};
