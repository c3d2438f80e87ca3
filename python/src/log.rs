//! The log of the crates, for Python's `logging`.

use std::{
    fmt::{Debug, Write},
    sync::{Mutex, Once, PoisonError},
};

use pyo3::prelude::*;
use tracing::{Event, Level, Subscriber, field::Field};
use tracing_subscriber::{EnvFilter, Layer, layer::Context, prelude::*};

/// A line of the log, until a thread that holds Python's lock hands it over.
struct Line {
    level: Level,
    target: String,
    message: String,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();

/// Keeps the log from now on.
pub(crate) fn keep() {
    STARTED.call_once(|| {
        let filter = EnvFilter::try_from_env("HEADSPAN_LOG").unwrap_or_else(|_| EnvFilter::new("headspan=info,warn"));
        // If another library of the process has the log already, its owner reads it there.
        drop(tracing_subscriber::registry().with(filter).with(Keeper).try_init());
    });
}

/// Hands what was kept to Python's `logging`, one logger a crate: `headspan.pipeline`.
pub(crate) fn hand_over(py: Python<'_>) -> PyResult<()> {
    let lines = std::mem::take(&mut *LINES.lock().unwrap_or_else(PoisonError::into_inner));
    if lines.is_empty() {
        return Ok(());
    }
    let logging = py.import("logging")?;
    for Line { level, target, message } in lines {
        let number = match level {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let crate_name = target.split("::").next().unwrap_or_default().replacen("headspan_", "headspan.", 1);
        logging.call_method1("getLogger", (crate_name,))?.call_method1("log", (number, "%s", message))?;
    }
    Ok(())
}

struct Keeper;

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let (level, target) = (*event.metadata().level(), event.metadata().target().to_owned());
        let line = Line { level, target, message: message.0 };
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The text of an event, then its other fields.
struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = field.name();
        // Writing to a string cannot fail.
        let _written =
            if name == "message" { write!(self.0, "{value:?}") } else { write!(self.0, " {name}={value:?}") };
    }
}
