//! `--keep`: runs that store no activations, or those of a sample.

use std::{collections::BTreeMap, process::Stdio, thread, time::Duration};

use fs_err as fs;
use headspan_artifacts::{ImageRow, ImageStatus, MomentsRow, PartReader, RunDirectory, RunId, read_rows};

use crate::support::{Outcome, World, stderr_of};

type Tables = BTreeMap<String, Vec<u8>>;

/// More parts than are joined at once.
const IMAGES: usize = 134;
const PARTS: u64 = 67;

/// `run-all` of parts of two images.
fn run_all(world: &World, runs: &str, keep: &str) -> std::process::Command {
    let mut command = world.run_all(runs);
    command.env("HEADSPAN__IMAGES__PART_ROWS", "2").args(["--batch-size", "2", "--keep", keep]);
    command
}

/// One shard, or the merge.
fn extract(world: &World, runs: &str, keep: &str, flags: &[&str]) -> std::process::Command {
    let mut command = world.command("extract", runs);
    command.arg("--checkpoint").arg(world.path("tiny")).arg("--images").arg(world.path("images"));
    command.arg("--texts").arg(world.path("pool.csv")).args(["--device", "cpu"]);
    command.env("HEADSPAN__IMAGES__PART_ROWS", "2").args(["--batch-size", "2", "--keep", keep]).args(flags);
    command
}

fn world() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(IMAGES)?;
    fs::write(world.path("images").join("odd").join("00007.png"), b"\x89PNG\r\n\x1a\nno image")?;
    Ok(world)
}

fn moments(world: &World, runs: &str) -> Result<Vec<MomentsRow>, Box<dyn std::error::Error>> {
    Ok(read_rows(&world.run_folder(runs).join("moments.parquet"))?)
}

fn images(world: &World, runs: &str) -> Result<Vec<ImageRow>, Box<dyn std::error::Error>> {
    Ok(read_rows(&world.run_folder(runs).join("images.parquet"))?)
}

/// The tables of the stages after the extraction, with their footers.
fn later(tables: &Tables) -> Tables {
    let names = ["texts", "categories", "textspan", "labels", "metrics"].map(|name| format!("{name}.parquet"));
    tables.iter().filter(|(name, _)| names.contains(name)).map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
}

#[test]
fn runs_that_keep_moments_have_the_later_tables_of_those_that_keep_all() -> Outcome {
    let world = world()?;
    stderr_of(&run_all(&world, "all", "all").output()?, 0);
    stderr_of(&run_all(&world, "moments", "moments").output()?, 0);
    let (all, own) = (world.artifacts("all")?, world.artifacts("moments").err());
    assert!(own.is_some(), "there is no folder of activations");
    fs::create_dir(world.run_folder("moments").join("activations"))?;
    let own = world.artifacts("moments")?;
    assert_eq!(later(&all).len(), 5);
    assert!(later(&all) == later(&own), "later tables differ");
    assert_eq!(moments(&world, "all")?, moments(&world, "moments")?);
    // Bytes do not grow with the images: one row, of the bad one, and the joined sums of all parts.
    let rows = images(&world, "moments")?;
    assert_eq!(rows.iter().map(|row| row.image_id.as_str()).collect::<Vec<_>>(), ["odd/00007.png"]);
    let parts: Vec<&str> = own.keys().map(String::as_str).filter(|name| name.starts_with("parts/")).collect();
    assert_eq!(parts, ["parts/images-00000-00066.parquet", "parts/sums-00000-00066.parquet"]);
    // Nothing is left to do, whatever command looks at it.
    let again = stderr_of(&run_all(&world, "moments", "moments").output()?, 0);
    assert_eq!(again.matches("up to date").count(), 5, "{again}");
    let record = RunDirectory::at(&world.path("moments"), &RunId::new("toy", "tiny")?).record("images")?;
    let record = record.ok_or("no record")?;
    assert_eq!((&record.config["keep"], &record.figures["kept"]), (&"moments".into(), &0.into()));
    assert_eq!((&record.figures["images"], &record.figures["skipped"]), (&IMAGES.into(), &1.into()));

    // Questions about images say what is missing, and what to do.
    for question in [
        &["query", "neighbours", "tiny", "--heads", "all", "--image", "#3"][..],
        &["query", "extremes", "tiny", "--head", "L1.H0"],
        &["export", "--model", "tiny", "--heads", "L1.H0", "--out", "dense.parquet"],
    ] {
        let mut command = world.bare();
        command.args(question).args(["--dataset", "toy"]).arg("--runs").arg(world.path("moments"));
        let told = stderr_of(&command.output()?, 1);
        assert!(told.contains("keeps moments alone") && told.contains("--keep sample:50000"), "{question:?}: {told}");
    }
    Ok(())
}

