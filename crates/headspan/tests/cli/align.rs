//! A tower that gets the texts of a CLIP, through the whole program.

use std::{path::Path, process::Command};

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

const IMAGES: usize = 60;

/// A world with a tower of timm beside the CLIP.
fn world(images: usize) -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(images)?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/families/timm-vit");
    fs::create_dir_all(world.path("tower"))?;
    for name in ["config.json", "model.safetensors"] {
        fs::copy(data.join(name), world.path("tower").join(name))?;
    }
    Ok(world)
}

fn align(world: &World, from: &str, to: &str, out: &str) -> Command {
    let mut command = world.bare();
    command.args(["align", "--images", "images", "--device", "cpu", "--from", from, "--to", to, "--out", out]);
    command
}

fn run_all(world: &World, checkpoint: &str) -> Command {
    let mut command = world.command("run-all", "runs");
    command.args([
        "--checkpoint",
        checkpoint,
        "--images",
        "images",
        "--texts",
        "pool.csv",
        "--device",
        "cpu",
        "--k",
        "4",
    ]);
    command
}

fn answer(command: &mut Command) -> Result<Value, Box<dyn std::error::Error>> {
    let output = command.output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn an_aligned_tower_is_a_checkpoint_for_every_command() -> Outcome {
    let world = world(IMAGES)?;
    let found = answer(align(&world, "tower", "tiny", "aligned").arg("--json"))?;
    let figures = &found["figures"];
    let count = |key: &str| figures[key].as_u64().unwrap_or_default();
    assert_eq!(count("fitted") + count("held_out") + count("skipped"), IMAGES as u64, "{figures}");
    assert!(count("held_out") > 2 && count("candidates") == count("held_out"), "{figures}");
    assert!(figures["r2_fitted"].as_f64() > Some(0.0), "{figures}");
    let mut names: Vec<_> = fs::read_dir(world.path("aligned"))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_, std::io::Error>>()?;
    names.sort();
    assert_eq!(names, ["alignment.json", "map.safetensors"]);
    stderr_of(&run_all(&world, "aligned").output()?, 0);
    let states = world.states("runs", &["--k", "4"])?;
    assert!(states.len() == 5 && states.values().all(|state| state == "done"), "{states:?}");
    for words in [
        &["neighbours", "aligned", "--heads", "L2.H1", "--text", "a red cat"][..],
        &["segment", "aligned", "--image", "even/00002.png", "--text", "a cat", "--heads", "L2.H0"],
    ] {
        let mut command = world.bare();
        command.arg("query").args(words).args(["--dataset", "toy", "--device", "cpu"]);
        stderr_of(&command.output()?, 0);
    }
    let mut export = world.command("export", "runs");
    export.args(["--model", "aligned", "--heads", "L2.H1", "--out", "c.npy"]);
    stderr_of(&export.output()?, 0);
    // Contributions are as long as CLIP's representation, not as the tower's.
    let header = fs::read(world.path("c.npy"))?;
    assert!(String::from_utf8_lossy(&header[..128]).contains(&format!("({IMAGES}, 12)")));
    Ok(())
}

/// A CLIP aligned to itself: the map is the identity, as far as images tell.
#[test]
fn a_clip_is_found_again_by_itself() -> Outcome {
    let world = world(IMAGES)?;
    let found = answer(align(&world, "tiny", "tiny", "aligned").args(["--held-out", "0.3", "--json"]))?;
    let figure = |key: &str| found["figures"][key].as_f64().unwrap_or_default();
    // Images fill all twelve directions, and the smallest penalty takes a millionth of what is explained.
    assert!(figure("r2") > 0.999 && figure("cosine") > 0.999, "{found}");
    assert!((figure("top1") - 1.0).abs() < 1e-9 && figure("chance1") < 0.2, "{found}");
    Ok(())
}

#[test]
fn the_run_depends_on_the_map_and_changed_files_are_refused() -> Outcome {
    let world = world(IMAGES)?;
    let mut command = align(&world, "tower", "tiny", "aligned");
    let table = String::from_utf8(command.output()?.stdout)?;
    assert!(table.contains("R² of held-out images") && table.contains("own image first among"), "{table}");
    let fingerprint = |world: &World| -> Result<String, Box<dyn std::error::Error>> {
        let text = fs::read_to_string(world.path("aligned/alignment.json"))?;
        let value: Value = serde_json::from_str(&text)?;
        Ok(value["fingerprint"].as_str().unwrap_or_default().to_owned())
    };
    stderr_of(&run_all(&world, "aligned").output()?, 0);
    let record = world.path("runs/toy/aligned/stages/images.json");
    let checkpoint = |text: &str| -> Result<Value, serde_json::Error> {
        Ok(serde_json::from_str::<Value>(text)?["inputs"]["checkpoint"].clone())
    };
    let before = fingerprint(&world)?;
    assert_eq!(checkpoint(&fs::read_to_string(&record)?)?, Value::from(before.clone()));
    // Another share of held-out images is another map.
    stderr_of(&align(&world, "tower", "tiny", "aligned").args(["--held-out", "0.4"]).output()?, 0);
    let after = fingerprint(&world)?;
    assert_ne!(before, after);
    stderr_of(&run_all(&world, "aligned").output()?, 0);
    assert_eq!(checkpoint(&fs::read_to_string(&record)?)?, Value::from(after));
    let said = stderr_of(&run_all(&world, "aligned").arg("--quick-gelu").output()?, 1);
    assert!(said.contains("hint: leave out --architecture"), "{said}");
    let config = world.path("tower/config.json");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, text.replace("0.9", "0.8"))?;
    let said = stderr_of(&run_all(&world, "aligned").output()?, 1);
    assert!(said.contains("the tower of `aligned/alignment.json` is not what it was"), "{said}");
    fs::write(&config, text)?;
    fs::remove_file(world.path("tiny/open_clip_model.safetensors"))?;
    let said = stderr_of(&run_all(&world, "aligned").output()?, 1);
    assert!(said.contains("(weights of the CLIP), which does not exist") && said.contains("hint: "), "{said}");
    Ok(())
}

