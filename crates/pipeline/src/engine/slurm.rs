//! Slurm: shards as a job array by `sbatch`, states from `squeue` and `sacct`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use headspan_artifacts::RunDirectory;

use crate::engine::{Engine, EngineError, TaskState};

#[cfg(test)]
mod tests;

type Result<T, E = EngineError> = std::result::Result<T, E>;

/// How long a program of Slurm may take; its own limits are below that.
const SECONDS: u64 = 120;

/// Seconds before its time limit at which a task is asked to end, unless somebody says otherwise. A batch of images takes seconds.
pub const NOTICE: u32 = 90;

/// The engine.
pub struct Slurm;

impl Engine for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn states(&self, tasks: &[&str]) -> Result<Option<BTreeMap<String, TaskState>>> {
        let jobs: BTreeSet<&str> = tasks.iter().map(|task| task.split('_').next().unwrap_or(task)).collect();
        let jobs = format!("--jobs={}", jobs.into_iter().collect::<Vec<_>>().join(","));
        let arguments = ["--noheader", "--array", "--states=all", "--format=%i|%T|%r", &jobs];
        let queue = match call("squeue", &arguments) {
            Ok(answer) => parse_squeue(&answer),
            Err(EngineError::NoProgram { .. }) => return Ok(None),
            // It says so of a single job that it has forgotten.
            Err(EngineError::Failed { message, .. }) if message.contains("Invalid job id") => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        // The accounts remember longer than the queue, and know exit codes. Many clusters have none.
        let accounts =
            call("sacct", &["--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode", &jobs]);
        let accounts = accounts.inspect_err(|error| tracing::debug!("{error}")).unwrap_or_default();
        let mut states = parse_sacct(&accounts);
        for (task, state) in queue {
            // Of a task that ended the accounts say more.
            if state.is_live() || !states.contains_key(&task) {
                states.insert(task, state);
            }
        }
        Ok(Some(states))
    }
}

/// What each task asks of the cluster, and what it does before headspan starts.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// GPUs of a task: a number, or `TYPE:NUMBER`.
    pub gpus: Option<String>,
    /// Partition.
    pub partition: Option<String>,
    /// Time limit.
    pub time: Option<String>,
    /// Account that pays.
    pub account: Option<String>,
    /// Features that a node must have.
    pub constraint: Option<String>,
    /// Processors of a task.
    pub cpus_per_task: Option<u32>,
    /// Memory of a task.
    pub mem: Option<String>,
    /// Seconds before the time limit at which a task is asked to end; none is [`NOTICE`]. Slurm looks twice a minute, and a task whose
    /// limit is within that is asked at once.
    pub notice: Option<u32>,
    /// Shell script that prepares the environment, absolute.
    pub setup: Option<PathBuf>,
}

impl Resources {
    /// Options of `sbatch` with the environment variables that would override them.
    fn options(&self) -> Vec<(&'static str, &'static str, String)> {
        let options = [
            ("gres", "SBATCH_GRES", self.gpus.as_ref().map(|gpus| format!("gpu:{gpus}"))),
            ("partition", "SBATCH_PARTITION", self.partition.clone()),
            ("time", "SBATCH_TIMELIMIT", self.time.clone()),
            ("account", "SBATCH_ACCOUNT", self.account.clone()),
            ("constraint", "SBATCH_CONSTRAINT", self.constraint.clone()),
            ("cpus-per-task", "SBATCH_CPUS_PER_TASK", self.cpus_per_task.map(|count| count.to_string())),
            ("mem", "SBATCH_MEM_PER_NODE", self.mem.clone()),
        ];
        options.into_iter().filter_map(|(name, variable, value)| Some((name, variable, value?))).collect()
    }
}

/// The scripts of one submission.
#[derive(Debug, Clone, Copy)]
pub struct Scripts<'a> {
    /// The run, at an absolute path or an address.
    pub run: &'a RunDirectory,
    /// Number of the submission.
    pub number: u64,
    /// Folder of scripts and logs, absolute; none is the run's own. A run in a store needs one: Slurm writes logs as files.
    pub logs: Option<&'a Path>,
    /// Folder in which the tasks start, absolute.
    pub folder: &'a Path,
    /// The program `headspan`, absolute.
    pub program: &'a Path,
    /// What each task asks for.
    pub resources: &'a Resources,
}

