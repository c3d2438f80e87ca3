//! The part of `status` about shards that were submitted.

use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::Cell;
use headspan_artifacts::{RunDirectory, StageState};
use headspan_pipeline::{
    StageStatus,
    engine::{Jobs, JobsStatus, ShardState, TaskState, engine, jobs_status, task_states},
};

use crate::hints::report;

/// Most failed shards that have a line of their own in the table; `--json` has all.
const SHOWN: usize = 10;

/// The jobs of a run, with what the engine says of their tasks (none if it cannot be asked, or need not).
pub(super) struct Asked {
    jobs: Jobs,
    states: Option<BTreeMap<String, TaskState>>,
}

impl Asked {
    /// Asks for the jobs of a run; none if nothing was submitted.
    pub(super) fn of(run: &RunDirectory, stages: &[StageStatus]) -> Result<Option<Self>> {
        let jobs = Jobs::read(run)?;
        let Some(last) = jobs.last() else { return Ok(None) };
        // Of a finished run there is nothing to ask.
        let engine = engine(&last.engine).filter(|_| !is_finished(stages));
        let states = match engine.map(|engine| task_states(&jobs, engine)) {
            Some(Ok(states)) => states,
            Some(Err(error)) => {
                tracing::warn!("{}", report(&error.into()));
                None
            }
            None => None,
        };
        Ok(Some(Self { jobs, states }))
    }

    /// Whether a task has ended. If so, it may have done its work after somebody looked at the run.
    pub(super) fn has_ended(&self) -> bool {
        self.states.iter().flatten().any(|(_task, state)| matches!(state, TaskState::Ended(_)))
    }

    /// How they are doing, by a run that was looked at since.
    pub(super) fn status(&self, run: &RunDirectory, stages: &[StageStatus]) -> Result<Option<JobsStatus>> {
        Ok(jobs_status(run, &self.jobs, self.states.as_ref(), is_finished(stages))?)
    }
}

fn is_finished(stages: &[StageStatus]) -> bool {
    stages.iter().all(|stage| stage.state == StageState::Done)
}

/// Whether there is anything to say of them that the stages do not.
fn is_over(jobs: &JobsStatus) -> bool {
    let rest_done = jobs.rest.as_ref().is_none_or(|rest| rest.state == ShardState::Done);
    rest_done && jobs.count(ShardState::Done) == jobs.shards.len()
}

/// Lines of the table: what stands in the column of stages, the state, and a sentence.
pub(super) fn lines(jobs: &JobsStatus) -> Vec<(String, Cell, String)> {
    use ShardState::{Done, Failed, Queued, Running, Unknown};
    if is_over(jobs) {
        return Vec::new();
    }
    // The first that there are is the state of all.
    let order = [Failed, Running, Queued, Unknown, Done];
    let overall = order.into_iter().find(|state| jobs.count(*state) > 0).unwrap_or(Done);
    let counts: Vec<String> = [Done, Running, Queued, Failed, Unknown]
        .into_iter()
        .filter(|state| jobs.count(*state) > 0)
        .map(|state| format!("{} {state}", jobs.count(state)))
        .collect();
    let all = format!("{} of {} ({})", counts.join(", "), jobs.shards.len(), jobs.engine);
    let mut lines = vec![("shards".to_owned(), Cell::new(overall), all)];
    let failed = jobs.shards.iter().filter(|shard| shard.state == Failed);
    for shard in failed.clone().take(SHOWN) {
        let parts = format!("{} of {} parts", shard.parts_done, shard.parts);
        let task = shard.task.as_ref().map(|task| format!("job {task}"));
        let why = [task, shard.reason.clone(), Some(parts), shard.last_line.clone()];
        let why = why.into_iter().flatten().collect::<Vec<_>>().join("; ");
        lines.push((format!("shard {}", shard.shard), Cell::new(shard.state), why));
    }
    let more = failed.count().saturating_sub(SHOWN);
    if more > 0 {
        lines.push((String::new(), Cell::new(Failed), format!("{more} more shards; --json has all")));
    }
    if let Some(rest) = &jobs.rest {
        let why = [Some(format!("job {}", rest.task)), rest.reason.clone(), rest.last_line.clone()];
        let why = why.into_iter().flatten().collect::<Vec<_>>().join("; ");
        lines.push(("rest".to_owned(), Cell::new(rest.state), why));
    }
    lines
}
