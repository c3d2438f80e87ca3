//! Where the log goes.

use std::io::{self, Write};

/// Exit code of a program that the signal of a closed pipe ends, as a shell shows it.
const CLOSED_PIPE: i32 = 128 + 13;

/// stderr. Once nobody reads it any more (`2>&1 | head`), the program ends without a word, as others do. Nothing is lost: what a run
/// has committed stays, and the same command continues it.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        end_if_closed(io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        end_if_closed(io::stderr().flush())
    }
}

fn end_if_closed<T>(written: io::Result<T>) -> io::Result<T> {
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(CLOSED_PIPE);
    }
    written
}
