//! Hands runs to something that schedules machines, and keeps what it was asked for beside their records.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use headspan_artifacts::{RunDirectory, absolute, is_remote, write_atomic};
use headspan_pipeline::{
    ModelChoice, Pipeline, PlannedWork,
    engine::{
        Engine, EngineError, Jobs, ShardCount, ShardTask, Submission, Task, TaskState, Work,
        slurm::{self, Resources, Scripts, Slurm},
        task_states,
    },
};
use serde_json::{Value, json};

use crate::{
    cli::{Again, PipelineArgs, SlurmArgs},
    commands::{
        UsageError, choices,
        place::check_runs,
        registry,
        run::{demo_of, is_demo},
        settings,
    },
    console::Console,
    hints::Hinted,
};

/// What all runs of one call share.
struct Call<'a> {
    arguments: &'a PipelineArgs,
    shards: ShardCount,
    dry_run: bool,
    resources: Resources,
    program: PathBuf,
    folder: PathBuf,
    /// Folder below which each run's scripts and logs have one of their own; none for the folders of the runs.
    logs: Option<PathBuf>,
}

/// What became of one run.
struct Told {
    run: RunDirectory,
    work: Work,
    /// Shards that a task of before has still to do.
    live: Vec<u64>,
    /// Shards that were submitted now, or would be.
    shards: Vec<u64>,
    /// Shards with nothing left to do.
    done: u64,
    array: Option<String>,
    rest: Option<String>,
    /// Why nothing was submitted.
    nothing: Option<&'static str>,
    /// Scripts by their paths.
    scripts: Vec<(PathBuf, String)>,
}

