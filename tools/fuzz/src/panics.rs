//! Which panics are findings. The crates catch those of decoders, and an image or a table is refused then: this is by design. A panic
//! in their own code is a fault, caught or not.

use std::{
    collections::BTreeSet,
    panic::{PanicHookInfo, set_hook},
    path::Path,
    process::abort,
    sync::{Mutex, PoisonError},
};

const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates");

/// Watches panics from now on.
pub fn watch() {
    let own = fs_err::canonicalize(OWN).unwrap_or_else(|_moved| OWN.into());
    let told: Mutex<BTreeSet<String>> = Mutex::default();
    set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let is_own = info.location().is_some_and(|location| is_below(&own, Path::new(location.file())));
        if is_own || told.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone()) {
            eprintln!("panic at {place}: {}", message(info));
        }
        if is_own {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
            abort();
        }
    }));
}

fn is_below(folder: &Path, file: &Path) -> bool {
    file.starts_with(folder)
        || file.starts_with("crates")
        || fs_err::canonicalize(file).is_ok_and(|file| file.starts_with(folder))
}

fn message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("a value")
}
