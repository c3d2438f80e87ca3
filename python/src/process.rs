//! The process that the module computes in.

use std::sync::OnceLock;

use headspan::{CommandError, Kind};
use pyo3::prelude::*;

use crate::failure::raised;

/// The process that first computed. Its threads are not there in a process that was forked from it.
static FIRST: OnceLock<u32> = OnceLock::new();

/// Refuses to compute in a process that was forked from one that had computed: the threads that would do the work stayed behind, and
/// the call would wait for them without end.
pub(crate) fn may_compute(py: Python<'_>) -> PyResult<()> {
    let own = std::process::id();
    if *FIRST.get_or_init(|| own) == own {
        return Ok(());
    }
    let error = CommandError {
        message: "this process was forked from one that had used headspan already".to_owned(),
        hint: Some("start it with the method \"spawn\", or use headspan in the workers alone".to_owned()),
        kind: Kind::Other,
    };
    Err(raised(py, &error))
}
