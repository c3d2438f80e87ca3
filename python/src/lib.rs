//! The Python module `headspan._native`, over the pipeline, the analyses and the command line.
//!
//! Python's side (`python/headspan`) gives it names, types, documentation and pictures; here is only what needs Rust:
//!
//! - `program`: the whole command line, and single commands with progress, log and Ctrl-C;
//! - `handed`: images that Python has, for the pipeline;
//! - `run`: a finished run, asked in memory;
//! - `table` and `numbers`: results that Python reads without a copy, through the Arrow C stream and the array interface;
//! - `failure`: errors as Python exceptions, with the words and hints of the command line.
//!
//! No other crate uses it.

#![expect(clippy::needless_pass_by_value, reason = "Python hands arguments over by value")]

mod answers;
mod failure;
mod handed;
mod log;
mod numbers;
mod picture;
mod process;
mod program;
mod run;
mod table;

use pyo3::prelude::*;

/// As the program itself: large blocks are kept and reused.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `headspan` is made of; import that instead.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(program::main, module)?)?;
    module.add_function(wrap_pyfunction!(program::call, module)?)?;
    module.add_function(wrap_pyfunction!(program::built_in_folder, module)?)?;
    module.add_function(wrap_pyfunction!(handed::hand_over, module)?)?;
    module.add_function(wrap_pyfunction!(handed::take_back, module)?)?;
    module.add_function(wrap_pyfunction!(table::read_table, module)?)?;
    module.add_class::<run::Run>()?;
    module.add_class::<table::Table>()?;
    module.add_class::<numbers::Numbers>()?;
    Ok(())
}
