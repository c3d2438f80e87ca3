//! Where a command's answers and its progress go: a terminal, or the program that called it.

use std::io::{self, Write};

use anyhow::Result;
use headspan_pipeline::Progress;

use crate::progress::Terminal;

/// Writes an answer.
type Answers<'a> = Box<dyn Fn(&str) -> io::Result<()> + 'a>;

/// What a command writes to. Its log goes through `tracing`, whoever called it.
pub struct Console<'a> {
    answers: Answers<'a>,
    progress: Box<dyn Progress + 'a>,
    quiet: bool,
}

impl<'a> Console<'a> {
    /// Answers to stdout, progress to stderr unless only warnings are wanted.
    pub(crate) fn terminal(quiet: bool) -> Self {
        Self { answers: Box::new(to_stdout), progress: Box::new(Terminal { quiet }), quiet }
    }

    /// Answers and progress to functions of a program. A command writes each answer whole, with the end of its last line.
    pub fn of_program(answers: impl Fn(&str) -> io::Result<()> + 'a, progress: impl Progress + 'a) -> Self {
        Self { answers: Box::new(answers), progress: Box::new(progress), quiet: true }
    }

    /// Writes an answer.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        Ok((self.answers)(&format!("{}\n", text.trim_end()))?)
    }

    /// Writes an answer for machines.
    pub(crate) fn print_json(&self, value: &impl serde::Serialize) -> Result<()> {
        self.print(&serde_json::to_string_pretty(value)?)
    }

    /// Who is told of progress.
    pub(crate) fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    /// Whether a terminal is to show no progress.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// A closed pipe (`| head`) is not an error.
fn to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
