//! What a person types: names that are nearly right, flags that do nothing, values that cannot be, and what is left out.

use std::process::{Command, Stdio};

use fs_err as fs;
use headspan_artifacts::{LabelRow, read_rows};
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

/// Runs a command line in the world's folder; returns what it wrote to stderr if it ended with `code`.
fn said(world: &World, words: &[&str], code: i32) -> Result<String, Box<dyn std::error::Error>> {
    Ok(stderr_of(&world.bare().args(words).output()?, code))
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in:\n{message}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_before_work() -> Outcome {
    let world = World::new(2)?;
    let run = |flags: &[&str]| {
        let mut command = world.bare();
        command.args(["run-all", "--checkpoint", "tiny", "--images", "images"]).args(flags);
        command.output()
    };
    for (flags, says) in [
        (&["--k", "0"][..], "--k"),
        (&["--k", "-1"], "-1"),
        (&["--k", "many"], "many"),
        (&["--k", "99999999999999999999999"], "--k"),
        (&["--rank", "0"], "--rank"),
        (&["--limit", "0"], "--limit"),
        (&["--batch-size", "100000000"], "--batch-size"),
        (&["--layers", "first:2"], "last:4"),
        (&["--device", "tpu"], "unknown device `tpu`"),
        (&["--labeller", "lexikon"], "'lexicon'"),
        (&["--texts", ""], "--texts"),
    ] {
        let message = stderr_of(&run(flags)?, 2);
        assert_says(&message, &[says]);
    }
    for (flags, says) in [
        (&["--layers", "last:0"][..], "`images.layers` is `\"last:0\"`"),
        (&["--layers", "99"], "the model has layers 0 to 2"),
        (&["--dataset", "a/b"], "`dataset` is `\"a/b\"`"),
        (&["--dataset", ""], "`dataset` is `\"\"`"),
        (&["--labeller", "import"], "`import` in section [label] is empty"),
    ] {
        assert_says(&stderr_of(&run(flags)?, 1), &[says]);
    }
    for (name, value, says) in [
        ("HEADSPAN__TEXTSPAN__TEXTS", "0", "`textspan.texts` is `0`, expected 1 or more"),
        ("HEADSPAN__IMAGES__PROBE_TOLERANCE", "NaN", "`images.probe_tolerance` is not finite"),
        ("HEADSPAN__LABEL__LEXICON__MINIMUM_AGREEMENT", "-0.5", "expected 0 to 1"),
        ("HEADSPAN__IMAGES__PART_ROWS", "-4", "part_rows"),
        ("HEADSPAN__DATASET", "", "`dataset` is `\"\"`"),
    ] {
        let mut command = world.bare();
        command.args(["run-all", "--checkpoint", "tiny", "--images", "images"]).env(name, value);
        assert_says(&stderr_of(&command.output()?, 1), &[says]);
    }
    assert!(!world.path("runs").exists(), "a folder was made for settings that cannot be");
    // Names of devices may be in capitals.
    stderr_of(&world.run_all("runs").args(["--labeller", "LEXICON"]).output()?, 0);
    stderr_of(&world.bare().args(["config", "--device", "CPU"]).output()?, 0);
    Ok(())
}

#[test]
fn paths_that_are_not_there_are_told_once() -> Outcome {
    let world = World::new(2)?;
    let missing = said(&world, &["run-all", "ViT-B-32", "--images", "imags"], 1)?;
    assert_says(&missing, &["`imags` does not exist (setting `data.path`)", "did you mean `images`?"]);
    assert_eq!(missing.matches("imags").count(), 1, "once, not once a model:\n{missing}");
    assert!(!missing.contains("metadata"), "{missing}");
    for (words, says) in [
        (
            &["run-all", "--checkpoint", "nowhere", "--images", "images"][..],
            "`nowhere` does not exist (setting `checkpoint`)",
        ),
        (&["run-all", "--checkpoint", "pool.csv", "--images", "images"], "has no configuration"),
        (
            &["run-all", "--checkpoint", "tiny/", "--images", "images", "--texts", "images"],
            "`images` is a folder, expected a file",
        ),
        (
            &["run-all", "--checkpoint", "tiny", "--images", "images", "--classes", "nowhere"],
            "(setting `data.classes`)",
        ),
        (
            &["run-all", "--checkpoint", "tiny", "--images", "images", "--runs", "pool.csv"],
            "`pool.csv` is a file, expected a folder",
        ),
        (&["status", "--runs", "pool.csv"], "`pool.csv` is a file"),
        (&["compare", "--runs", "pool.csv"], "`pool.csv` is a file"),
        (&["query", "extremes", "--head", "L0.H0", "--runs", "pool.csv"], "`pool.csv` is a file"),
    ] {
        assert_says(&said(&world, words, 1)?, &[says]);
    }
    assert_says(&said(&world, &["config", "--configs", "pool.csv"], 2)?, &["is a file, expected a folder"]);
    // The home folder where no shell puts it.
    let mut command = world.bare();
    command
        .args(["run-all", "--checkpoint=~/tiny", "--images=~/images/", "--device", "cpu"])
        .env("HOME", world.path(""));
    stderr_of(&command.output()?, 0);
    Ok(())
}

#[test]
fn commands_have_only_flags_that_they_read() -> Outcome {
    let world = World::new(0)?;
    let help = |words: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let output = world.bare().args(words).arg("--help").output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    for (words, gone) in [
        (&["compare"][..], &["--k ", "--images", "--device", "--labeller", "--checkpoint", "--strict"][..]),
        (&["status"], &["--images", "--device", "--strict", "--batch-size", "--limit"]),
        (&["textspan"], &["--images", "--device", "--layers", "--labeller"]),
        (&["label"], &["--images", "--device", "--layers", "--rank", "--strict"]),
        (&["metrics"], &["--images", "--device", "--rank", "--labeller"]),
        (&["extract"], &["--k ", "--rank", "--labeller"]),
        (&["export"], &["--images", "--device", "--rank", "--labeller"]),
        (&["truth"], &["--images", "--device", "--rank", "--labeller"]),
        (&["query", "neighbours"], &["--k ", "--rank", "--labeller", "--strict", "--texts", "--layers"]),
        (&["explore"], &["--k ", "--rank", "--labeller", "--strict", "--layers"]),
    ] {
        let text = help(words)?;
        for flag in gone {
            assert!(!text.contains(flag), "`{} --help` lists {flag}", words.join(" "));
        }
        assert!(text.contains("--runs") && text.contains("--dataset"), "{words:?}");
    }
    assert_says(&said(&world, &["compare", "--k", "5"], 2)?, &["unexpected argument '--k'"]);
    Ok(())
}

/// Two data sets, one of which has two runs.
fn two_data_sets() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(4)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let mut second = world.run_all("runs");
    stderr_of(&second.arg("second").output()?, 0);
    let mut photos = world.bare();
    photos.args(["run-all", "--checkpoint", "tiny", "--images", "images", "--texts", "pool.csv", "--device", "cpu"]);
    stderr_of(&photos.args(["--dataset", "photos", "--runs", "both"]).output()?, 0);
    Ok(world)
}

