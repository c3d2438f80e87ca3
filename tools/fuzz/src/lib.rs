//! What the fuzz targets share: a bound on memory, a rule for panics, a file to hand in.
//!
//! A target is a file in `targets/` with one function from bytes to nothing, given to [`target!`]. A finding is a panic that reaches
//! the target, a panic in the project's own crates even if they catch it, memory beyond [`MEMORY`], or a run beyond the time that
//! `run.sh` allows.

mod memory;
mod panics;
mod scratch;

pub use libfuzzer_sys;
pub use memory::{MEMORY, bounded};
pub use panics::watch;
pub use scratch::file;

/// Makes a function of bytes the target of this program.
#[macro_export]
macro_rules! target {
    ($run:path) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::watch(), |bytes| $crate::bounded(|| $run(bytes)));
    };
}
