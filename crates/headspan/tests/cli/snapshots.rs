//! What a person reads: stdout, stderr and exit code of the commands, as snapshots.

use std::process::Command;

use crate::support::{Outcome, World, stderr_of};

/// Runs a command and writes down all that it says, with what changes from run to run (folders, times, rates, versions)
/// replaced by names.
fn transcript(world: &World, mut command: Command) -> Result<String, Box<dyn std::error::Error>> {
    let output = command.env("NO_COLOR", "1").env("COLUMNS", "110").output()?;
    let text = format!(
        "exit code: {}\n--- stdout ---\n{}--- stderr ---\n{}",
        output.status.code().ok_or("ended by a signal")?,
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?
    );
    let folder = world.path("");
    Ok(text.replace(folder.to_str().ok_or("a folder in UTF-8")?, "[world]/"))
}

/// Compares with `snapshots/cli__snapshots__NAME.snap`.
fn compare(name: &str, text: &str) {
    // Tables are as wide as their widest cell, so lines and gaps are cut to one width as well.
    insta::with_settings!({ filters => [
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[time]"),
        (r"\b\d+(\.\d+)? (µs|ms|s|min|h)\b", "[duration]"),
        (r"\b\d+(\.\d+)? a second", "[rate]"),
        (r"\b\d+ % of it in", "[share] of it in"),
        (r"\b\d+(\.\d+)? (B|kB|MB)\b", "[bytes]"),
        (r"\d\.\d+e-\d+", "[error]"),
        (r"process \d+", "process [pid]"),
        (r"(/[\w/]+)?\.tmp\w{6}\b", "[world]"),
        (r"─{2,}", "──"),
        (r"═{2,}", "══"),
        (r"(\S) {3,}", "$1   "),
    ] }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn help() -> Outcome {
    let world = World::new(0)?;
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_run_all", &["run-all", "--help"]),
        ("help_compare", &["compare", "--help"]),
        ("help_explore", &["explore", "--help"]),
        ("help_neighbours", &["query", "neighbours", "--help"]),
        ("help_status", &["status", "--help"]),
        ("help_label", &["label", "--help"]),
        ("help_report", &["report", "--help"]),
    ] {
        let mut command = world.bare();
        command.args(arguments);
        compare(name, &transcript(&world, command)?);
    }
    Ok(())
}

#[test]
fn the_models_and_wrong_usage() -> Outcome {
    let world = World::new(0)?;
    for (name, arguments) in [
        ("models", &["models"][..]),
        ("unknown_model", &["run-all", "RN50", "--images", "images"]),
        ("misspelt_model", &["run-all", "vit-b-32", "--images", "images"]),
        ("no_texts", &["run-all", "--k", "0", "--images", "images"]),
        ("no_such_folder", &["run-all", "ViT-L-14", "--images", "imgs"]),
        ("unknown_flag", &["run-all", "--imags", "images"]),
        ("no_command", &[]),
    ] {
        let mut command = world.bare();
        command.args(arguments);
        compare(name, &transcript(&world, command)?);
    }
    Ok(())
}

#[test]
fn a_run_from_plan_to_comparison() -> Outcome {
    let world = World::new(6)?;
    fs_err::write(world.path("images/even/cut.png"), b"\x89PNG\r\n\x1a\n")?;
    let mut plan = world.run_all("runs");
    plan = renamed(&world, &plan, "plan");
    compare("plan", &transcript(&world, plan)?);
    compare("run_all", &transcript(&world, world.run_all("runs"))?);
    compare("run_all_again", &transcript(&world, world.run_all("runs"))?);
    let mut status = world.command("status", "runs");
    status.args(["--k", "4"]);
    compare("status", &transcript(&world, status)?);
    compare("compare", &transcript(&world, world.command("compare", "runs"))?);
    compare(
        "strict",
        &transcript(&world, {
            let mut strict = world.run_all("strict");
            strict.arg("--strict");
            strict
        })?,
    );
    Ok(())
}

#[test]
fn runs_that_were_made_differently_are_compared() -> Outcome {
    let world = World::new(6)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    fs_err::write(world.path("other.csv"), "text,category\nA red cat,colors\nTwo dog,counting\nThe big tree,size\n")?;
    let mut other = world.run_all("runs");
    other.arg("second").env("HEADSPAN__TEXTSPAN__RANK", "5").env("HEADSPAN__IMAGES__LAYERS", "last:2");
    // The later of two flags would be refused, so the pool of the first is replaced.
    fs_err::copy(world.path("other.csv"), world.path("pool.csv"))?;
    stderr_of(&other.output()?, 0);
    compare("compare_differently_made", &transcript(&world, world.command("compare", "runs"))?);
    let mut json = world.command("compare", "runs");
    json.args(["--json", "--quiet"]);
    compare("compare_json", &transcript(&world, json)?);
    let page = fs_err::read_to_string(world.path("runs/toy/comparison.html"))?;
    for says in ["Compare with care: the figures are of different pools", "28 of", "3 of", "Made with"] {
        assert!(page.contains(says), "{says}");
    }
    Ok(())
}

/// The same flags under another command.
fn renamed(world: &World, command: &Command, name: &str) -> Command {
    let mut other = world.bare();
    other.arg(name).args(command.get_args().skip(1));
    other
}

#[test]
fn settings_that_are_wrong() -> Outcome {
    let world = World::new(1)?;
    fs_err::write(world.path("sweep.toml"), "[textspan]\nrnk = 60\n")?;
    let mut command = world.run_all("runs");
    command.arg("--config").arg(world.path("sweep.toml"));
    compare("unknown_key", &transcript(&world, command)?);
    let mut command = world.run_all("runs");
    command.env("HEADSPAN__TEXTSPAN__RNK", "60");
    compare("unknown_variable", &transcript(&world, command)?);
    for (name, text) in [
        ("no_rows", "[images]\npart_rows = 0\n"),
        ("no_share", "[metrics.scores]\nconfidence = 1.5\n"),
        ("no_time", "[label.openai]\ntimeout_secs = -1.0\n"),
        ("no_k", "[textspan]\ntexts = 0\n"),
        ("flag_as_key", "k = 10\n"),
    ] {
        fs_err::write(world.path("sweep.toml"), text)?;
        let mut command = world.run_all("runs");
        command.arg("--config").arg(world.path("sweep.toml"));
        compare(name, &transcript(&world, command)?);
    }
    Ok(())
}
