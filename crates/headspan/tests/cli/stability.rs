//! Whether picks and labels would come out the same again.

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

fn figures(world: &World, flags: &[&str]) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let output = world.command("stability", "runs").arg("tiny").args(flags).arg("--json").output()?;
    stderr_of(&output, 0);
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    Ok(answer["figures"].as_array().ok_or("no figures")?.clone())
}

fn mean(figures: &[Value], kind: &str, metric: &str) -> Option<f64> {
    let is_it = |row: &&Value| row["kind"] == kind && row["metric"] == metric && row["head"].is_null();
    figures.iter().find(is_it)?["value"].as_f64()
}

#[test]
fn halves_other_runs_and_labellers_are_compared() -> Outcome {
    let world = World::new(96)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let alone = figures(&world, &["--splits", "4"])?;
    let jaccard = mean(&alone, "halves", "jaccard").ok_or("no jaccard")?;
    assert!(jaccard > 0.0 && jaccard <= 1.0, "{jaccard}");
    assert_eq!(alone.iter().filter(|row| row["metric"] == "jaccard" && !row["head"].is_null()).count(), 6);
    assert_eq!(alone, figures(&world, &["--splits", "4"])?, "the same seed");
    assert_eq!(mean(&alone, "labellers", "krippendorff_alpha"), None, "one labeller alone");
    // A run against itself agrees with itself.
    let itself = figures(&world, &["--splits", "0", "--against", "tiny"])?;
    assert_eq!((mean(&itself, "run", "jaccard"), mean(&itself, "run", "same_property")), (Some(1.0), Some(1.0)));
    // Labels of another labeller, each of which differs.
    let labels = (0..3).flat_map(|layer| (0..2).map(move |head| format!("tiny,{layer},{head},other{layer}{head}")));
    fs::write(
        world.path("labels.csv"),
        format!("model,layer,head,property\n{}\n", labels.collect::<Vec<_>>().join("\n")),
    )?;
    let output = world.command("metrics", "runs").arg("tiny").arg("--labels").arg(world.path("labels.csv")).output()?;
    stderr_of(&output, 0);
    assert!(fs::read(world.run_folder("runs").join("stability.parquet"))?.starts_with(b"PAR1"));
    let printed = world.command("stability", "runs").output()?;
    stderr_of(&printed, 0);
    assert!(String::from_utf8(printed.stdout)?.contains("halves of the images"));
    Ok(())
}
