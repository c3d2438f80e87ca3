//! What all single-head ablations of a run cost, by random class embeddings: `ablation_cost RUNS CLASSES`, where `synthetic_run RUNS IMAGES`
//! (an example of headspan-query) has made a run of ViT-L/14 geometry. Prints seconds and peak memory. `--reconstruct` does the
//! reconstructions instead, for which k is 20 there.

use std::{error::Error, path::Path, time::Instant};

use headspan_artifacts::{ClassRow, HeadId, ImageRow, ReadoutRow, RunDirectory, RunId, Table, read_rows};
use headspan_metrics::{
    AblationPlan, LabelledImages, ReconstructionPlan, Removed, Replacement, Target, TargetKind, ablations,
    reconstructions,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[expect(clippy::print_stdout, reason = "its figures are all that it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runs, classes, rest @ ..] = &arguments[..] else { return Err("ablation_cost RUNS CLASSES".into()) };
    let run = RunDirectory::at(Path::new(runs), &RunId::new("synthetic", "ViT-L-14_random")?);
    let images: Vec<ImageRow> = read_rows(&run.table(Table::Images))?;
    let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
    let heads: Vec<HeadId> = readouts.iter().map(ReadoutRow::head_id).collect();
    let d = readouts.first().ok_or("no heads")?.d as usize;
    drop(readouts);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut class = |index: usize| {
        let raw: Vec<f32> = (0..d).map(|_| random.random_range(-1.0_f32..1.0)).collect();
        let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
        ClassRow {
            class_index: index as u32,
            class_id: format!("n{index:04}"),
            name: format!("class {index}"),
            embedding: raw.iter().map(|x| x / norm).collect(),
        }
    };
    let classes: Vec<ClassRow> = (0..classes.parse()?).map(&mut class).collect();
    let labels = LabelledImages::new(&images, &classes, None, 0)?;
    let begun = Instant::now();
    let rows = if rest.iter().any(|flag| flag == "--reconstruct") {
        reconstructions(&run, &images, &classes, &labels, &ReconstructionPlan::default())?.len()
    } else {
        let target = |head: &HeadId| Target {
            kind: TargetKind::Head,
            name: head.to_string(),
            removed: Removed::Heads(vec![*head]),
        };
        let plan = AblationPlan {
            targets: heads.iter().map(target).collect(),
            replacements: vec![Replacement::Mean],
            permutations: 0,
            seed: 0,
        };
        ablations(&run, &images, &classes, &labels, &plan)?.len()
    };
    println!(
        "{} images, {} classes, {} heads: {rows} rows in {:.1} s, at most {}",
        images.len(),
        classes.len(),
        heads.len(),
        begun.elapsed().as_secs_f64(),
        peak_memory()
    );
    Ok(())
}

/// Peak of the resident memory, as Linux tells it.
fn peak_memory() -> String {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "an unknown amount".to_owned(), |line| line.trim().to_owned())
}