impl Scripts<'_> {
    /// The script of a job array that extracts some of `count` shards. `arguments` are those of the program, without the shard.
    pub fn shards(&self, shards: &[u64], count: u64, arguments: &[String]) -> Result<String> {
        let head = self.head("extract", &self.shard_log("%a"), &[("array", ranges(shards))])?;
        Ok(format!("{head}{} --shard \"$SLURM_ARRAY_TASK_ID/{count}\"\n", self.command(arguments)?))
    }

    /// The script of what comes after the shards.
    pub fn rest(&self, arguments: &[String]) -> Result<String> {
        let never = ("kill-on-invalid-dep", "yes".to_owned());
        let head = self.head("rest", &format!("rest-{}.log", self.number), &[never])?;
        Ok(format!("{head}{}\n", self.command(arguments)?))
    }

    /// Log of a shard: below the run's folder, or absolute.
    pub fn log_of_shard(&self, shard: u64) -> PathBuf {
        self.log(&self.shard_log(&shard.to_string()))
    }

    /// Log of what comes after the shards: below the run's folder, or absolute.
    pub fn log_of_rest(&self) -> PathBuf {
        self.log(&format!("rest-{}.log", self.number))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.unwrap_or(Path::new("jobs")).join(name)
    }

    /// Where a script is kept: `kind` is `extract` or `rest`.
    pub fn path(&self, kind: &str) -> PathBuf {
        self.logs_folder().join(format!("{kind}-{}.sh", self.number))
    }

    fn logs_folder(&self) -> PathBuf {
        self.logs.map_or_else(|| self.run.jobs_folder(), Path::to_owned)
    }

    fn shard_log(&self, shard: &str) -> String {
        format!("extract-{}.{shard}.log", self.number)
    }

    fn head(&self, kind: &str, log: &str, own: &[(&str, String)]) -> Result<String> {
        let id = self.run.id();
        let folder = text("the folder of logs", &self.logs_folder())?;
        if folder.contains('\\') {
            // Slurm takes a file of a log as it stands where there is one, also the number of the task.
            return Err(script("the folder of logs", &folder, "Slurm has a meaning of its own for backslashes"));
        }
        let mut options = vec![("job-name", format!("headspan-{kind}-{}-{}", id.dataset(), id.model()))];
        options.extend(own.iter().map(|(name, value)| (*name, value.clone())));
        options.push(("chdir", text("the current folder", self.folder)?));
        options.push(("output", format!("{}/{log}", folder.replace('%', "%%"))));
        options.push(("open-mode", "append".to_owned()));
        options.push(("export", "ALL".to_owned()));
        options.push(("signal", format!("B:TERM@{}", self.resources.notice.unwrap_or(NOTICE))));
        options.extend(self.resources.options().into_iter().map(|(name, _, value)| (name, value)));
        let mut head = "#!/bin/bash\n# Written by headspan submit slurm.\n".to_owned();
        for (name, value) in options {
            head.push_str(&format!("#SBATCH --{name}={}\n", directive(name, &value)?));
        }
        if let Some(setup) = &self.resources.setup {
            head.push_str(&format!(". {}\n", quoted(&text("the setup file", setup)?)?));
        }
        Ok(head)
    }

    /// `exec`: the signal before the time limit reaches the program itself.
    fn command(&self, arguments: &[String]) -> Result<String> {
        let program = text("the program", self.program)?;
        let words: Result<Vec<String>> = std::iter::once(&program).chain(arguments).map(|word| quoted(word)).collect();
        Ok(format!("exec {}", words?.join(" ")))
    }
}

/// Hands a script to Slurm: the job's number. `after` are jobs that have to succeed before.
pub fn submit(script: &Path, after: &[String], resources: &Resources) -> Result<String> {
    let script = text("the script", script)?;
    let dependency = format!("--dependency=afterok:{}", after.join(":"));
    let mut arguments = vec!["--parsable"];
    if !after.is_empty() {
        arguments.push(&dependency);
    }
    arguments.push(&script);
    // Variables of the user's override what stands in a script, not what was asked of headspan.
    let own =
        ["SBATCH_ARRAY_INX", "SBATCH_EXPORT", "SBATCH_JOB_NAME", "SBATCH_OPEN_MODE", "SBATCH_OUTPUT", "SBATCH_SIGNAL"];
    let asked = resources.options().into_iter().map(|(_, variable, _)| variable);
    let overriding: Vec<&str> = own.into_iter().chain(asked).collect();
    let answer = call_without("sbatch", &arguments, &overriding)?;
    // `4711`, or `4711;cluster`.
    let job = answer.trim().split(';').next().unwrap_or_default().to_owned();
    if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EngineError::Answer { program: "sbatch", answer });
    }
    Ok(job)
}

