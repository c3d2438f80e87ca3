//! headspan: what each attention head of a CLIP model looks at, and how cleanly.

mod cli;
mod commands;
mod hints;
mod log;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Large blocks are kept and reused: forward passes allocate the same buffers for every batch, and returning them to the
/// system cost a tenth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    start_logging(&cli);
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.downcast_ref::<commands::UsageError>().is_some();
            tracing::error!("{}", hints::report(&error));
            if usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn start_logging(cli: &cli::Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "warn",
        (false, 0) => "headspan=info,warn",
        (false, 1) => "headspan=debug,info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("HEADSPAN_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| log::Log)
        // A log that cannot be written has nowhere to say so.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(cli.verbose > 0)
        .without_time()
        .init();
}
