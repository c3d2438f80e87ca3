//! Zero-shot classification and ablation of a run.

use std::{collections::BTreeMap, process::Command, time::SystemTime};

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

const IMAGES: usize = 24;

fn world() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(IMAGES)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    Ok(world)
}

fn command(world: &World, name: &str, flags: &[&str]) -> Command {
    let mut command = world.command(name, "runs");
    command.arg("tiny").args(flags);
    command
}

fn answer(world: &World, name: &str, flags: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let output = command(world, name, flags).arg("--json").output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// When each record of an analysis was written.
fn written(world: &World) -> Result<BTreeMap<&'static str, SystemTime>, Box<dyn std::error::Error>> {
    let mut found = BTreeMap::new();
    for name in ["classes", "zeroshot", "ablations", "reconstruction"] {
        let path = world.run_folder("runs").join("stages").join(format!("{name}.json"));
        if path.is_file() {
            found.insert(name, fs::metadata(path)?.modified()?);
        }
    }
    Ok(found)
}

fn changed(
    before: &BTreeMap<&'static str, SystemTime>,
    after: &BTreeMap<&'static str, SystemTime>,
) -> Vec<&'static str> {
    after.iter().filter(|(name, time)| before.get(*name) != Some(time)).map(|(name, _)| *name).collect()
}

#[test]
fn images_are_classified_and_what_is_up_to_date_is_not_made_again() -> Outcome {
    let world = world()?;
    let found = answer(&world, "zeroshot", &[])?;
    assert_eq!((found["images"].as_u64(), found["classes"].as_u64()), (Some(IMAGES as u64), Some(2)));
    let rows = found["accuracy"].as_array().ok_or("no accuracy")?;
    let scopes: Vec<&str> = rows.iter().filter_map(|row| row["scope"].as_str()).collect();
    assert_eq!(scopes, ["all", "class", "class"]);
    let right: f64 = rows[1..].iter().filter_map(|row| Some(row["accuracy"].as_f64()? * row["n"].as_f64()?)).sum();
    assert!(rows[0]["accuracy"].as_f64().is_some_and(|all| (all * IMAGES as f64 - right).abs() < 1e-9), "{found}");

    let first = written(&world)?;
    assert_eq!(answer(&world, "zeroshot", &[])?, found);
    assert!(changed(&first, &written(&world)?).is_empty(), "nothing changed");
    // Ablations use the classes that are there; other templates make both anew.
    fs::write(world.path("templates.txt"), "the {}\na photo of a {}\n")?;
    let templates = world.path("templates.txt");
    let templates = ["--templates", templates.to_str().ok_or("a path in UTF-8")?];
    answer(&world, "zeroshot", &templates)?;
    let second = written(&world)?;
    assert_eq!(changed(&first, &second), ["classes", "zeroshot"]);
    answer(&world, "ablate", &["--permutations", "9"])?;
    let third = written(&world)?;
    assert_eq!(changed(&second, &third), ["ablations"]);
    fs::write(world.path("templates.txt"), "the {}\n")?;
    answer(&world, "zeroshot", &templates)?;
    assert_eq!(changed(&third, &written(&world)?), ["classes", "zeroshot"]);
    let third = written(&world)?;
    answer(&world, "ablate", &["--permutations", "9"])?;
    assert_eq!(changed(&third, &written(&world)?), ["ablations"], "they were made with other classes");
    Ok(())
}

