//! A bound on the memory that Rust allocates. What C libraries take is bounded by libFuzzer's own limit on the whole process.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that one input may take. The decoders of PNG and TIFF may use 64 MiB beside the pixels.
pub const MEMORY: usize = 256 << 20;

/// Runs something within the bound. Beyond it allocations fail, which ends the program.
///
/// # Panics
/// If the bound cannot be set, which is a fault of the harness.
pub fn bounded(run: impl FnOnce()) {
    let limit = ALLOCATOR.allocated().saturating_add(MEMORY);
    assert!(ALLOCATOR.set_limit(limit).is_ok(), "a bound below what is allocated");
    run();
    assert!(ALLOCATOR.set_limit(usize::MAX).is_ok(), "no bound");
}