#[test]
fn the_only_data_set_and_run_are_found() -> Outcome {
    let world = two_data_sets()?;
    // One data set with two runs.
    assert_says(&said(&world, &["compare"], 0)?, &["data set `toy`, the only one in `runs`"]);
    let question = ["neighbours", "--heads", "all", "--image", "1", "--device", "cpu"];
    let ask = |words: &[&str], code| said(&world, &[&["query"][..], &question, words].concat(), code);
    assert_says(&ask(&[], 2)?, &["`toy` has several runs: `second`, `tiny`", "hint: say which: name a MODEL"]);
    assert_says(&ask(&["--dataset", "tyo"], 1)?, &["no run of `tyo`", "did you mean `toy`?"]);
    assert_says(&said(&world, &["compare", "--dataset", "nothing"], 1)?, &["no run in `runs/nothing` has metrics"]);
    // One data set with one run.
    assert_says(&ask(&["--runs", "both"], 0)?, &["data set `photos`", "run of `tiny`, the only one of `photos`"]);
    let export = ["export", "--layer", "2", "--head", "0", "--out", "one.npy", "--runs", "both"];
    assert_says(&said(&world, &export, 0)?, &["run of `tiny`"]);
    // Two data sets.
    fs::create_dir_all(world.path("all"))?;
    fs::rename(world.path("runs/toy"), world.path("all/toy"))?;
    fs::rename(world.path("both/photos"), world.path("all/photos"))?;
    let several = "`all` has several data sets: `photos`, `toy`";
    assert_says(&said(&world, &["compare", "--runs", "all"], 2)?, &[several, "hint: say which: --dataset NAME"]);
    assert_says(&ask(&["--runs", "all"], 2)?, &[several]);
    assert_says(&said(&world, &["explore", "--runs", "all", "--listen", "127.0.0.1:0"], 2)?, &[several]);
    let model = ["query", "neighbours", "second", "--heads", "all", "--image", "1", "--runs", "all", "--device", "cpu"];
    assert_says(&said(&world, &model, 0)?, &["data set `toy`"]);
    let whole =
        ["query", "neighbours", "photos/tiny", "--heads", "all", "--image", "1", "--runs", "all", "--dataset", "toy"];
    said(&world, &whole, 0)?;
    let misspelt =
        ["query", "neighbours", "tinny", "--heads", "all", "--image", "1", "--runs", "all", "--dataset", "toy"];
    assert_says(&said(&world, &misspelt, 1)?, &["no run of `tinny` over `toy` in `all`", "did you mean `tiny`?"]);
    assert_says(
        &said(&world, &["metrics", "tinny", "--runs", "all", "--dataset", "toy"], 2)?,
        &["did you mean `tiny`?"],
    );
    assert_says(&said(&world, &["status", "--runs", "all", "--dataset", "tyo"], 0)?, &["did you mean `toy`?"]);
    Ok(())
}