#[test]
fn heads_are_ablated_by_kind_and_by_list() -> Outcome {
    let world = world()?;
    fs::write(world.path("heads.txt"), "L2.H1\nL0.H0\n\nL2.H1\n")?;
    let file = world.path("heads.txt");
    let mut flags = vec!["--heads", "L1.H0,L1.H1", "--head-file", file.to_str().ok_or("a path in UTF-8")?];
    flags.extend([
        "--replace",
        "mean",
        "--replace",
        "scale:0.5",
        "--permutations",
        "19",
        "--reconstruct",
        "--draws",
        "2",
    ]);
    let found = answer(&world, "ablate", &flags)?;
    let rows = found["ablations"].as_array().ok_or("no rows")?;
    let names = |kind: &str| -> Vec<&str> {
        let own =
            rows.iter().filter(|row| row["kind"] == kind && row["scope"] == "all" && row["replacement"] == "mean");
        own.filter_map(|row| row["target"].as_str()).collect()
    };
    // The run has all of its three layers, of two heads each.
    assert_eq!(names("head").len(), 6);
    assert_eq!(names("layers"), ["L0", "L0-L1", "L0-L2"]);
    assert_eq!((names("mlps"), names("rest").len()), (vec!["all"], 0));
    assert_eq!((names("list"), names("file")), (vec!["L1.H0,L1.H1"], vec!["heads.txt"]));
    assert!(names("random").contains(&"2 heads"), "{:?}", names("random"));
    for row in rows {
        let drawn = matches!(row["kind"].as_str(), Some("list" | "file")) && row["scope"] == "all";
        let p = row["p"].as_f64();
        assert!(
            if drawn { p.is_some_and(|p| (0.05..=1.0).contains(&p)) } else { row["kind"] == "property" || p.is_none() },
            "{row}"
        );
    }
    let curve = found["reconstruction"].as_array().ok_or("no curve")?;
    let last = curve.iter().find(|row| row["directions"] == "pca" && row["k"] == 60).ok_or("no row")?;
    let all = curve.iter().find(|row| row["directions"] == "all").ok_or("no row")?;
    assert_eq!(last["accuracy"], all["accuracy"], "60 directions are all that a head of this width has");
    let printed = command(&world, "ablate", &flags).output()?;
    let printed = String::from_utf8(printed.stdout)?;
    assert!(printed.contains("images that gave no means") && printed.contains("list: L1.H0,L1.H1"), "{printed}");
    Ok(())
}

#[test]
fn groups_come_from_a_table() -> Outcome {
    let world = world()?;
    let line = |number: usize| {
        let class = if number.is_multiple_of(2) { "even" } else { "odd" };
        format!("{class}/{number:05}.png,{},{}\n", number % 3, number / 12)
    };
    let table: String = std::iter::once("image_id,y,place\n".to_owned()).chain((0..IMAGES).map(line)).collect();
    fs::write(world.path("groups.csv"), table)?;
    let path = world.path("groups.csv");
    let path = path.to_str().ok_or("a path in UTF-8")?;
    let found = answer(&world, "zeroshot", &["--groups", path, "--group", "y", "--group", "place"])?;
    let rows = found["accuracy"].as_array().ok_or("no accuracy")?;
    let groups: Vec<&str> =
        rows.iter().filter(|row| row["scope"] == "group").filter_map(|row| row["group"].as_str()).collect();
    assert_eq!(groups, ["y=0 place=0", "y=0 place=1", "y=1 place=0", "y=1 place=1", "y=2 place=0", "y=2 place=1"]);
    assert!(rows.iter().any(|row| row["scope"] == "worst_group"));
    let found = answer(&world, "ablate", &["--kind", "heads", "--groups", path, "--group", "y"])?;
    let rows = found["ablations"].as_array().ok_or("no rows")?;
    assert_eq!(rows.iter().filter(|row| row["scope"] == "worst_group").count(), 6);
    let refused = stderr_of(&command(&world, "zeroshot", &["--groups", path, "--group", "z"]).output()?, 1);
    assert!(refused.contains("groups cannot be read from column `z`"), "{refused}");
    Ok(())
}

/// Columns of the images: a class of their own, a cue of two of its values, and a group.
fn cues(world: &World) -> Result<String, Box<dyn std::error::Error>> {
    let side = |of: bool| if of { "water" } else { "land" };
    let line = |number: usize| {
        let class = if number.is_multiple_of(2) { "even" } else { "odd" };
        let (side, ground) = (side(number.is_multiple_of(3)), side(number % 4 < 2));
        format!("{class}/{number:05}.png,{side},{ground},{ground}-{class},{}\n", number % 3)
    };
    let head = "image_id,side,ground,group,split\n".to_owned();
    let table: String = std::iter::once(head).chain((0..IMAGES).map(line)).collect();
    fs::write(world.path("cues.csv"), table)?;
    Ok(world.path("cues.csv").to_str().ok_or("a path in UTF-8")?.to_owned())
}

