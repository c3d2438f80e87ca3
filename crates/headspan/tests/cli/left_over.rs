//! What an earlier run left behind is taken for what it is, and for nothing else.

use fs_err as fs;
use headspan_artifacts::{ImageRow, ImageStatus, LabelRow, MetricRow, read_rows};

use crate::support::{Outcome, World, picture, stderr_of};

#[test]
fn a_table_of_other_settings_is_made_again() -> Outcome {
    let world = World::new(5)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let whole = world.artifacts("runs")?;
    stderr_of(&world.run_all("other").env("HEADSPAN__TEXTSPAN__RANK", "2").output()?, 0);
    // As a run that was ended between a table and its record leaves it, where the record came back after a power cut.
    let table = |runs: &str| world.run_folder(runs).join("textspan.parquet");
    fs::copy(table("other"), table("runs"))?;
    let plan = world
        .command("plan", "runs")
        .args(["--checkpoint", "tiny", "--images", "images", "--texts", "pool.csv"])
        .args(["--k", "4"])
        .output()?;
    let said = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(said.lines().any(|line| line.contains("textspan") && line.contains("run")), "{said}");
    stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(world.artifacts("runs")?, whole);
    // A damaged one, too.
    let bytes = fs::read(table("runs"))?;
    fs::write(table("runs"), &bytes[..bytes.len() / 2])?;
    stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(world.artifacts("runs")?, whole);
    Ok(())
}

#[test]
fn a_damaged_table_of_labels_is_made_again() -> Outcome {
    let world = World::new(5)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let whole = world.artifacts("runs")?;
    let labels = world.run_folder("runs").join("labels.parquet");
    fs::write(&labels, b"PAR1")?;
    stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(world.artifacts("runs")?, whole);
    Ok(())
}

#[test]
fn image_rows_of_another_data_set_are_not_taken_for_those_of_the_activations() -> Outcome {
    let world = World::new(5)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let whole = world.artifacts("runs")?;
    fs::rename(world.path("images/odd"), world.path("images/zebra"))?;
    stderr_of(&world.run_all("other").output()?, 0);
    fs::rename(world.path("images/zebra"), world.path("images/odd"))?;
    // The other run got as far as its image rows.
    let rows = |runs: &str| world.run_folder(runs).join("parts/images-00000.parquet");
    fs::copy(rows("other"), rows("runs"))?;
    fs::remove_file(world.run_folder("runs").join("stages/images.json"))?;
    stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(world.artifacts("runs")?, whole);
    Ok(())
}

#[test]
fn a_lost_part_is_noticed_and_extracted_again() -> Outcome {
    let world = World::new(6)?;
    let run = || {
        let mut command = world.run_all("runs");
        command.env("HEADSPAN__IMAGES__PART_ROWS", "2");
        command
    };
    stderr_of(&run().output()?, 0);
    let whole = world.artifacts("runs")?;
    let part = world.run_folder("runs").join("activations/part-00001.parquet");
    let bytes = fs::read(&part)?;
    let export = || {
        let mut command = world.command("export", "runs");
        command.args(["--model", "tiny", "--layer", "2", "--head", "0", "--out", "dense.npy"]);
        command
    };
    stderr_of(&export().output()?, 0);
    for damaged in [None, Some(&bytes[..bytes.len() / 2])] {
        match damaged {
            None => fs::remove_file(&part)?,
            Some(half) => fs::write(&part, half)?,
        }
        assert_eq!(world.states("runs", &[])?["images"], "missing");
        let mut query = world.bare();
        query.args(["query", "neighbours", "tiny", "--dataset", "toy", "--runs", "runs"]);
        query.args(["--heads", "L2", "--image", "#0"]);
        for command in [&mut export(), &mut query] {
            let said = stderr_of(&command.output()?, 1);
            assert!(said.contains("part-00001") || said.contains("activations cover 4 images"), "{said}");
        }
        stderr_of(&run().output()?, 0);
        assert_eq!(world.artifacts("runs")?, whole);
    }
    Ok(())
}

#[test]
fn scores_of_labels_that_have_changed_are_warned_of() -> Outcome {
    let world = World::new(5)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    stderr_of(&world.command("textspan", "runs").args(["--k", "2"]).output()?, 0);
    for command in ["metrics", "compare"] {
        let said = stderr_of(&world.command(command, "runs").output()?, 0);
        assert!(said.contains("`label` is stale"), "{command}: {said}");
    }
    stderr_of(&world.run_all("runs").output()?, 0);
    let said = stderr_of(&world.command("compare", "runs").output()?, 0);
    assert!(!said.contains("stale"), "{said}");
    Ok(())
}

#[test]
fn scenes_do_not_go_among_others() -> Outcome {
    let world = World::new(0)?;
    let scenes = || {
        let mut command = world.bare();
        command.args(["scenes", "--out", "world", "--scenes", "3"]);
        command
    };
    stderr_of(&scenes().output()?, 0);
    let said = stderr_of(&scenes().output()?, 1);
    assert!(said.contains("world/images") && said.contains("is not empty"), "{said}");
    Ok(())
}

