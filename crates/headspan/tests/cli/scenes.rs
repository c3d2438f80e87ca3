//! Rendered scenes in every format go through extraction; training from the command line.

use crate::support::{Outcome, World, stderr_of};

#[test]
fn every_format_of_scenes_is_extracted() -> Outcome {
    let world = World::new(0)?;
    for format in ["folder", "webdataset", "parquet"] {
        let mut scenes = world.bare();
        scenes.args(["scenes", "--scenes", "30", "--pixels", "32", "--format", format, "--out", format]);
        stderr_of(&scenes.output()?, 0);
        let mut run = world.command("run-all", &format!("runs-{format}"));
        run.args(["--device", "cpu", "--k", "4"]).arg("--checkpoint").arg(world.path("tiny"));
        run.arg("--images").arg(world.path(format).join("images"));
        run.arg("--classes").arg(world.path(format).join("classes.txt")).arg("--texts").arg(world.path("pool.csv"));
        let said = stderr_of(&run.output()?, 0);
        assert!(said.contains("tiny images: 30 rows"), "{format}: {said}");
    }
    Ok(())
}

#[test]
fn wrong_usage_of_scenes_and_training_says_what() -> Outcome {
    let world = World::new(0)?;
    fs_err::write(world.path("recipe.toml"), "sed = 1\n")?;
    for (arguments, code, word) in [
        (&["scenes"][..], 2, "--out"),
        (&["scenes", "--out", "x", "--correlation", "3"], 2, "--correlation 3"),
        (&["scenes", "--out", "x", "--pixels", "8"], 1, "32 to 512"),
        (&["scenes", "--sheet", "x.png", "--pixels", "0"], 1, "32 to 512"),
        (&["train", "recipe.toml", "--out", "x"], 2, "unknown field `sed`"),
        (&["evaluate", "x", "--scenes", "150"], 2, "a multiple of 100"),
        (&["evaluate", "x"], 1, "has no configuration"),
    ] {
        let message = stderr_of(&world.bare().args(arguments).output()?, code);
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
    Ok(())
}
