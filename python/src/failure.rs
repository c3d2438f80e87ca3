//! Errors as Python exceptions.

use std::error::Error;

use headspan::{CommandError, Kind};
use pyo3::{exceptions::PyKeyboardInterrupt, prelude::*};

/// The exception for what went wrong: of the classes in `headspan._errors`, with the message and the hint of the command line.
pub(crate) fn raised(py: Python<'_>, error: &CommandError) -> PyErr {
    let class = match error.kind {
        Kind::Stopped => return PyKeyboardInterrupt::new_err(()),
        Kind::Usage => "InputError",
        Kind::NotFound => "NotFoundError",
        Kind::Other => "HeadspanError",
    };
    let made = py
        .import("headspan._errors")
        .and_then(|errors| errors.getattr(class))
        .and_then(|class| class.call1((&error.message, error.hint.as_deref())));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Results of libraries, whose errors become exceptions.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Error + Send + Sync + 'static> OrRaise<T> for Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &CommandError::of(error)))
    }
}

/// The exception for a value that a function does not take.
pub(crate) fn input(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raised(py, &CommandError { message: message.into(), hint: None, kind: Kind::Usage })
}