#[test]
fn a_strict_run_does_not_pass_over_what_was_skipped_before() -> Outcome {
    let world = World::new(3)?;
    fs::write(world.path("images/even/text.png"), "not an image")?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let says = |log: &str| assert!(log.contains("even/text.png") && log.contains("hint: without `--strict`"), "{log}");
    says(&stderr_of(&world.run_all("runs").arg("--strict").output()?, 1));
    fs::remove_file(world.run_folder("runs").join("stages/images.json"))?;
    says(&stderr_of(&world.run_all("runs").arg("--strict").output()?, 1));
    stderr_of(&world.run_all("runs").output()?, 0);
    Ok(())
}

#[test]
fn images_that_were_too_large_are_read_when_they_may_be() -> Outcome {
    let world = World::new(3)?;
    let bytes = fs::metadata(world.path("images/even/00000.png"))?.len();
    picture(7).save(world.path("images/even/00008.png"))?;
    let large = world.path("images/even/large.png");
    fs::write(&large, [fs::read(world.path("images/even/00000.png"))?, vec![0; 20_000]].concat())?;
    let small = (bytes + 15_000).to_string();
    stderr_of(&world.run_all("runs").env("HEADSPAN__DATA__MAX_FILE_BYTES", small).output()?, 0);
    let skipped = || -> Result<usize, Box<dyn std::error::Error>> {
        let rows: Vec<ImageRow> = read_rows(&world.run_folder("runs").join("images.parquet"))?;
        Ok(rows.iter().filter(|row| row.status == ImageStatus::Skipped).count())
    };
    assert_eq!(skipped()?, 1);
    stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(skipped()?, 0);
    Ok(())
}

#[test]
fn labels_of_a_file_leave_a_run_as_it_is() -> Outcome {
    let world = World::new(5)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let (before, record) = (world.artifacts("runs")?, world.run_folder("runs").join("stages/label.json"));
    let recorded = fs::read(&record)?;
    fs::write(world.path("my labels.csv"), "model,layer,head,property\ntiny,1,0,sky\ntiny,1,1,sky\nzebra,0,0,sea\n")?;
    let score = || world.command("metrics", "runs").arg("--labels").arg(world.path("my labels.csv")).output();
    let output = score()?;
    let said = stderr_of(&output, 0);
    assert!(said.contains("the run of `tiny` keeps its own labels") && said.contains("toy/tiny+my-labels"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("tiny+my-labels"));
    assert_eq!((world.artifacts("runs")?, fs::read(&record)?), (before.clone(), recorded.clone()));
    assert!(world.states("runs", &["--k", "4"])?.values().all(|state| state == "done"));
    // The scores of the file have a run of their own, and a model without a run has it under its own name.
    let scores = |model: &str| -> Result<Vec<MetricRow>, Box<dyn std::error::Error>> {
        Ok(read_rows(&world.path("runs/toy").join(model).join("metrics.parquet"))?)
    };
    let imported = scores("tiny+my-labels")?;
    assert!(imported.iter().all(|row| row.labeller == "import") && imported.iter().any(|row| row.metric == "heads"));
    assert!(!scores("zebra")?.is_empty());
    stderr_of(&score()?, 0);
    assert_eq!(scores("tiny+my-labels")?, imported);
    // Commands about all runs pass them over, or have them beside the others.
    stderr_of(&world.command("label", "runs").output()?, 0);
    stderr_of(&world.command("metrics", "runs").output()?, 0);
    assert_eq!(world.artifacts("runs")?, before);
    let compared = world.command("compare", "runs").output()?;
    let said = stderr_of(&compared, 0);
    let table = String::from_utf8_lossy(&compared.stdout).into_owned();
    assert!(table.contains("tiny+my-labels") && table.contains("lexicon") && table.contains("import"), "{table}");
    assert!(said.contains("different labellers: ") && said.contains("`tiny`"), "{said}");
    Ok(())
}

#[test]
fn labels_of_some_models_of_a_file_are_scored() -> Outcome {
    let world = World::new(0)?;
    fs::write(world.path("labels.csv"), "model,layer,head,property\none,0,0,sky\ntwo,0,0,sea\n")?;
    let score = |model: &str| world.command("metrics", "runs").arg(model).args(["--labels", "labels.csv"]).output();
    stderr_of(&score("two")?, 0);
    assert!(world.path("runs/toy/two").is_dir() && !world.path("runs/toy/one").exists());
    assert!(stderr_of(&score("three")?, 1).contains("has no labels of model `three`"));
    Ok(())
}

#[test]
fn heads_whose_output_does_not_vary_are_counted_without_a_label() -> Outcome {
    let world = World::new(1)?;
    let one = world.path("images/even/00000.png");
    for copy in 1..4 {
        fs::copy(&one, world.path("images/even").join(format!("{copy}.png")))?;
    }
    stderr_of(&world.run_all("runs").output()?, 0);
    let labels: Vec<LabelRow> = read_rows(&world.run_folder("runs").join("labels.parquet"))?;
    assert_eq!(labels.len(), 6);
    let why = labels.iter().filter_map(|row| row.description.as_deref());
    assert!(why.into_iter().all(|why| why.contains("does not vary")) && labels[0].property.is_none(), "{labels:?}");
    let metrics: Vec<MetricRow> = read_rows(&world.run_folder("runs").join("metrics.parquet"))?;
    let heads = metrics.iter().find(|row| row.metric == "heads").and_then(|row| row.value);
    assert_eq!(heads, Some(6.0));
    Ok(())
}
