//! Hands runs to Ray, whose programs are Python: the package's function `submit` does it, and this calls it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    cli::RayArgs,
    commands::{UsageError, settings},
    console::Console,
    hints::Hinted,
};

/// Variable that hands the call over. Other users of the machine can read the arguments of a process, and not its environment.
const CALL: &str = "HEADSPAN_SUBMIT";
const MODULE: &str = "headspan._engines.command";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs what is missing of each model's run on a Ray cluster.
pub(crate) fn ray(arguments: &RayArgs, console: &Console<'_>) -> Result<()> {
    // What is wrong with the settings is said without Python.
    settings(&arguments.pipeline, None)?;
    let python = python(arguments.python.as_deref())?;
    check(&python)?;
    let call = json!({ "arguments": arguments.call()?, "json": arguments.json, "quiet": console.is_quiet() });
    let mut command = Command::new(&python);
    command.args(["-m", MODULE]).env(CALL, call.to_string());
    become_of(&mut command).with_context(|| format!("`{}` cannot be run", python.display()))
}

/// The Python that runs this program, or that of the path.
fn python(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let own = std::env::current_exe().context("the path of this program cannot be read")?;
    let is_python = own.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("python"));
    // Python finds its virtual environment by the name that it was called by, not by the file behind it.
    let called = std::env::args_os().next().filter(|_called| is_python);
    Ok(called.map_or_else(|| PathBuf::from("python3"), PathBuf::from))
}

/// Refuses a Python without the package, or with another version of it.
fn check(python: &Path) -> Result<()> {
    let hint = format!(
        "install the wheel of headspan {VERSION} with Ray (`pip install headspan-*.whl \"ray[default]\"`), and name its Python by --python"
    );
    let asked = Command::new(python)
        .args(["-c", "import headspan; print(headspan.__version__)"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Hinted::new(format!("`{}` cannot be run: {error}", python.display()), hint.clone()))?;
    let (said, complaint) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    if !asked.status.success() {
        let why = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
        let message = format!("`{}` does not have the package headspan: {why}", python.display());
        return Err(UsageError::hinted(message, hint));
    }
    if said.trim() != VERSION {
        let message = format!("`{}` has headspan {}, and this is {VERSION}", python.display(), said.trim());
        return Err(UsageError::hinted(message, hint));
    }
    Ok(())
}

/// Goes on as the other program, so that signals and the exit code are its own. Returns only if that is impossible.
#[cfg(unix)]
fn become_of(command: &mut Command) -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;

    Err(command.exec())
}

#[cfg(not(unix))]
fn become_of(command: &mut Command) -> std::io::Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1))
}