/// Submits what is missing of each model's run.
pub(crate) fn slurm(arguments: &SlurmArgs, console: &Console<'_>) -> Result<()> {
    let common = settings(&arguments.pipeline, None)?;
    check_runs(&common)?;
    let (names, pipeline) = if is_demo(&arguments.models, &common) {
        demo_of(&arguments.pipeline)?
    } else {
        (arguments.models.clone(), arguments.pipeline.clone())
    };
    let call = Call {
        arguments: &pipeline,
        shards: arguments.shards(),
        dry_run: arguments.dry_run,
        resources: arguments.resources()?,
        program: program(arguments.program.as_deref())?,
        folder: std::env::current_dir().context("the current folder cannot be read")?,
        logs: logs(arguments.logs.as_deref(), &common.runs)?,
    };
    let (mut told, mut failed) = (Vec::new(), None);
    for choice in choices(&names, &settings(&pipeline, None)?, &registry(&pipeline.place.configs)?)? {
        match call.submit(&choice, console) {
            Ok(one) => told.push(one),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    // Jobs that were submitted are told, whatever came after them.
    if arguments.json {
        console.print_json(&json!({ "runs": told.iter().map(to_json).collect::<Vec<_>>() }))?;
    } else if !told.is_empty() {
        let lines: Vec<String> = told.iter().map(|one| to_text(one, arguments.dry_run)).collect();
        console.print(&lines.join("\n"))?;
    }
    failed.map_or(Ok(()), Err)
}

impl Call<'_> {
    fn submit(&self, choice: &ModelChoice, console: &Console<'_>) -> Result<Told> {
        let mut own = settings(self.arguments, Some(&choice.id))?;
        own.runs = absolute(&own.runs)?;
        let again = Again::of(self.arguments, &own)?;
        let PlannedWork { run, work, finished } = Pipeline::new(&own, console.progress()).work(choice, self.shards)?;
        // Of two calls at once, the second sees what the first submitted, or is refused.
        let _lock = if self.dry_run { None } else { Some(run.lock_jobs()?) };
        let mut jobs = Jobs::read(&run)?;
        let states = self.states(&jobs)?;
        let live = live_shards(&jobs, &states, &work)?;
        let missing = work.missing(&run)?;
        let shards: Vec<u64> = missing.iter().copied().filter(|shard| !live.contains_key(shard)).collect();
        let rest = jobs.rest().and_then(|task| Some((task.id.clone(), states.get(&task.id)?.clone())));
        let rest = rest.filter(|(_, state)| state.is_live());
        let nothing = match &rest {
            _ if finished => Some("every stage is done"),
            Some((_, TaskState::Running)) => Some("the job that joins the shards is running"),
            Some(_) if shards.is_empty() => Some("all that is missing is queued or running"),
            _ => None,
        };
        let mut told = Told {
            done: work.shards - missing.len() as u64,
            live: live.keys().copied().collect(),
            shards: if nothing.is_some() { Vec::new() } else { shards },
            array: None,
            rest: None,
            nothing,
            scripts: Vec::new(),
            run,
            work,
        };
        if told.nothing.is_none() {
            let number = jobs.last().map_or(1, |last| last.number + 1);
            self.hand_over(&mut told, &mut jobs, number, &again, live.into_values().collect())?;
            if let (Some((old, _)), Some(_)) = (&rest, &told.rest) {
                // It waits for tasks that failed, and the new one waits for all.
                slurm::cancel(old)?;
            }
        }
        Ok(told)
    }

    /// States of all tasks that may still do something. An error where nobody can say: a run must not be submitted twice.
    fn states(&self, jobs: &Jobs) -> Result<BTreeMap<String, TaskState>> {
        match task_states(jobs, &Slurm) {
            Ok(Some(states)) => Ok(states),
            Ok(None) if self.dry_run => Ok(BTreeMap::new()),
            Ok(None) => Err(EngineError::NoProgram { program: "squeue" }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the scripts and submits them. The record is written after each, so that a job that was submitted is known.
    fn hand_over(
        &self,
        told: &mut Told,
        jobs: &mut Jobs,
        number: u64,
        again: &Again,
        mut after: Vec<String>,
    ) -> Result<()> {
        let run = told.run.clone();
        let logs = self.logs.as_ref().map(|logs| logs.join(run.id().dataset()).join(run.id().model()));
        let scripts = Scripts {
            run: &run,
            number,
            logs: logs.as_deref(),
            folder: &self.folder,
            program: &self.program,
            resources: &self.resources,
        };
        let arguments = |command: &str, flags: &[String]| {
            let words = [command.to_owned(), run.id().model().to_owned()];
            words.into_iter().chain(flags.iter().cloned()).collect::<Vec<_>>()
        };
        let mut submission = Submission {
            number,
            engine: Slurm.name().to_owned(),
            submitted_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            work: told.work.clone(),
            shards: Vec::new(),
            rest: None,
        };
        if !told.shards.is_empty() {
            let text = scripts.shards(&told.shards, told.work.shards, &arguments("extract", &again.extract))?;
            told.scripts.push((scripts.path("extract"), text));
        }
        told.scripts.push((scripts.path("rest"), scripts.rest(&arguments("run-all", &again.run_all))?));
        if self.dry_run {
            return Ok(());
        }
        for (path, text) in &told.scripts {
            write_atomic(path, text.as_bytes())?;
        }
        if !told.shards.is_empty() {
            let array = slurm::submit(&scripts.path("extract"), &[], &self.resources)?;
            let task = |shard| Task { id: slurm::task_of(&array, shard), log: scripts.log_of_shard(shard) };
            submission.shards =
                told.shards.iter().map(|shard| ShardTask { shard: *shard, task: task(*shard) }).collect();
            jobs.submissions.push(submission.clone());
            jobs.write(&run).with_context(|| format!("job {array} was submitted and could not be noted"))?;
            jobs.submissions.pop();
            after.push(array.clone());
            told.array = Some(array);
        }
        let rest = slurm::submit(&scripts.path("rest"), &after, &self.resources)?;
        submission.rest = Some(Task { id: rest.clone(), log: scripts.log_of_rest() });
        jobs.submissions.push(submission);
        jobs.write(&run).with_context(|| format!("job {rest} was submitted and could not be noted"))?;
        told.rest = Some(rest);
        Ok(())
    }
}

/// Shards that a task has still to do, with the task. Refuses tasks of another work: they would do other parts, or the same once more.
fn live_shards(jobs: &Jobs, states: &BTreeMap<String, TaskState>, work: &Work) -> Result<BTreeMap<u64, String>> {
    let mut live = BTreeMap::new();
    let mut others = BTreeSet::new();
    for submission in &jobs.submissions {
        for ShardTask { shard, task } in &submission.shards {
            if !states.get(&task.id).is_some_and(TaskState::is_live) {
                continue;
            }
            if submission.work == *work {
                live.insert(*shard, task.id.clone());
            } else {
                others.insert(task.id.clone());
            }
        }
    }
    if others.is_empty() {
        return Ok(live);
    }
    let names = others.into_iter().collect::<Vec<_>>().join(", ");
    let message = format!("tasks with other settings or another number of shards are queued or running: {names}");
    Err(Hinted::new(message, "wait until they end or cancel them, or use the settings and --tasks of before").into())
}

/// Where scripts and logs go: Slurm writes logs as files, so with runs in a store they go to a folder of the disk that all nodes see.
fn logs(named: Option<&Path>, runs: &Path) -> Result<Option<PathBuf>> {
    const FOLDER: &str = "headspan-jobs";
    let folder = match named {
        Some(named) => named,
        None if is_remote(runs) => Path::new(FOLDER),
        None => return Ok(None),
    };
    Ok(Some(std::path::absolute(folder)?))
}

/// The program that tasks run: this one, or the script that called it from Python.
fn program(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        if !named.is_file() {
            return Err(UsageError(format!("--program `{}` is not a file", named.display())).into());
        }
        return Ok(std::path::absolute(named)?);
    }
    let own = std::env::current_exe().context("the path of this program cannot be read")?;
    let in_python = |name: &str| name.starts_with("python") || name.starts_with("pypy");
    if !own.file_name().and_then(OsStr::to_str).is_some_and(in_python) {
        return Ok(own);
    }
    let script = std::env::args_os().map(PathBuf::from).take(3);
    let beside = own.parent().map(|folder| folder.join("headspan"));
    let is_script = |path: &PathBuf| path.file_name().is_some_and(|name| name == "headspan") && path.is_file();
    let Some(found) = script.chain(beside).find(is_script) else {
        return Err(UsageError::hinted("the script `headspan` is not beside Python", "give it as --program PATH"));
    };
    Ok(std::path::absolute(found)?)
}

fn to_json(told: &Told) -> Value {
    let id = told.run.id();
    let scripts: Vec<Value> = told.scripts.iter().map(|(path, text)| json!({ "path": path, "text": text })).collect();
    json!({
        "dataset": id.dataset(),
        "model": id.model(),
        "path": told.run.path(),
        "shards": told.work.shards,
        "done": told.done,
        "live": told.live,
        "submitted": told.shards,
        "array": told.array,
        "rest": told.rest,
        "nothing": told.nothing,
        "scripts": scripts,
    })
}

fn to_text(told: &Told, dry_run: bool) -> String {
    let (model, count, done) = (told.run.id().model(), told.work.shards, told.done);
    let mut facts = vec![format!("{done} of {count} shards done")];
    if !told.live.is_empty() {
        facts.push(format!("{} queued or running", told.live.len()));
    }
    if let Some(nothing) = told.nothing {
        return format!("{model}: nothing to submit: {nothing} ({})", facts.join(", "));
    }
    if dry_run {
        facts.push(format!("{} would be submitted", told.shards.len()));
        let scripts = told.scripts.iter().map(|(path, text)| format!("\n\n# {}\n{}", path.display(), text.trim_end()));
        return format!("{model}: {}{}", facts.join(", "), scripts.collect::<String>());
    }
    if let Some(array) = &told.array {
        facts.push(format!("{} submitted as job {array}", told.shards.len()));
    }
    if let Some(rest) = &told.rest {
        facts.push(format!("the rest as job {rest}"));
    }
    format!("{model}: {}", facts.join(", "))
}