/// Saved pages of the explorer, by their numbers.
fn pages(world: &World, runs: &str, pages: &[&str]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut command = world.command("explore", runs);
    command.args(["--device", "cpu", "--save"]).arg(world.path(&format!("{runs}-pages")));
    for page in pages {
        command.args(["--page", page]);
    }
    stderr_of(&command.output()?, 0);
    let read = |page| Ok(fs::read_to_string(world.path(&format!("{runs}-pages/page-{page:03}.html")))?);
    (0..pages.len()).map(read).collect()
}

#[test]
fn the_explorer_says_what_it_cannot_show() -> Outcome {
    let world = world()?;
    let asked = ["/", "/r/toy/tiny/head/L1.H0", "/r/toy/tiny/images"];
    stderr_of(&run_all(&world, "moments", "moments").output()?, 0);
    for page in pages(&world, "moments", &asked)? {
        assert!(page.contains(&format!("keeps moments alone: the activations of its {IMAGES} images")), "{page}");
    }
    let head = &pages(&world, "moments", &asked)?[1];
    assert!(head.contains("Texts that span its output") && head.contains("Most similar heads"), "{head}");
    stderr_of(&run_all(&world, "sample", "sample:20").output()?, 0);
    for page in pages(&world, "sample", &asked)? {
        assert!(page.contains("uniform sample: 20 of 134 images") || page.contains("uniform sample: 19 of"), "{page}");
    }
    Ok(())
}

/// Another choice of what to keep extracts anew and leaves the later stages as they are.
#[test]
fn later_stages_do_not_depend_on_what_is_kept() -> Outcome {
    let world = world()?;
    stderr_of(&run_all(&world, "runs", "all").output()?, 0);
    let before = world.artifacts("runs")?;
    let modified = || fs::metadata(world.run_folder("runs").join("textspan.parquet"))?.modified();
    let first = modified()?;
    stderr_of(&run_all(&world, "runs", "sample:20").output()?, 0);
    assert_eq!(modified()?, first, "TEXTSPAN ran again");
    let asked = ["images.keep=\"sample:20\"", "images.part_rows=2", "textspan.texts=4"];
    let states = world.states("runs", &asked.map(|setting| ["--set", setting]).concat())?;
    assert!(["images", "textspan", "label", "metrics"].iter().all(|stage| states[*stage] == "done"), "{states:?}");
    assert!(later(&before) == later(&world.artifacts("runs")?));
    // And back: nothing of the sample is left.
    stderr_of(&run_all(&world, "runs", "all").output()?, 0);
    assert!(world.artifacts("runs")? == before);
    Ok(())
}

