//! Extraction on a graphics device, a software renderer if there is no other.

use headspan_artifacts::{ActivationBatch, HeadId, PartReader};
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

#[test]
fn a_run_on_a_gpu_has_the_rows_and_numbers_of_the_cpu() -> Outcome {
    let world = World::new(11)?;
    stderr_of(&world.run_all("cpu").output()?, 0);
    // One precision and one size of batch: a software renderer takes minutes to choose kernels for each other shape or type. The types
    // are tested beside the pass (`devices.rs` of the model's crate).
    let mut command = world.command("extract", "gpu");
    command.arg("--checkpoint").arg(world.path("tiny")).arg("--images").arg(world.path("images"));
    command.arg("--texts").arg(world.path("pool.csv")).args(["--device", "wgpu", "--batch-size", "2"]);
    let output = command.output()?;
    if String::from_utf8_lossy(&output.stderr).contains("no such device was found") {
        eprintln!("skipped: no graphics driver was found");
        return Ok(());
    }
    stderr_of(&output, 0);
    let record = fs_err::read_to_string(world.run_folder("gpu").join("stages/images.json"))?;
    let figures: Value = serde_json::from_str(&record)?;
    let figure = |name: &str| &figures["figures"][name];
    assert_eq!((figure("device"), &figure("pace")["workers"]), (&Value::from("wgpu"), &Value::from(2)), "{figures}");
    assert!(figure("busy_share").as_f64().is_some_and(|share| share > 0.0 && share <= 1.0), "{figures}");

    // Two workers finish out of order; the rows do not. Another order of summation: 1e-4 of the largest value.
    let (cpu, gpu) = (activations(&world, "cpu")?, activations(&world, "gpu")?);
    assert_eq!(cpu.image_index, gpu.image_index);
    let difference = difference(&cpu, &gpu);
    assert!(difference > 0.0 && difference < 1e-4, "{difference:.1e}");
    Ok(())
}

fn activations(world: &World, runs: &str) -> Result<ActivationBatch, Box<dyn std::error::Error>> {
    let part = PartReader::open(&world.run_folder(runs).join("activations/part-00000.parquet"))?;
    let heads: Vec<HeadId> = (0..3).flat_map(|layer| (0..2).map(move |head| HeadId { layer, head })).collect();
    Ok(part.read(&heads, true)?)
}

/// Largest difference of any head or of the representation, over the largest value of its kind.
fn difference(one: &ActivationBatch, other: &ActivationBatch) -> f64 {
    let heads = one.heads.iter().zip(&other.heads);
    heads
        .chain([(&one.representation, &other.representation)])
        .map(|(one, other)| {
            assert_eq!(one.len(), other.len());
            let largest = one.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            one.iter().zip(other).map(|(x, y)| (x - y).abs() / largest).fold(0.0, f32::max)
        })
        .map(f64::from)
        .fold(0.0, f64::max)
}
