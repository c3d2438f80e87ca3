//! The first command of the README: the whole pipeline on the built-in models and rendered scenes, with nothing given.

use fs_err as fs;

use crate::support::{Outcome, World, stderr_of};

const MODELS: [&str; 2] = ["scenes-4", "scenes-6"];

#[test]
fn the_demo_runs_from_nothing_and_is_held_against_the_truth() -> Outcome {
    let world = World::new(0)?;
    let mut command = world.bare();
    command.arg("run-all").env_remove("HEADSPAN__TEXTS__CATEGORIES").env("HF_ENDPOINT", "http://127.0.0.1:9");
    let output = command.output()?;
    stderr_of(&output, 0);
    let printed = String::from_utf8(output.stdout)?;
    for model in MODELS {
        assert!(printed.contains(model) && printed.contains("entanglement"), "{printed}");
        for name in ["images", "moments", "textspan", "labels", "metrics"] {
            assert!(world.path("runs/scenes").join(model).join(format!("{name}.parquet")).is_file(), "{model} {name}");
        }
    }
    let report = fs::read_to_string(world.path("runs/scenes/comparison.html"))?;
    assert!(report.contains("Properties by layer and head") && !report.contains("http"), "the report needs a network");

    let again = stderr_of(&command.output()?, 0);
    assert!(again.contains("scenes-4 images: up to date") && !again.contains("rendering"), "{again}");

    let mut truth = world.bare();
    truth.args(["truth", "scenes-4", "--dataset", "scenes", "--permutations", "200", "--attributes"]);
    truth.arg(world.path("runs/.built-in/scenes/scenes.parquet"));
    let output = truth.output()?;
    stderr_of(&output, 0);
    let printed = String::from_utf8(output.stdout)?;
    assert!(printed.contains("labels dealt anew: p = 0.00") && printed.contains("worst group"), "{printed}");

    stderr_of(&world.bare().args(["scenes", "--out", "other", "--scenes", "20", "--format", "folder"]).output()?, 0);
    let mut truth = world.bare();
    truth.args(["truth", "scenes-4", "--dataset", "scenes", "--attributes", "other/scenes.parquet"]);
    let message = stderr_of(&truth.output()?, 1);
    assert!(message.contains("other/scenes.parquet") && message.contains("image_id"), "{message}");
    Ok(())
}
