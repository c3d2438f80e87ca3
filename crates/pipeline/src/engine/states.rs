use std::{collections::BTreeMap, fmt};

use headspan_artifacts::RunDirectory;
use serde::Serialize;

use crate::{
    engine::{
        Engine, EngineError,
        jobs::{Jobs, Task, last_line},
    },
    error::Result,
    stages::IMAGES,
};

/// What an engine says of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It waits, for this reason where the engine says one.
    Queued(Option<String>),
    /// It runs.
    Running,
    /// It ended; in the engine's own words how.
    Ended(String),
}

impl TaskState {
    /// Whether it may still do something.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Ended(_))
    }
}

/// State of a shard that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// All its parts are committed and fit.
    Done,
    /// Its task waits.
    Queued,
    /// Its task runs.
    Running,
    /// Its task ended, and parts are missing.
    Failed,
    /// Parts are missing, and nobody here knows about its task.
    Unknown,
}

impl fmt::Display for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

/// How a shard that was submitted is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardStatus {
    /// The shard.
    pub shard: u64,
    /// Its state.
    pub state: ShardState,
    /// Its parts that are committed and fit.
    pub parts_done: u64,
    /// All its parts.
    pub parts: u64,
    /// What the engine calls its last task.
    pub task: Option<String>,
    /// Why it waits, or how it ended, in the engine's words.
    pub reason: Option<String>,
    /// Last line of its log, if it failed.
    pub last_line: Option<String>,
}

/// How the work that was submitted for a run is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobsStatus {
    /// Name of the engine.
    pub engine: String,
    /// Its shards, in order.
    pub shards: Vec<ShardStatus>,
    /// What joins them and does the later stages.
    pub rest: Option<RestStatus>,
}

/// How the task that joins the shards is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestStatus {
    /// What the engine calls it.
    pub task: String,
    /// Its state: done is what the stages of the run say.
    pub state: ShardState,
    /// Why it waits, or how it ended, in the engine's words.
    pub reason: Option<String>,
    /// Last line of its log, if it failed.
    pub last_line: Option<String>,
}

impl JobsStatus {
    /// Shards of a state.
    pub fn count(&self, state: ShardState) -> usize {
        self.shards.iter().filter(|shard| shard.state == state).count()
    }
}

/// The states of all tasks of a record that may still do something or ended lately. None where the engine is not on this machine.
pub fn task_states(jobs: &Jobs, engine: &dyn Engine) -> Result<Option<BTreeMap<String, TaskState>>, EngineError> {
    let shards = jobs.submissions.iter().flat_map(|one| &one.shards).map(|shard| shard.task.id.as_str());
    let rests = jobs.submissions.iter().filter_map(|one| one.rest.as_ref()).map(|task| task.id.as_str());
    let ids: Vec<&str> = shards.chain(rests).collect();
    if ids.is_empty() { Ok(Some(BTreeMap::new())) } else { engine.states(&ids) }
}

/// How a run's jobs are doing: by its parts, and by what the engine says of its tasks (none if it cannot be asked). `finished`:
/// every stage of the run is done.
pub fn jobs_status(
    run: &RunDirectory,
    jobs: &Jobs,
    states: Option<&BTreeMap<String, TaskState>>,
    finished: bool,
) -> Result<Option<JobsStatus>> {
    let Some(last) = jobs.last() else { return Ok(None) };
    let tasks = jobs.tasks();
    // Of a finished run whose extraction is the one that was submitted, the record says it.
    let is_recorded = finished && run.record(IMAGES)?.is_some_and(|record| record.fingerprint == last.work.fingerprint);
    let progress = if is_recorded { last.work.finished() } else { last.work.progress(run)? };
    let shards = progress.into_iter().map(|parts| {
        let task = tasks.get(&parts.shard).copied();
        let (state, reason, line) = judge(run, task, states, parts.is_done());
        ShardStatus {
            shard: parts.shard,
            state,
            parts_done: parts.done,
            parts: parts.total,
            task: task.map(|task| task.id.clone()),
            reason,
            last_line: line,
        }
    });
    let rest = jobs.rest().map(|task| {
        let (state, reason, last_line) = judge(run, Some(task), states, finished);
        RestStatus { task: task.id.clone(), state, reason, last_line }
    });
    Ok(Some(JobsStatus { engine: last.engine.clone(), shards: shards.collect(), rest }))
}

/// State, reason, and the last line of the log of one task.
fn judge(
    run: &RunDirectory,
    task: Option<&Task>,
    states: Option<&BTreeMap<String, TaskState>>,
    done: bool,
) -> (ShardState, Option<String>, Option<String>) {
    if done {
        return (ShardState::Done, None, None);
    }
    let (Some(task), Some(states)) = (task, states) else { return (ShardState::Unknown, None, None) };
    let failed = |reason| (ShardState::Failed, reason, last_line(&run.path().join(&task.log)));
    match states.get(&task.id) {
        Some(TaskState::Queued(reason)) => (ShardState::Queued, reason.clone(), None),
        Some(TaskState::Running) => (ShardState::Running, None, None),
        Some(TaskState::Ended(how)) => failed(Some(how.clone())),
        // The engine forgets a task some time after its end.
        None => failed(None),
    }
}
