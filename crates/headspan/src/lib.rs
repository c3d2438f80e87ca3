//! The command line of headspan: flags, hints, progress and exit codes.
//!
//! [`main`] is the whole program. [`call`] runs one command for another program, such as the Python module: answers and progress
//! go to a [`Console`], and what goes wrong comes back as a [`CommandError`] with the hint that a terminal would show.
//! [`open_run`] opens a finished run with the settings that a command would have.
//!
//! Everything that a command does is in the crates below, above all `headspan-pipeline`. Only the Python module uses this crate.

mod cli;
mod commands;
mod console;
mod failure;
mod hints;
mod log;
mod open;
mod progress;
mod stop;

use std::ffi::OsString;

use clap::Parser;
use tracing_subscriber::EnvFilter;

pub use console::Console;
pub use failure::{CommandError, Kind};
pub use open::{RunSources, open_run};

/// Runs the program with its arguments, the first of which is its name, and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(shown) => {
            // Help that cannot be written has nowhere to say so.
            let _unwritten = shown.print();
            return shown.exit_code().try_into().unwrap_or(2);
        }
    };
    start_logging(&cli);
    if matches!(cli.command, cli::Command::RunAll { .. } | cli::Command::Extract(_)) {
        stop::listen();
    }
    match commands::run(cli.command, &Console::terminal(cli.quiet)) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{}", hints::report(&error));
            failure::exit_code(&error)
        }
    }
}

/// Runs one command, such as `["status", "--json"]`, for a program that has its own log.
///
/// # Errors
///
/// Everything that would end the program with an exit code other than 0.
pub fn call(arguments: impl IntoIterator<Item = OsString>, console: &Console<'_>) -> Result<(), CommandError> {
    let named = std::iter::once(OsString::from("headspan")).chain(arguments);
    let cli = cli::Cli::try_parse_from(named).map_err(|error| CommandError::of_arguments(&error))?;
    commands::run(cli.command, console).map_err(|error| CommandError::new(&error))
}

fn start_logging(cli: &cli::Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "warn",
        (false, 0) => "headspan=info,warn",
        (false, 1) => "headspan=debug,info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("HEADSPAN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| log::Log)
        // A log that cannot be written has nowhere to say so.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(cli.verbose > 0)
        .without_time()
        .try_init();
    // A program that calls this may have a log already, which then has these lines.
    drop(started);
}