#[test]
fn images_are_numbered_and_heads_listed() -> Outcome {
    let world = World::new(6)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let asked = |words: &[&str]| -> Result<Value, Box<dyn std::error::Error>> {
        let fixed = ["query", "neighbours", "tiny", "--dataset", "toy", "--device", "cpu", "--json"];
        let output = world.bare().args(fixed).args(words).output()?;
        stderr_of(&output, 0);
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    assert_eq!(asked(&["--heads", "all", "--image", "3"])?, asked(&["--heads", "all", "--image", "#3"])?);
    let listed = asked(&["--heads", "L2.H0,L1.H1", "--image", "3"])?;
    assert_eq!(listed["found"]["heads"].as_array().map(Vec::len), Some(2), "{listed}");
    for same in
        [&["--heads", "L1.H1 L2.H0"][..], &["--heads", "l2.h0", "--heads", "L1.H1"], &["--heads", "L2.H0,L1.H1,L2.H0"]]
    {
        assert_eq!(asked(&[same, &["--image", "3"]].concat())?, listed, "{same:?}");
    }
    let layer = asked(&["--heads", "L2", "--image", "3"])?;
    assert_eq!(asked(&["--heads", "L2.H0,L2.H1", "--image", "3"])?, layer);
    let labels: Vec<LabelRow> = read_rows(&world.run_folder("runs").join("labels.parquet"))?;
    let property = labels.iter().find_map(|row| row.property.clone()).ok_or("no label")?;
    let mut wrong = world.bare();
    wrong
        .args(["query", "neighbours", "tiny", "--dataset", "toy", "--image", "3", "--heads"])
        .arg(&property[..property.len() - 1]);
    assert_says(&stderr_of(&wrong.output()?, 1), &[&format!("did you mean `{property}`?")]);
    Ok(())
}

#[test]
fn answers_do_not_go_into_folders() -> Outcome {
    let world = World::new(2)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    for words in [
        &["compare", "--html", "images"][..],
        &["export", "--heads", "L2.H0", "--out", "images"],
        &["query", "extremes", "--head", "L2.H0", "--parquet", "images"],
        &["query", "extremes", "--head", "L2.H0", "--picture", "images"],
    ] {
        assert_says(&said(&world, words, 2)?, &["`images` is a folder, expected a file"]);
    }
    said(&world, &["export", "--heads", "L2.H0,l1.h1", "--out", "two.npy"], 0)?;
    said(&world, &["export", "--layer", "2", "--head", "0", "--layer", "1", "--head", "1", "--out", "other.npy"], 0)?;
    assert_eq!(fs::read(world.path("two.npy"))?, fs::read(world.path("other.npy"))?);
    assert_says(&said(&world, &["export", "--heads", "L2H0", "--out", "two.npy"], 2)?, &["did you mean `L2.H0`?"]);
    Ok(())
}

#[test]
fn a_checkpoint_does_not_take_the_name_of_a_published_model() -> Outcome {
    let world = World::new(2)?;
    let run = |name: &str| {
        said(&world, &["run-all", "--checkpoint", "tiny", name, "--images", "images", "--device", "cpu"], 2)
    };
    for name in ["ViT-L-14", "ViT-L-14_openai", "scenes-4"] {
        assert_says(&run(name)?, &[&format!("`{name}` is the name of a known model"), "hint: leave the name out"]);
        assert!(!world.path("runs/images").join(name).exists());
    }
    fs::rename(world.path("tiny"), world.path("ViT-B-32"))?;
    let by_folder = said(&world, &["run-all", "--checkpoint", "ViT-B-32", "--images", "images"], 2)?;
    assert_says(&by_folder, &["which has 12 layers of 12 heads; `ViT-B-32` has 3 of 2"]);
    // A name of its own is free.
    let own =
        ["run-all", "--checkpoint", "ViT-B-32", "mine", "--images", "images", "--texts", "pool.csv", "--device", "cpu"];
    said(&world, &own, 0)?;
    assert!(world.path("runs/images/mine/metrics.parquet").is_file());
    Ok(())
}

#[test]
fn models_are_listed_with_commas_and_each_runs_once() -> Outcome {
    let world = World::new(2)?;
    let flags = ["--images", "images", "--texts", "pool.csv", "--device", "cpu", "--dataset", "toy"];
    let demo = ["run-all", "scenes-4,scenes-6", "scenes-4"];
    let log = said(&world, &[&demo[..], &flags].concat(), 0)?;
    assert_eq!(log.matches("scenes-4 metrics: ").count(), 1, "{log}");
    assert_eq!(log.matches("scenes-6 metrics: ").count(), 1, "{log}");
    // A model that is not here is told before the others run.
    let log = said(&world, &[&["run-all", "scenes-4", "ViT-B-32_openai"][..], &flags].concat(), 1)?;
    let (told, ran) = (log.find("is not fetched"), log.find("scenes-4 images: "));
    assert!(told.is_some() && told < ran, "{log}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_without_a_word() -> Outcome {
    let world = World::new(4)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let shell = |line: &str| {
        Command::new("bash")
            .args(["-c", line])
            .env("HEADSPAN", env!("CARGO_BIN_EXE_headspan"))
            .current_dir(world.path(""))
            .output()
    };
    for line in [
        "\"$HEADSPAN\" status | true",
        "\"$HEADSPAN\" --help | true",
        "\"$HEADSPAN\" status -vv 2>&1 | true",
        "\"$HEADSPAN\" run-all RN50 --images images 2>&1 | true",
        "\"$HEADSPAN\" compare 2>&1 | head -1",
        "\"$HEADSPAN\" config | head -1",
        "\"$HEADSPAN\" run-all --checkpoint tiny --images images --texts pool.csv --device cpu --dataset more 2>&1 | head -1",
    ] {
        // What the program says after its reader has gone goes nowhere, so its exit code tells.
        let output = shell(&format!("{line} >/dev/null; echo \"${{PIPESTATUS[0]}}\""))?;
        let code = String::from_utf8(output.stdout)?;
        assert!(matches!(code.trim(), "0" | "1" | "141"), "{line}: {code}");
        assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // stdout closed and stderr open: nothing is said of it.
    let mut child = world.bare();
    child.args(["status", "--dataset", "toy"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    Ok(())
}

#[test]
fn a_variable_with_too_few_underscores_is_noticed() -> Outcome {
    let world = World::new(0)?;
    let mut command = world.bare();
    command.arg("config").env("HEADSPAN_TEXTSPAN_RANK", "4");
    let message = stderr_of(&command.output()?, 0);
    assert_says(&message, &["ignored the environment variable `HEADSPAN_TEXTSPAN_RANK`", "`HEADSPAN__TEXTSPAN__RANK`"]);
    Ok(())
}

#[test]
fn the_explorer_says_what_is_wrong_with_its_flags() -> Outcome {
    let world = World::new(0)?;
    for (words, says) in [
        (&["--listen", "somewhere"][..], "expected an IP address"),
        (&["--host-name", "https://hub.example.org"], "without scheme and port"),
        (&["--token", ""], "the token is empty"),
        (&["--workers", "0"], "--workers"),
    ] {
        assert_says(&said(&world, &[&["explore"][..], words].concat(), 2)?, &[says]);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let message = said(&world, &["explore", "--listen", &address], 1)?;
    assert_says(&message, &["cannot listen on", "hint: choose --listen"]);
    assert!(!world.path("runs").exists(), "the demo ran for nothing");
    Ok(())
}
