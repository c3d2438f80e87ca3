//! Heads scaled in the forward pass, and checkpoints with heads scaled.

use std::path::Path;

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

const IMAGES: usize = 48;

fn world() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(IMAGES)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    Ok(world)
}

fn pruned(world: &World, flags: &[&str]) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let output = world.command("prune", "runs").arg("tiny").args(flags).args(["--device", "cpu", "--json"]).output()?;
    stderr_of(&output, 0);
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    Ok(answer["pruned"].as_array().ok_or("no rows")?.clone())
}

fn all(rows: &[Value], accuracy: &str) -> Option<f64> {
    rows.iter().find(|row| row["scope"] == "all")?[accuracy].as_f64()
}

#[test]
fn a_factor_of_one_changes_nothing_and_random_heads_stand_beside() -> Outcome {
    let world = world()?;
    let rows = pruned(&world, &["--heads", "L0.H0,L1.H1", "--factor", "1", "--random", "2"])?;
    for row in &rows {
        assert_eq!(row["accuracy_before"], row["accuracy_after"], "{row}");
        assert_eq!(row["heads"].as_u64(), Some(2));
    }
    let targets: Vec<&str> = rows.iter().filter_map(|row| row["target"].as_str()).collect();
    assert_eq!(targets.iter().filter(|target| target.starts_with("random, as many as")).count(), 3);
    let some = pruned(&world, &["--heads", "L0", "--limit", "10"])?;
    assert_eq!(some[0]["n"].as_u64(), Some(10));
    assert!(fs::read(world.run_folder("runs").join("pruning.parquet"))?.starts_with(b"PAR1"));
    Ok(())
}

#[test]
fn a_saved_checkpoint_is_the_model_that_was_judged() -> Outcome {
    let world = world()?;
    let saved = world.path("pruned");
    let rows = pruned(&world, &["--heads", "L0,L1,L2.H1", "--save", saved.to_str().ok_or("not UTF-8")?])?;
    let after = all(&rows, "accuracy_after").ok_or("no accuracy")?;
    let mut command = world.command("run-all", "runs");
    command.arg("--checkpoint").arg(&saved).arg("--images").arg(world.path("images"));
    command.arg("--texts").arg(world.path("pool.csv")).args(["--device", "cpu", "--k", "4"]);
    stderr_of(&command.output()?, 0);
    let output = world.command("zeroshot", "runs").args(["pruned", "--json"]).output()?;
    stderr_of(&output, 0);
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let own = answer["accuracy"].as_array().and_then(|rows| all(rows, "accuracy"));
    assert_eq!(own, Some(after), "{rows:?}");
    Ok(())
}

#[test]
fn each_head_may_have_a_factor_and_a_file_says_which() -> Outcome {
    let world = world()?;
    let (file, saved) = (world.path("heads.csv"), world.path("steered"));
    fs::write(&file, "head,factor\nL0.H1,2\nL2.H0,-0.5\n")?;
    let steer = || {
        let mut command = world.command("prune", "runs");
        command.arg("tiny").arg("--scales").arg(&file).arg("--save").arg(&saved);
        command
    };
    stderr_of(&steer().output()?, 0);
    let output = world.bare().args(["inspect", "--json"]).arg(&saved).output()?;
    stderr_of(&output, 0);
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(answer["usable"].as_bool(), Some(true));
    let again = world.path("steered-without-a-run");
    let mut command = world.command("prune", "no-runs-here");
    command.arg("--checkpoint").arg(world.path("tiny")).arg("--scales").arg(&file).arg("--save").arg(&again);
    stderr_of(&command.output()?, 0);
    let weights = |folder: &Path| fs::read(folder.join("open_clip_model.safetensors"));
    assert!(weights(&saved)? == weights(&again)?, "the run's checkpoint and the folder's are one");
    for (text, expected) in [
        ("L0.H1,2\nL0.H1,3\n", "L0.H1 stands there twice"),
        ("L0.H1;2\n", "row 1: `L0.H1;2` is not `head,factor`"),
        ("L0.H9,1\n", "L0.H9 cannot be scaled by 1"),
        ("head,factor\n", "names no head"),
    ] {
        fs::write(&file, text)?;
        let output = steer().output()?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains(expected), "{expected}: {log}");
    }
    let output = world.command("prune", "runs").arg("tiny").output()?;
    assert!(stderr_of(&output, 2).contains("no heads"));
    Ok(())
}
