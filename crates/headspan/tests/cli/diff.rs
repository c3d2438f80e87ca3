//! Two runs, head by head.

use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

const IMAGES: usize = 24;

/// A world with two runs over its images, which differ by the activation of their MLPs.
fn world() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(IMAGES)?;
    let after = world.path("after");
    fs::create_dir_all(&after)?;
    for entry in fs::read_dir(world.path("tiny"))? {
        let entry = entry?;
        fs::copy(entry.path(), after.join(entry.file_name()))?;
    }
    stderr_of(&world.run_all("runs").output()?, 0);
    let mut command = world.command("run-all", "runs");
    command.arg("--checkpoint").arg(&after).arg("--images").arg(world.path("images")).arg("--quick-gelu=false");
    command.arg("--texts").arg(world.path("pool.csv")).args(["--device", "cpu", "--k", "4"]);
    stderr_of(&command.output()?, 0);
    Ok(world)
}

/// `run-all` over the world's images as another data set.
fn run_all_as(world: &World, flags: &[&str]) -> Command {
    let mut command = world.bare();
    command.args(["run-all", "--device", "cpu", "--k", "4"]).args(flags).arg("--runs").arg(world.path("runs"));
    command.arg("--checkpoint").arg(world.path("tiny")).arg("--images").arg(world.path("images"));
    command.arg("--texts").arg(world.path("pool.csv"));
    command
}

fn diff(world: &World, names: [&str; 2]) -> Command {
    let mut command = world.command("diff", "runs");
    command.args(names);
    command
}

fn answer(mut command: Command) -> Result<Value, Box<dyn std::error::Error>> {
    let output = command.arg("--json").output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn two_runs_are_compared_head_by_head() -> Outcome {
    let world = world()?;
    let found = answer(diff(&world, ["tiny", "after"]))?;
    assert_eq!((found["before"].as_str(), found["after"].as_str()), (Some("tiny"), Some("after")));
    assert_eq!((found["pairing"].as_str(), found["images"].as_u64()), (Some("position"), Some(IMAGES as u64)));
    let heads = found["heads"].as_array().ok_or("no heads")?;
    assert_eq!(heads.len(), 6);
    let shares = |side: &str| heads.iter().filter_map(|pair| pair[side]["variance_share"].as_f64()).sum::<f64>();
    for side in ["before", "after"] {
        assert!((shares(side) - 1.0).abs() < 1e-9, "{side}: {}", shares(side));
    }
    for pair in heads {
        let cka = pair["cka"].as_f64().ok_or("no cka")?;
        assert!(cka > 0.0 && cka < 1.0 - 1e-6, "{pair}");
        // The weights are the same, so the readouts are; too few images for an interval.
        assert!(pair["readout_overlap"].as_f64() > Some(1.0 - 1e-6), "{pair}");
        assert!(pair["cka_interval"].is_null(), "{pair}");
    }
    let folder = world.path("runs").join("toy");
    assert!(fs::read(folder.join("diff.parquet"))?.starts_with(b"PAR1"));
    let page = fs::read_to_string(folder.join("diff.html"))?;
    assert!(page.contains("What changed from tiny to after") && page.contains("L2.H1"), "{page}");
    let printed = diff(&world, ["tiny", "after"]).output()?;
    let printed = String::from_utf8(printed.stdout)?;
    assert!(printed.contains("6 heads paired by position over 24 images"), "{printed}");
    Ok(())
}

#[test]
fn nothing_changes_between_a_run_and_itself() -> Outcome {
    let world = world()?;
    let mut assigned = diff(&world, ["tiny", "tiny"]);
    assigned.args(["--pair", "assignment"]);
    for command in [diff(&world, ["tiny", "tiny"]), diff(&world, ["toy/tiny", "toy/tiny"]), assigned] {
        let found = answer(command)?;
        for pair in found["heads"].as_array().ok_or("no heads")? {
            assert_eq!(pair["before"], pair["after"]);
            assert!(pair["cka"].as_f64() > Some(1.0 - 1e-9), "{pair}");
            assert_eq!((pair["texts_kept"].as_f64(), pair["property_kept"].as_bool()), (Some(1.0), Some(true)));
        }
        for score in found["scores"].as_array().ok_or("no scores")? {
            assert_eq!(score["difference"].as_f64(), Some(0.0), "{score}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_compared_is_refused() -> Outcome {
    let world = world()?;
    let fewer = ["--dataset", "fewer", "--limit", "8"];
    stderr_of(&run_all_as(&world, &fewer).output()?, 0);
    let refused = stderr_of(&diff(&world, ["toy/tiny", "fewer/tiny"]).output()?, 1);
    assert!(refused.contains("are over different images") && refused.contains("hint: extract both"), "{refused}");
    let refused = stderr_of(&diff(&world, ["tiny", "atfer"]).output()?, 1);
    assert!(refused.contains("no run of `atfer`") && refused.contains("`after`"), "{refused}");
    let refused = stderr_of(&diff(&world, ["tiny", "after"]).args(["--pair", "luck"]).output()?, 2);
    assert!(refused.contains("expected position or assignment"), "{refused}");
    let refused = stderr_of(&diff(&world, ["tiny", "after"]).args(["--labeller", "openai"]).output()?, 1);
    assert!(refused.contains("in common they have lexicon"), "{refused}");
    Ok(())
}

/// The pairs of heads stand in the report of the run before, once.
#[test]
fn a_report_has_the_pairs_of_heads() -> Outcome {
    let world = world()?;
    stderr_of(&diff(&world, ["tiny", "after"]).output()?, 0);
    stderr_of(&world.command("report", "runs").output()?, 0);
    let folder = world.path("runs/toy/report");
    let page = fs::read_to_string(folder.join("tiny.html"))?;
    assert!(page.contains("id=\"diff\"") && page.contains("headspan diff tiny --dataset toy after"), "{page}");
    assert_eq!(fs::read_to_string(folder.join("data/tiny/diff.csv"))?.lines().count(), 7);
    let other = fs::read_to_string(folder.join("after.html"))?;
    assert!(!other.contains("id=\"diff\"") && !other.contains("headspan diff"), "{other}");
    Ok(())
}

/// Sums alone have no activations: what the tables tell is compared, and heads are paired by position.
#[test]
fn a_run_without_activations_has_no_cka() -> Outcome {
    let world = world()?;
    stderr_of(&run_all_as(&world, &["--dataset", "sums", "--set", "images.keep=moments"]).output()?, 0);
    let found = answer(diff(&world, ["toy/tiny", "sums/tiny"]))?;
    assert_eq!(found["images"].as_u64(), Some(0));
    for pair in found["heads"].as_array().ok_or("no heads")? {
        assert!(pair["cka"].is_null() && pair["texts_kept"].as_f64() == Some(1.0), "{pair}");
    }
    let mut command = diff(&world, ["toy/tiny", "sums/tiny"]);
    let refused = stderr_of(&command.args(["--pair", "assignment"]).output()?, 1);
    assert!(refused.contains("only over activations of the same images"), "{refused}");
    Ok(())
}
