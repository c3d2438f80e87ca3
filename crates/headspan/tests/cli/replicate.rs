//! Published figures beside measured ones: a made-up paper over a tiny run.

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

const IMAGES: usize = 24;

const PAPER: &str = r#"
id = "mine"
title = "A made-up paper"
source = "nowhere"
not_known = ["Who wrote it."]

[setting]
layers = "last:2"
k = 3
rank = 5
texts = "pool.csv"
labeller = "lexicon"

[models]
tiny = "tiny"

[[data]]
id = "toy"
what = "pictures in two classes"
images = "images"
groups = "groups.csv"
group = ["group"]

[[data]]
id = "elsewhere"
what = "pictures that nobody has"

[[table]]
name = "Accuracy"
place = "Table 1"
data = "toy"
unit = "percent"
differs = ["Its templates are others."]
[[table.figure]]
row = "tiny"
column = "base"
model = "tiny"
published = 50.0
measure = { command = "zeroshot" }
[[table.figure]]
row = "tiny"
column = "without the rest"
model = "tiny"
low = 0.0
high = 100.0
measure = { command = "ablate", kind = "rest" }
[[table.figure]]
row = "tiny"
column = "3 texts"
model = "tiny"
published = 40.0
measure = { command = "reconstruct", directions = "texts", k = 2 }
[[table.figure]]
row = "tiny"
column = "worst group without L1"
model = "tiny"
published = 40.0
measure = { command = "repair", heads = "L1", value = "after" }
[[table.figure]]
row = "tiny"
column = "without consistent heads"
model = "tiny"
published = 40.0
measure = { command = "prune", ccs = "0-5", value = "after" }

[[table]]
name = "Scores"
data = "toy"
unit = "heads"
[[table.figure]]
row = "tiny"
column = "any consistency"
model = "tiny"
published = 4
measure = { command = "metrics", metrics = ["ccs_at_0", "ccs_at_1", "ccs_at_2", "ccs_at_3", "ccs_at_4", "ccs_at_5"] }
[[table.figure]]
row = "tiny"
column = "a score that there is not"
model = "tiny"
published = 4
measure = { command = "metrics", metrics = ["luck"] }

[[table]]
name = "Elsewhere"
data = "elsewhere"
unit = "percent"
measure = { command = "zeroshot" }
[[table.figure]]
row = "tiny"
column = "base"
model = "tiny"
published = 50.0

[[table]]
name = "By hand"
unit = "share"
cannot = "somebody counted by hand"
[[table.figure]]
row = "a person"
column = "count"
published = 0.5
"#;

fn answer(world: &World, flags: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let mut command = world.bare();
    command
        .arg("replicate")
        .arg(world.path("mine.toml"))
        .arg("--runs")
        .arg(world.path("runs"))
        .args(["--device", "cpu"]);
    let output = command.args(flags).arg("--json").output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn of<'a>(answer: &'a Value, column: &str) -> Result<&'a Value, Box<dyn std::error::Error>> {
    let rows = answer["figures"].as_array().ok_or("no figures")?;
    Ok(rows.iter().find(|row| row["column"] == column && row["table"] != "Elsewhere").ok_or("no such figure")?)
}

fn world() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(IMAGES)?;
    let line = |number: usize| {
        let class = if number.is_multiple_of(2) { "even" } else { "odd" };
        format!("{class}/{number:05}.png,{}\n", if number % 4 < 2 { "near" } else { "far" })
    };
    let table: String = std::iter::once("image_id,group\n".to_owned()).chain((0..IMAGES).map(line)).collect();
    fs::write(world.path("groups.csv"), table)?;
    fs::write(world.path("mine.toml"), PAPER)?;
    Ok(world)
}