#[test]
fn shards_and_killed_runs_keep_the_same_sample_and_moments() -> Outcome {
    let world = world()?;
    for keep in ["moments", "sample:20"] {
        let runs = |name: &str| format!("{name}-{}", keep.replace(':', "-"));
        let (whole, sharded, killed) = (runs("whole"), runs("sharded"), runs("killed"));
        let started = std::time::Instant::now();
        stderr_of(&run_all(&world, &whole, keep).output()?, 0);
        let took = started.elapsed();

        for (shard, there) in [("2/3", 22), ("0/3", 45), ("0/3", 45)] {
            let told = extract(&world, &sharded, keep, &["--shard", shard]).output()?;
            let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), stderr_of(&told, 0));
            assert!(text.contains(&format!("{there} of {PARTS} parts are there")), "{shard}: {text}");
        }
        // Parts are there and no stage is done: `status` and `plan` say so.
        assert_eq!(world.states(&sharded, &[])?["images"], "partial");
        let like = run_all(&world, &sharded, keep);
        let planned = like.get_args().skip(1).map(ToOwned::to_owned).collect::<Vec<_>>();
        let mut plan = world.bare();
        plan.arg("plan").args(planned).env("HEADSPAN__IMAGES__PART_ROWS", "2");
        let told = String::from_utf8(plan.output()?.stdout)?;
        assert!(told.contains(&format!("45 of {PARTS} parts are there")), "{told}");
        stderr_of(&extract(&world, &sharded, keep, &["--merge"]).output()?, 1);
        stderr_of(&extract(&world, &sharded, keep, &["--shard", "1/3"]).output()?, 0);
        stderr_of(&run_all(&world, &sharded, keep).output()?, 0);

        for share in [0.3, 0.5, 0.4, 0.7, 0.6] {
            let mut child = run_all(&world, &killed, keep).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            thread::sleep(Duration::from_secs_f64(took.as_secs_f64() * share));
            child.kill()?;
            child.wait()?;
        }
        stderr_of(&run_all(&world, &killed, keep).output()?, 0);
        for runs in [&sharded, &killed] {
            for name in [&whole, runs] {
                fs::create_dir_all(world.run_folder(name).join("activations"))?;
            }
            assert!(world.artifacts(&whole)? == world.artifacts(runs)?, "{runs}");
        }
    }
    let rows = images(&world, "whole-sample-20")?;
    let good: Vec<u64> = rows.iter().filter(|row| row.status == ImageStatus::Ok).map(|row| row.image_index).collect();
    let part = PartReader::open(&world.run_folder("whole-sample-20").join("activations/part-00000.parquet"))?;
    assert_eq!(part.read(&[], false)?.image_index, good[..2]);
    assert!((19..=20).contains(&good.len()), "{good:?}");
    Ok(())
}

#[test]
fn questions_about_a_sample_say_so() -> Outcome {
    let world = world()?;
    stderr_of(&run_all(&world, "runs", "sample:20").output()?, 0);
    let kept = images(&world, "runs")?.iter().filter(|row| row.status == ImageStatus::Ok).count();
    let ask = |flags: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let mut command = world.bare();
        command.arg("query").args(flags).args(["--dataset", "toy"]).arg("--runs").arg(world.path("runs"));
        let output = command.output()?;
        stderr_of(&output, 0);
        Ok(String::from_utf8(output.stdout)?)
    };
    let rows = images(&world, "runs")?;
    let image = rows.iter().rfind(|row| row.status == ImageStatus::Ok).ok_or("no image")?;
    let near = ["neighbours", "tiny", "--heads", "all", "--image", &image.image_id];
    let told = ask(&near)?;
    assert!(told.contains(&format!("(a uniform sample: {kept} of {IMAGES})")), "{told}");
    assert!(told.contains(&format!("of {} images", kept - 1)), "{told}");
    let answer: serde_json::Value = serde_json::from_str(&ask(&[&near[..], &["--json"]].concat())?)?;
    assert_eq!(answer["sample"], serde_json::json!({ "kept": kept, "images": IMAGES }));
    // Rows of the table are not positions in the data set: the names are those of the images all the same.
    let named = answer["found"]["images"].as_array().ok_or("no images")?;
    for one in named {
        let row = rows.iter().find(|row| one["image_index"] == row.image_index).ok_or("not of the sample")?;
        assert_eq!(one["image_id"], row.image_id.as_str());
    }
    Ok(())
}
