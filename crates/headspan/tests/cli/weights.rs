//! Heads from weights alone.

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

#[test]
fn each_head_has_a_spectrum_and_named_directions() -> Outcome {
    let world = World::new(24)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let output = world.command("weights", "runs").args(["tiny", "--directions", "2", "--json"]).output()?;
    stderr_of(&output, 0);
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let heads = found["heads"].as_array().ok_or("no heads")?;
    assert_eq!((found["run"].as_str(), heads.len()), (Some("toy/tiny"), 6));
    for head in heads {
        let spectrum: Vec<f64> = head["spectrum"].as_array().ok_or("none")?.iter().filter_map(Value::as_f64).collect();
        assert!(spectrum.is_sorted_by(|one, other| one >= other) && spectrum[0] > 0.0, "{head}");
        let directions = head["directions"].as_array().ok_or("no directions")?;
        assert_eq!(directions.len(), 2);
        for direction in directions {
            let fidelity = direction["fidelity"].as_f64().ok_or("no fidelity")?;
            assert!(fidelity > 0.0 && fidelity <= 1.0 + 1e-9, "{direction}");
            assert!(!direction["texts"].as_array().ok_or("no texts")?.is_empty(), "{direction}");
        }
        assert!(head["span_share"].as_f64() >= Some(0.0) && head["span_share_by_chance"].as_f64() > Some(0.0));
    }
    assert!(fs::read(world.run_folder("runs").join("weights.parquet"))?.starts_with(b"PAR1"));
    // No image is needed, and the table of another labeller is refused by name.
    let output = world.command("weights", "runs").args(["tiny", "--labeller", "nobody"]).output()?;
    assert!(stderr_of(&output, 1).contains("no labels of `nobody`; it has lexicon"));
    let printed = world.command("weights", "runs").output()?;
    stderr_of(&printed, 0);
    assert!(String::from_utf8(printed.stdout)?.contains("texts of the strongest direction"));
    Ok(())
}