#[test]
fn what_cannot_be_aligned_is_refused_before_work() -> Outcome {
    let world = world(IMAGES)?;
    let refused = |from: &str, to: &str, flags: &[&str], code: i32| -> Result<String, Box<dyn std::error::Error>> {
        let said = stderr_of(&align(&world, from, to, "out").args(flags).output()?, code);
        assert!(!world.path("out").exists(), "{said}");
        Ok(said)
    };
    for (from, to, flags, code, expected) in [
        ("tiny", "tower", &[][..], 1, "`tower` has no texts"),
        ("towre", "tiny", &[], 1, "did you mean `tower`?"),
        ("tower", "vit-b-32", &[], 2, "did you mean `ViT-B-32`?"),
        ("tower", "ViT-B-32", &[], 2, "stands for several models"),
        ("tower", "ViT-B-32_openai", &[], 1, "headspan fetch ViT-B-32_openai"),
        ("tower", "tiny", &["--limit", "10"], 1, "a map needs 16 images"),
        ("tower", "tiny", &["--held-out", "1"], 2, "above 0 and below 1"),
    ] {
        let said = refused(from, to, flags, code)?;
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = stderr_of(&align(&world, "tower", "tiny", "images").output()?, 1);
    assert!(said.contains("`images` exists and is not an aligned model") && said.contains("--out"), "{said}");
    stderr_of(&align(&world, "tower", "tiny", "aligned").output()?, 0);
    let said = refused("aligned", "tiny", &[], 1)?;
    assert!(said.contains("is an aligned model itself"), "{said}");
    Ok(())
}

#[test]
fn bad_images_are_counted_or_stop_it() -> Outcome {
    let world = world(IMAGES)?;
    fs::write(world.path("images/even/broken.png"), "no picture")?;
    let mut command = align(&world, "tower", "tiny", "aligned");
    let output = command.arg("--json").output()?;
    let said = stderr_of(&output, 0);
    assert!(said.contains("skipped 1 of 61 images") && said.contains("broken.png"), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(found["figures"]["skipped"].as_u64(), Some(1));
    let said = stderr_of(&align(&world, "tower", "tiny", "strict").arg("--strict").output()?, 1);
    assert!(said.contains("broken.png") && !world.path("strict").exists(), "{said}");
    // Nothing half-written is left.
    let left = fs::read_dir(world.path("."))?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert!(left.into_iter().all(|name| !name.contains(".tmp")), "a temporary folder is left");
    Ok(())
}
