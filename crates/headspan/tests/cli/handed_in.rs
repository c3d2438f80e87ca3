//! Checkpoints and texts as people hand them in, through the whole program.

use fs_err as fs;
use headspan_artifacts::{TextRow, read_rows};

use crate::support::{Outcome, World, stderr_of};

/// A world whose weights are another file of the same case.
fn with_weights(file: &str, name: &str) -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(4)?;
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/model/quick-gelu");
    fs::remove_file(world.path("tiny/open_clip_model.safetensors"))?;
    fs::copy(data.join(file), world.path("tiny").join(name))?;
    Ok(world)
}

/// Texts with their embeddings.
type Embedded = Vec<(String, Vec<f32>)>;

/// Embeddings of the run's descriptions by text.
fn embeddings(world: &World) -> Result<Embedded, Box<dyn std::error::Error>> {
    let rows: Vec<TextRow> = read_rows(&world.run_folder("runs").join("texts.parquet"))?;
    Ok(rows.into_iter().map(|row| (row.text, row.embedding)).collect())
}

#[test]
fn a_torchscript_archive_of_any_name_is_a_model() -> Outcome {
    let world = with_weights("torchscript.pt", "ViT-tiny.pt")?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let file = world.path("tiny/ViT-tiny.pt");
    let mut command = world.command("run-all", "other");
    command.arg("--checkpoint").arg(file).arg("--images").arg(world.path("images"));
    command.arg("--texts").arg(world.path("pool.csv")).args(["--device", "cpu", "--k", "4"]);
    stderr_of(&command.output()?, 0);
    assert!(world.path("other/toy/ViT-tiny/metrics.parquet").is_file(), "a file's name gives the id");
    Ok(())
}

#[test]
fn another_image_size_is_interpolated_when_it_is_asked_for() -> Outcome {
    let world = World::new(4)?;
    let said = stderr_of(&world.run_all("runs").args(["--image-size", "40"]).output()?, 0);
    assert!(said.contains("from 3 × 3 patches (image_size 24) to 5 × 5 (image_size 40)"), "{said}");
    // Later questions open the model as it was extracted.
    let mut query = world.bare();
    query.args([
        "query",
        "neighbours",
        "tiny",
        "--dataset",
        "toy",
        "--device",
        "cpu",
        "--heads",
        "L2.H1",
        "--text",
        "a cat",
    ]);
    stderr_of(&query.output()?, 0);
    let states = world.states("runs", &[])?;
    assert!(states["images"] == "done" && states["texts"] == "done", "{states:?}");
    let config = world.path("tiny/open_clip_config.json");
    fs::write(&config, fs::read_to_string(&config)?.replace("\"image_size\": 24", "\"image_size\": 32"))?;
    let said = stderr_of(&world.run_all("other").output()?, 1);
    assert!(said.contains("for images of 24 pixels, the configuration says 32"), "{said}");
    assert!(said.contains("hint: to interpolate them as OpenCLIP does, add `--image-size 32`"), "{said}");
    Ok(())
}

#[test]
fn an_assumed_activation_is_told_until_somebody_says_which() -> Outcome {
    let world = World::new(4)?;
    let config = world.path("tiny/open_clip_config.json");
    fs::write(&config, fs::read_to_string(&config)?.replace("\"quick_gelu\": true,", ""))?;
    let said = stderr_of(&world.run_all("runs").output()?, 0);
    assert!(said.contains("is assumed to be GELU") && said.contains("set `--quick-gelu`"), "{said}");
    let said = stderr_of(&world.run_all("other").arg("--quick-gelu").output()?, 0);
    assert!(!said.contains("assumed"), "{said}");
    let said = stderr_of(&world.run_all("other").arg("--quick-gelu=false").output()?, 0);
    assert!(!said.contains("assumed"), "{said}");
    Ok(())
}

#[test]
fn weights_alone_ask_for_their_architecture() -> Outcome {
    let world = World::new(1)?;
    fs::remove_file(world.path("tiny/open_clip_config.json"))?;
    let said = stderr_of(&world.run_all("runs").output()?, 1);
    assert!(said.contains("has no configuration") && said.contains("`--architecture ViT-B-32`"), "{said}");
    let said = stderr_of(&world.run_all("runs").args(["--architecture", "ViT-B-33"]).output()?, 1);
    assert!(said.contains("unknown architecture `ViT-B-33`") && said.contains("ViT-B-32, "), "{said}");
    fs::remove_file(world.path("tiny/tokenizer.json"))?;
    let said = stderr_of(&world.run_all("runs").args(["--architecture", "ViT-B-32"]).output()?, 1);
    assert!(said.contains("headspan fetch tokenizer"), "{said}");
    let mut command = world.bare();
    command.args(["run-all", "ViT-B-32_openai", "--architecture", "ViT-B-32", "--images", "images"]);
    let said = stderr_of(&command.output()?, 1);
    assert!(said.contains("that of model `ViT-B-32_openai` is known"), "{said}");
    Ok(())
}

#[test]
fn texts_are_cleaned_and_unknown_words_are_named() -> Outcome {
    let world = World::new(4)?;
    fs::write(
        world.path("pool.csv"),
        "text,category\nthe cat&amp;dog,x\nthe cat&dog,x\nthe ｃａｔ,x\nthe cat,x\nthe zebra,y\n",
    )?;
    let said = stderr_of(&world.run_all("runs").output()?, 0);
    assert!(said.contains("3 of 5 descriptions have words") && said.contains("\"the zebra\""), "{said}");
    let found = embeddings(&world)?;
    assert_eq!(found[0].1, found[1].1);
    assert_eq!(found[2].1, found[3].1);
    assert_ne!(found[1].1, found[3].1);
    Ok(())
}
