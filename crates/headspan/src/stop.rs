//! The signal that asks a run to end: what is committed stays, and the same command continues it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a run that was asked to stop, `EX_TEMPFAIL` of sysexits.h: not done, worth another try.
pub(crate) const STOPPED: u8 = 75;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether a signal asked the program to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// From now on SIGTERM asks the work to stop at its next report of progress. A second signal, some seconds later, ends the program.
#[cfg(unix)]
pub(crate) fn listen() {
    use std::time::{Duration, Instant};

    use signal_hook::{consts::SIGTERM, iterator::Signals};

    /// Job schedulers send a signal to a process more than once within moments.
    const SAME: Duration = Duration::from_secs(5);

    let mut signals = match Signals::new([SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!("SIGTERM will end the program at once: {error}");
            return;
        }
    };
    let heed = move || {
        let mut first: Option<Instant> = None;
        for _signal in signals.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    ASKED.store(true, Ordering::Relaxed);
                    tracing::warn!("asked to stop (SIGTERM): ending after this batch");
                }
                Some(first) if first.elapsed() < SAME => {}
                Some(_) => std::process::exit(STOPPED.into()),
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("signals".to_owned()).spawn(heed) {
        tracing::warn!("SIGTERM will not end the program: {error}");
    }
}

/// Other systems have no such signal.
#[cfg(not(unix))]
pub(crate) fn listen() {}