#[test]
fn heads_that_bring_a_cue_in_are_removed() -> Outcome {
    let world = world()?;
    let table = cues(&world)?;
    let common = ["--groups", &table, "--permutations", "19"];
    // By default heads are chosen by ablation, and groups are those of the column `group`.
    let found = answer(&world, "repair", &common)?;
    let rows = found["repair"].as_array().ok_or("no rows")?;
    assert_eq!(found["classifier"], "zeroshot");
    assert!(rows.iter().all(|row| row["choice"] == "ablation" && row["replacement"] == "mean"), "{found}");
    let scopes: Vec<&str> = rows.iter().filter_map(|row| row["scope"].as_str()).collect();
    assert_eq!(scopes, ["all", "worst_group", "group", "group", "group", "group"]);
    let groups: Vec<&str> = rows[2..].iter().filter_map(|row| row["group"].as_str()).collect();
    assert_eq!(groups, ["land-even", "land-odd", "water-even", "water-odd"]);
    let lowest = |row: &str| {
        let shares = rows[2..].iter().filter_map(|group| group[row].as_f64());
        shares.fold(f64::INFINITY, f64::min)
    };
    assert_eq!(rows[1]["accuracy_after"].as_f64(), Some(lowest("accuracy_after")));
    assert_eq!(rows[1]["accuracy_before"].as_f64(), Some(lowest("accuracy_before")));
    assert!(fs::read(world.run_folder("runs").join("repair.parquet"))?.starts_with(b"PAR1"));

    // A list has the accuracies that `ablate` has; every choice has rows of its own.
    let mut flags = common.to_vec();
    flags.extend(["--heads", "L2.H1,L0.H0", "--heads", "colors", "--text", "a red cat", "--text", "a blue cat"]);
    flags.extend(["--by-ablation", "--count", "2", "--replace", "mean", "--replace", "zero"]);
    let found = answer(&world, "repair", &flags)?;
    let rows = found["repair"].as_array().ok_or("no rows")?;
    let all = |choice: &str| rows.iter().filter(|row| row["choice"] == choice && row["scope"] == "all").count();
    assert_eq!(["list", "property", "text", "ablation"].map(all), [2; 4]);
    let ablated = answer(
        &world,
        "ablate",
        &["--kind", "none", "--heads", "L2.H1,L0.H0", "--groups", &table, "--group", "group", "--permutations", "0"],
    )?;
    let worst = |rows: &Value, key: &str, value: &str| {
        let same = |row: &&Value| row[key] == value && row["scope"] == "worst_group";
        rows.as_array().and_then(|rows| rows.iter().find(same).cloned()).unwrap_or_default()
    };
    let (own, theirs) = (worst(&found["repair"], "choice", "list"), worst(&ablated["ablations"], "kind", "list"));
    for key in ["group", "n", "accuracy_before", "accuracy_after", "ci_low", "ci_high"] {
        assert_eq!(own[key], theirs[key], "{key}: {own} {theirs}");
        assert!(!own[key].is_null(), "{key}: {own}");
    }
    let text = worst(&found["repair"], "choice", "text");
    assert_eq!(
        (text["heads"].as_array().map(Vec::len), text["target"].as_str()),
        (Some(2), Some("a red cat | a blue cat"))
    );
    let printed = command(&world, "repair", &flags).output()?;
    let printed = String::from_utf8(printed.stdout)?;
    assert!(printed.contains("property: colors") && printed.contains("heads by text: a red cat"), "{printed}");
    Ok(())
}

