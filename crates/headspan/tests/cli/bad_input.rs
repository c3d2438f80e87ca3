use std::{path::Path, process::Command};

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

/// Runs a command that must fail, and returns its stderr.
fn failing(mut command: Command, code: i32) -> Result<String, Box<dyn std::error::Error>> {
    Ok(stderr_of(&command.output()?, code))
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in:\n{message}");
    }
}

#[test]
fn wrong_usage_ends_with_2() -> Outcome {
    let world = World::new(1)?;
    let mut command = world.bare();
    command.args(["run-all", "RN50", "--images", "images"]);
    assert_says(&failing(command, 2)?, &["unknown model `RN50`", "`ViT-B-32`"]);
    let mut command = world.bare();
    command.args(["run-all", "--images", "images"]);
    assert_says(&failing(command, 2)?, &["no model", "--checkpoint"]);
    let mut command = world.bare();
    command.args(["run-all", "--no-such-flag"]);
    assert_says(&failing(command, 2)?, &["--no-such-flag"]);
    Ok(())
}

#[test]
fn checkpoints_that_cannot_be_used() -> Outcome {
    let world = World::new(1)?;
    let weights = world.path("tiny/open_clip_model.safetensors");
    let bytes = fs::read(&weights)?;
    fs::write(&weights, &bytes[..bytes.len() / 2])?;
    assert_says(
        &failing(world.run_all("runs"), 1)?,
        &["open_clip_model.safetensors", "is cut off", "hint: fetch or copy the file again"],
    );
    fs::remove_file(&weights)?;
    assert_says(&failing(world.run_all("runs"), 1)?, &["tiny` has no weights", "open_clip_model.safetensors"]);
    let config = world.path("tiny/open_clip_config.json");
    fs::write(&weights, &bytes)?;
    fs::write(&config, fs::read_to_string(&config)?.replace("\"embed_dim\": 12", "\"embed_dim\": 13"))?;
    let message = failing(world.run_all("runs"), 1)?;
    assert_says(&message, &["`visual.proj` has shape [16, 12], the configuration expects [16, 13]"]);
    let mut command = world.bare();
    command.args(["run-all", "ViT-B-32_openai", "--images", "images"]);
    assert_says(&failing(command, 1)?, &["is not fetched", "hint: run `headspan fetch ViT-B-32_openai`"]);
    fs::rename(world.path("tiny"), world.path("my clip"))?;
    let mut command = world.bare();
    command.args(["run-all", "--checkpoint", "my clip", "--images", "images"]);
    assert_says(
        &failing(command, 1)?,
        &["my clip` cannot be a model's id", "hint: give one: `headspan run-all NAME --checkpoint \"my clip\"`"],
    );
    Ok(())
}

/// Makes the first number of a tensor in a safetensors file one that is none.
fn spoil(weights: &Path, tensor: &str) -> Outcome {
    let mut bytes = fs::read(weights)?;
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let entry = serde_json::from_slice::<Value>(&bytes[8..header])?[tensor].take();
    let start = header + entry["data_offsets"][0].as_u64().ok_or(tensor)? as usize;
    let nan: &[u8] = if entry["dtype"] == "F16" { &[0x00, 0x7e] } else { &[0x00, 0x00, 0xc0, 0x7f] };
    bytes[start..start + nan.len()].copy_from_slice(nan);
    Ok(fs::write(weights, bytes)?)
}

#[test]
fn weights_that_are_not_finite_give_no_figures() -> Outcome {
    for (tensor, says) in [("text_projection", "is not a finite direction"), ("visual.proj", "not finite")] {
        let world = World::new(2)?;
        spoil(&world.path("tiny/open_clip_model.safetensors"), tensor)?;
        assert_says(&failing(world.run_all("runs"), 1)?, &[says, "weights"]);
        let mut command = world.bare();
        command.args(["evaluate", "segmentation", "tiny", "--limit", "2", "--device", "cpu"]);
        assert_says(&failing(command, 1)?, &["is not a finite direction", "weights"]);
    }
    Ok(())
}

#[test]
fn folders_that_hold_nothing() -> Outcome {
    let world = World::new(1)?;
    fs::create_dir_all(world.path("empty"))?;
    let with_images = |name: &str| {
        let mut command = world.command("run-all", "runs");
        command.arg("--checkpoint").arg(world.path("tiny")).arg("--texts").arg(world.path("pool.csv"));
        command.arg("--images").arg(world.path(name)).args(["--device", "cpu"]);
        command
    };
    assert_says(&failing(with_images("empty"), 1)?, &["empty` holds no image", "jpg"]);
    assert_says(&failing(with_images("nowhere"), 1)?, &["nowhere"]);
    fs::write(world.path("empty/a.jpg"), b"")?;
    assert_says(&failing(with_images("empty"), 1)?, &["none of the 1 images could be decoded", "a.jpg"]);
    Ok(())
}

