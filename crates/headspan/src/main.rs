//! The program `headspan`. All of it is in the library of this crate, which the Python module calls too.

use std::process::ExitCode;

/// Large blocks are kept and reused: forward passes allocate the same buffers for every batch, and returning them to the
/// system cost a tenth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    headspan::main(std::env::args_os()).into()
}