#[test]
fn a_paper_of_ones_own_is_measured() -> Outcome {
    let world = world()?;
    let dry = answer(&world, &["--dry-run"])?;
    assert!(!world.run_folder("runs").exists(), "a dry run makes nothing");
    assert_eq!(of(&dry, "base")?["not_measured"], "the run would be made");
    assert_eq!(of(&dry, "without consistent heads")?["command"], "prune --ccs 0-5");

    let found = answer(&world, &[])?;
    for column in ["base", "without the rest", "3 texts", "worst group without L1", "without consistent heads"] {
        let row = of(&found, column)?;
        let measured = row["measured"].as_f64().ok_or_else(|| format!("{row}"))?;
        assert!((0.0..=100.0).contains(&measured) && row["run"] == "toy/tiny", "{row}");
        assert!(row["ci_low"].as_f64().is_some_and(|low| low <= measured), "{row}");
    }
    // It is what the commands themselves say.
    let output = world.command("zeroshot", "runs").args(["tiny", "--json"]).output()?;
    stderr_of(&output, 0);
    let own: Value = serde_json::from_slice(&output.stdout)?;
    let (base, accuracy) = (of(&found, "base")?["measured"].as_f64(), own["accuracy"][0]["accuracy"].as_f64());
    assert!(
        base.zip(accuracy).is_some_and(|(base, accuracy)| (base - 100.0 * accuracy).abs() < 1e-9),
        "{base:?} {accuracy:?}"
    );
    // Two layers of two heads, as the paper's setting has it.
    let heads = of(&found, "any consistency")?;
    assert!(
        (heads["measured"].as_f64().unwrap_or_default() - 4.0).abs() < 1e-9 && heads["ci_low"].is_null(),
        "{heads}"
    );
    assert_eq!(of(&found, "a score that there is not")?["not_measured"], "the run has no score `luck`");
    assert_eq!(of(&found, "count")?["not_measured"], "somebody counted by hand");
    let rows = found["figures"].as_array().ok_or("no figures")?;
    let elsewhere = rows.iter().find(|row| row["table"] == "Elsewhere").ok_or("no table")?;
    let reason = elsewhere["not_measured"].as_str().unwrap_or_default();
    assert!(elsewhere["measured"].is_null() && reason.contains("--images elsewhere=PATH"), "{elsewhere}");
    assert_eq!(found["differences"], serde_json::json!({}));

    // What the person says is stronger than the paper, and the difference is told.
    let changed = answer(&world, &["--set", "textspan.texts=4"])?;
    assert_eq!(changed["differences"]["toy/tiny"][0], "texts per head: 4 here, 3 in the paper");
    let mut command = world.bare();
    command.arg("replicate").arg(world.path("mine.toml")).arg("--runs").arg(world.path("runs"));
    let printed = command.args(["--device", "cpu"]).output()?;
    stderr_of(&printed, 0);
    let printed = String::from_utf8(printed.stdout)?;
    for expected in
        ["A made-up paper", "Table 1", "differs: Its templates are others.", "not measured (a person)", "Who wrote it."]
    {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    Ok(())
}

#[test]
fn papers_of_the_program_are_shown_without_a_run() -> Outcome {
    let world = World::new(2)?;
    let run = |arguments: &[&str]| world.bare().arg("replicate").args(arguments).output();
    for (paper, figure) in [("2310.05916", "72.77"), ("2409.06579", "0.541"), ("2503.11103", "51.7")] {
        let output = run(&[paper, "--dry-run"])?;
        stderr_of(&output, 0);
        let printed = String::from_utf8(output.stdout)?;
        assert!(printed.contains(figure) && printed.contains("no images were given: --images"), "{printed}");
    }
    let refused = stderr_of(&run(&["2310.05961", "--dry-run"])?, 2);
    assert!(
        refused.contains("unknown paper `2310.05961`") && refused.contains("did you mean `2310.05916`?"),
        "{refused}"
    );
    fs::write(world.path("broken.toml"), "id = 7\n")?;
    let refused = stderr_of(&run(&["broken.toml"])?, 2);
    assert!(refused.contains("paper `broken.toml` is not valid"), "{refused}");
    let refused = stderr_of(&run(&["2503.11103", "--images", "a", "--images", "imagenet-val=b"])?, 2);
    assert!(refused.contains("--images is given twice for `imagenet-val`"), "{refused}");
    Ok(())
}