#[test]
fn one_class_only_is_said() -> Outcome {
    let world = World::new(1)?;
    fs::copy(world.path("images/even/00000.png"), world.path("images/even/again.png"))?;
    let log = stderr_of(&world.run_all("runs").output()?, 0);
    assert_says(&log, &["all 2 images have the same class, `even`"]);
    Ok(())
}

#[test]
fn pools_with_bad_lines() -> Outcome {
    let world = World::new(1)?;
    let pool = |text: &str| -> Result<Command, std::io::Error> {
        fs::write(world.path("bad.txt"), text)?;
        let mut command = world.run_all("runs");
        command.env("HEADSPAN__TEXTS__BATCH_SIZE", "4").arg("--config").arg(world.path("pool.toml"));
        Ok(command)
    };
    // The flag of `run_all` names the good pool and would win over a file, so the pool is replaced under its name.
    let replaced = |text: &str| -> Result<String, Box<dyn std::error::Error>> {
        fs::write(world.path("pool.csv"), text)?;
        failing(world.run_all("runs"), 1)
    };
    assert_says(&replaced("text,category\nA cat,animals\n\"\",colors\n")?, &["pool.csv`, line 3", "empty description"]);
    assert_says(&replaced("text,category\nA cat,x\nA dog,x\nA cat,x\n")?, &["line 4", "already stands in line 2"]);
    fs::write(world.path("pool.toml"), "[texts]\nfiel = \"x\"\n")?;
    assert_says(&failing(pool("A cat\n")?, 1)?, &["pool.toml", "fiel"]);
    Ok(())
}

#[test]
fn a_description_longer_than_the_context_is_cut_and_said() -> Outcome {
    let world = World::new(4)?;
    let long = format!("text,category\nA cat,animals\n{},colors\nA dog,animals\n", "red ".repeat(40).trim());
    fs::write(world.path("pool.csv"), long)?;
    let log = stderr_of(&world.run_all("runs").output()?, 0);
    assert_says(&log, &["1 descriptions are longer than the context of 12 tokens"]);
    Ok(())
}

#[test]
fn two_runs_on_one_directory() -> Outcome {
    let world = World::new(2)?;
    let id = headspan_artifacts::RunId::new("toy", "tiny")?;
    let run = headspan_artifacts::RunDirectory::create(&world.path("runs"), &id)?;
    let held = run.lock()?;
    let message = failing(world.run_all("runs"), 1)?;
    assert_says(&message, &["another headspan", &std::process::id().to_string(), "hint: wait for it"]);
    drop(held);
    stderr_of(&world.run_all("runs").output()?, 0);
    Ok(())
}

#[test]
fn a_run_directory_that_cannot_be_written() -> Outcome {
    let world = World::new(2)?;
    // A file where the folder should be: refused for root too, whom permissions do not stop.
    fs::write(world.path("runs"), b"in the way")?;
    assert_says(&failing(world.run_all("runs"), 1)?, &["runs"]);
    Ok(())
}

/// A tmpfs that is too small. Mounting needs rights that a container may not have; then the test says so.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_a_run_that_continues() -> Outcome {
    let world = World::new(60)?;
    let small = world.path("small");
    fs::create_dir_all(&small)?;
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=40k", "tmpfs"]).arg(&small).output();
    if !mount.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a tmpfs cannot be mounted here, so there is no full disk to run on");
        return Ok(());
    }
    let run = || {
        let mut command = world.run_all("small");
        command.env("HEADSPAN__IMAGES__PART_ROWS", "8");
        command
    };
    let message = failing(run(), 1);
    let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&small).status()?;
    let log = if grown.success() { run().output().map(|output| stderr_of(&output, 0)) } else { Ok(String::new()) };
    let artifacts = world.artifacts("small");
    // Unmounted before anything is asserted, or the temporary folder could not be removed.
    Command::new("umount").arg(&small).status()?;
    assert_says(&message?, &["No space left on device"]);
    let log = log?;
    assert!(log.contains("parts were there") || log.contains("images: 60 rows"), "{log}");
    assert!(artifacts?.contains_key("metrics.parquet"));
    Ok(())
}