/// Cancels a job; one that has ended meanwhile stays as it is.
pub fn cancel(job: &str) -> Result<()> {
    call("scancel", &[job]).map(drop)
}

/// What Slurm calls one task of an array.
pub fn task_of(job: &str, shard: u64) -> String {
    format!("{job}_{shard}")
}

/// `0-3,7`, from ascending numbers.
fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let range = |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

fn script(what: &str, value: &str, why: &'static str) -> EngineError {
    EngineError::Script { what: what.to_owned(), value: value.to_owned(), why }
}

fn text(what: &str, path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| script(what, &path.to_string_lossy(), "it is not UTF-8"))
}

/// A value in a line `#SBATCH`: between quotation marks where it is not plain.
fn directive(name: &str, value: &str) -> Result<String> {
    if value.chars().any(char::is_control) {
        return Err(script(&format!("--{name}"), value, "it has a line break or another control character"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A word of a shell.
fn quoted(word: &str) -> Result<String> {
    let quoted = shlex::try_quote(word).map(std::borrow::Cow::into_owned);
    quoted.map_err(|_nul| script("an argument", word, "it has a NUL character"))
}

/// Lines `4711_3|PENDING|Priority`.
fn parse_squeue(answer: &str) -> BTreeMap<String, TaskState> {
    let line = |line: &str| {
        let mut fields = line.trim().split('|');
        let (task, state) = (fields.next()?, fields.next()?);
        Some((task.to_owned(), state_of(state, fields.next().unwrap_or_default())))
    };
    answer.lines().filter_map(line).collect()
}

/// Lines `4711_3|CANCELLED by 1000|0:15`, with the code and the signal that ended the task.
fn parse_sacct(answer: &str) -> BTreeMap<String, TaskState> {
    let line = |line: &str| {
        let mut fields = line.trim().split('|');
        let (task, state) = (fields.next()?, fields.next()?);
        let (code, signal) = fields.next().and_then(|code| code.split_once(':')).unwrap_or(("0", "0"));
        let how = match (code, signal) {
            ("0", "0") => String::new(),
            ("0", signal) => format!("signal {signal}"),
            (code, _) => format!("exit code {code}"),
        };
        Some((task.to_owned(), state_of(state, &how)))
    };
    answer.lines().filter_map(line).collect()
}

fn state_of(state: &str, detail: &str) -> TaskState {
    let detail = Some(detail).filter(|detail| !detail.is_empty() && *detail != "None");
    match state.split_whitespace().next().unwrap_or_default() {
        "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" => {
            TaskState::Queued(detail.map(str::to_owned))
        }
        "RUNNING" | "COMPLETING" | "CONFIGURING" | "RESIZING" | "SIGNALING" | "STAGE_OUT" | "STOPPED" | "SUSPENDED" => {
            TaskState::Running
        }
        _ => TaskState::Ended(detail.map_or_else(|| state.to_owned(), |detail| format!("{state}, {detail}"))),
    }
}

fn call(program: &'static str, arguments: &[&str]) -> Result<String> {
    call_without(program, arguments, &[])
}

/// What a program writes to stdout. Its arguments stand in the list of processes, so they are numbers and paths only.
fn call_without(program: &'static str, arguments: &[&str], variables: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in variables {
        command.env_remove(variable);
    }
    let start = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => EngineError::NoProgram { program },
        _ => EngineError::Start { program, source },
    };
    let mut child = command.spawn().map_err(start)?;
    let (stdout, stderr) = (reader(child.stdout.take()).map_err(start)?, reader(child.stderr.take()).map_err(start)?);
    let status = wait(&mut child, program)?;
    // A reader that failed or panicked has read nothing; the exit status stands.
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    if status.success() {
        return Ok(stdout);
    }
    let message = if stderr.trim().is_empty() { status.to_string() } else { stderr.trim().to_owned() };
    Err(EngineError::Failed { program, message })
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> io::Result<thread::JoinHandle<String>> {
    thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What could not be read is missing in the answer, which is then refused.
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, program: &'static str) -> Result<std::process::ExitStatus> {
    let failed = |source| EngineError::Start { program, source };
    let until = Instant::now() + Duration::from_secs(SECONDS);
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        if Instant::now() > until {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Err(EngineError::Silent { program, seconds: SECONDS });
        }
        thread::sleep(Duration::from_millis(20));
    }
}
