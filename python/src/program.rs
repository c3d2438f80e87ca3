//! Commands: the whole program, and one command with progress, log and Ctrl-C as a notebook wants them.

use std::{
    ffi::OsString,
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{RecvTimeoutError, bounded};
use headspan::{CommandError, Console, Kind};
use headspan_pipeline::{Meter, Progress};
use pyo3::prelude::*;

use crate::{
    failure::{OrRaise, input, raised},
    log,
    process::may_compute,
};

/// How often Python is told of progress, and asked whether Ctrl-C was pressed.
const TICK: Duration = Duration::from_millis(100);

/// Runs the command line with its arguments, the first of which is its name, and returns its exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| headspan::main(arguments))
}

/// Where models and scenes of the demo lie, for a folder or an address of runs.
#[pyfunction]
pub(crate) fn built_in_folder(py: Python<'_>, runs: PathBuf) -> PyResult<PathBuf> {
    headspan_pipeline::demo::folder(&runs).or_raise(py)
}

/// Runs one command and returns its answer. `progress` is called with a list of `(number, task, unit, done, total)`, an entry for
/// each task that advanced, and with `total` 0 where a task ended.
#[pyfunction]
#[pyo3(signature = (arguments, progress=None))]
pub(crate) fn call(py: Python<'_>, arguments: Vec<OsString>, progress: Option<Bound<'_, PyAny>>) -> PyResult<String> {
    may_compute(py)?;
    log::keep();
    let shared = Arc::new(Shared::default());
    let (tell, told) = bounded(1);
    let work = {
        let shared = Arc::clone(&shared);
        move || {
            // A panic is a fault of headspan, and must not end a notebook.
            let done = panic::catch_unwind(AssertUnwindSafe(|| run(arguments, &shared)));
            let done = done.unwrap_or_else(|_panic| Err(fault()));
            // Whoever waits has gone only if the process ends.
            drop(tell.send(done));
        }
    };
    let worker = thread::Builder::new().name("headspan".to_owned()).spawn(work);
    worker.map_err(|error| input(py, format!("no thread could be started: {error}")))?;
    let mut interrupted = None;
    let done = loop {
        match py.detach(|| told.recv_timeout(TICK)) {
            Ok(done) => break done,
            Err(RecvTimeoutError::Disconnected) => break Err(fault()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted.is_none() {
            let tick = py.check_signals().and_then(|()| tick(py, &shared, progress.as_ref()));
            if let Err(error) = tick {
                shared.stop.store(true, Ordering::Relaxed);
                interrupted = Some(error);
            }
        }
    };
    if let Some(error) = interrupted {
        return Err(error);
    }
    tick(py, &shared, progress.as_ref())?;
    done.map_err(|error| raised(py, &error))
}

fn run(arguments: Vec<OsString>, shared: &Arc<Shared>) -> Result<String, CommandError> {
    let answers = Mutex::new(String::new());
    let write = |text: &str| {
        answers.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    };
    headspan::call(arguments, &Console::of_program(write, Teller(Arc::clone(shared))))?;
    Ok(answers.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn fault() -> CommandError {
    CommandError {
        message: "headspan failed in a way that it should not".to_owned(),
        hint: Some("please report it with what stands on stderr".to_owned()),
        kind: Kind::Other,
    }
}

/// Hands progress and log over.
fn tick(py: Python<'_>, shared: &Shared, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    log::hand_over(py)?;
    let news = shared.news();
    match progress {
        Some(progress) if !news.is_empty() => progress.call1((news,)).map(drop),
        _ => Ok(()),
    }
}

/// What the worker tells the thread that waits for it.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    begun: usize,
    open: Vec<Task>,
}

struct Task {
    number: usize,
    name: String,
    unit: &'static str,
    done: u64,
    total: u64,
    changed: bool,
    ended: bool,
}

/// Number of the task, what it is, what is counted, how many are done, of how many.
type News = (usize, String, &'static str, u64, u64);

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut Tasks) -> T) -> T {
        change(&mut self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn task(&self, number: usize, change: impl FnOnce(&mut Task)) {
        self.with(|tasks| {
            if let Some(task) = tasks.open.iter_mut().find(|task| task.number == number) {
                task.changed = true;
                change(task);
            }
        });
    }

    fn news(&self) -> Vec<News> {
        self.with(|tasks| {
            let changed = tasks.open.iter_mut().filter(|task| task.changed);
            let mut news: Vec<News> = Vec::new();
            for task in changed {
                task.changed = false;
                news.push((task.number, task.name.clone(), task.unit, task.done, task.total));
                if task.ended {
                    news.push((task.number, task.name.clone(), task.unit, task.done, 0));
                }
            }
            tasks.open.retain(|task| !task.ended);
            news
        })
    }
}

/// Progress of the pipeline, for Python.
struct Teller(Arc<Shared>);

impl Progress for Teller {
    fn begin<'a>(&'a self, task: &str, unit: &'static str) -> Box<dyn Meter + 'a> {
        let number = self.0.with(|tasks| {
            tasks.begun += 1;
            let (number, name) = (tasks.begun, task.to_owned());
            tasks.open.push(Task { number, name, unit, done: 0, total: 0, changed: false, ended: false });
            number
        });
        Box::new(Told { shared: Arc::clone(&self.0), number })
    }
}

struct Told {
    shared: Arc<Shared>,
    number: usize,
}

impl Meter for Told {
    fn report(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.shared.task(self.number, |task| (task.done, task.total) = (done, total));
        if self.shared.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.shared.task(self.number, |task| task.ended = true);
    }
}