#[test]
fn a_classifier_may_learn_a_cue_and_a_split_may_be_given() -> Outcome {
    let world = world()?;
    let table = cues(&world)?;
    let learn =
        ["--groups", &table, "--learn", "--class", "side", "--cue", "ground", "--heads", "L0", "--permutations", "9"];
    let mut flags = learn.to_vec();
    flags.extend(["--correlation", "0.95", "--test", "split=1"]);
    let found = answer(&world, "repair", &flags)?;
    let rows = found["repair"].as_array().ok_or("no rows")?;
    // Every third image gives accuracy; all of these are of the land.
    assert_eq!((found["classifier"].as_str(), rows[0]["n"].as_u64()), (Some("learned"), Some(IMAGES as u64 / 3)));
    let groups: Vec<&str> = rows[2..].iter().filter_map(|row| row["group"].as_str()).collect();
    assert_eq!(groups, ["class=land ground=land", "class=land ground=water"]);
    let refused = |flags: &[&str], code: i32| -> Result<String, Box<dyn std::error::Error>> {
        Ok(stderr_of(&command(&world, "repair", flags).output()?, code))
    };
    let log = refused(&["--groups", &table, "--test", "split=7"], 1)?;
    assert!(log.contains("no image has `7` in the column `split`"), "{log}");
    let log = refused(&["--groups", &table, "--learn", "--cue", "ground", "--correlation", "0.9"], 1)?;
    assert!(log.contains("`ground` that is its class") && log.contains("hint: the values of the cue"), "{log}");
    let log = refused(&["--groups", &table, "--text", "a red cat", "--text", "a red cat"], 1)?;
    assert!(log.contains("have one embedding"), "{log}");
    let log = refused(&["--groups", &table, "--group", "nowhere"], 1)?;
    assert!(log.contains("groups cannot be read from column `nowhere`"), "{log}");
    for wrong in [&["--class", "side"][..], &["--correlation", "0.9"], &["--test", "split"], &["--count", "0"]] {
        refused(wrong, 2)?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_classified_is_refused_with_a_hint() -> Outcome {
    let world = world()?;
    fs::write(world.path("wrong.txt"), "a photo\n")?;
    let wrong = world.path("wrong.txt");
    let wrong = wrong.to_str().ok_or("a path in UTF-8")?;
    let refused = stderr_of(&command(&world, "zeroshot", &["--templates", wrong]).output()?, 1);
    assert!(refused.contains("row 1: \"a photo\" has no {}"), "{refused}");
    fs::write(world.path("others.csv"), "cat,a cat\ndog,a dog\n")?;
    let others = world.path("others.csv");
    let others = others.to_str().ok_or("a path in UTF-8")?;
    let refused = stderr_of(&command(&world, "zeroshot", &["--classes", others]).output()?, 1);
    assert!(refused.contains("none of 24 images has one of the 2 classes") && refused.contains("hint: "), "{refused}");
    fs::write(world.path("heads.txt"), "L0.H0\nH7\n")?;
    let heads = world.path("heads.txt");
    let heads = heads.to_str().ok_or("a path in UTF-8")?;
    let refused = stderr_of(&command(&world, "ablate", &["--head-file", heads]).output()?, 1);
    assert!(refused.contains("row 2: `H7` is not a head"), "{refused}");
    let refused = stderr_of(&command(&world, "ablate", &["--replace", "luck"]).output()?, 2);
    assert!(refused.contains("expected mean, zero, or scale:FACTOR"), "{refused}");
    let refused = stderr_of(&command(&world, "ablate", &["--kind", "none"]).output()?, 2);
    assert!(refused.contains("nothing to ablate"), "{refused}");
    // A flat folder has no classes.
    let flat = world.path("flat");
    fs::create_dir_all(&flat)?;
    for number in 0..4 {
        crate::support::picture(number).save(flat.join(format!("{number}.png")))?;
    }
    let mut run = world.bare();
    run.args(["run-all", "--device", "cpu", "--k", "4", "--dataset", "flat"]).arg("--runs").arg(world.path("runs"));
    run.arg("--checkpoint")
        .arg(world.path("tiny"))
        .arg("--images")
        .arg(flat)
        .arg("--texts")
        .arg(world.path("pool.csv"));
    stderr_of(&run.output()?, 0);
    let mut classify = world.bare();
    classify.args(["zeroshot", "tiny", "--dataset", "flat"]).arg("--runs").arg(world.path("runs"));
    let refused = stderr_of(&classify.output()?, 1);
    assert!(
        refused.contains("`flat/tiny` has no classes") && refused.contains("hint: extract images with classes"),
        "{refused}"
    );
    Ok(())
}
