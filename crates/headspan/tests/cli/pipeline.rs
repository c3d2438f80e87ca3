use std::path::Path;

use fs_err as fs;
use headspan_artifacts::{ImageRow, ImageStatus, MomentsRow, PartReader, TextRow, read_rows};

use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

#[test]
fn run_all_writes_every_artifact_and_a_second_run_does_nothing() -> Outcome {
    let world = World::new(30)?;
    let output = world.run_all("runs").output()?;
    let log = stderr_of(&output, 0);
    assert!(String::from_utf8_lossy(&output.stdout).contains("lexicon"), "the summary goes to stdout");
    assert!(log.contains("sum identity"), "{log}");
    let artifacts = world.artifacts("runs")?;
    for table in ["images", "readout", "moments", "texts", "categories", "textspan", "labels", "metrics"] {
        assert!(artifacts.contains_key(&format!("{table}.parquet")), "{table} is missing");
    }
    assert!(world.states("runs", &["--k", "4"])?.values().all(|state| state == "done"));
    let again = stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(again.matches("up to date").count(), 5, "{again}");
    assert_eq!(world.artifacts("runs")?, artifacts);
    Ok(())
}

#[test]
fn layers_by_another_name_are_not_extracted_again() -> Outcome {
    let world = World::new(4)?;
    stderr_of(&world.run_all("runs").args(["--layers", "last:4"]).output()?, 0);
    let artifacts = world.artifacts("runs")?;
    for same in ["0,1,2", "2, 1,0", "all", "last:3"] {
        let again = stderr_of(&world.run_all("runs").args(["--layers", same]).output()?, 0);
        assert_eq!(again.matches("up to date").count(), 5, "{same}: {again}");
        assert!(world.states("runs", &["--k", "4", "--layers", same])?.values().all(|state| state == "done"), "{same}");
    }
    assert_eq!(world.artifacts("runs")?, artifacts);
    assert_eq!(world.states("runs", &["--k", "4", "--layers", "0,2"])?["images"], "stale");
    Ok(())
}

#[test]
fn a_run_keeps_the_precision_that_was_chosen_for_it() -> Outcome {
    let world = World::new(4)?;
    let auto = ["--set", "images.precision=auto"];
    let log = stderr_of(&world.run_all("runs").args(auto).output()?, 0);
    assert!(log.contains("images a second through two blocks"), "{log}");
    let read = |name: &str| -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_slice(&fs::read(world.run_folder("runs").join(name))?)?)
    };
    let (chosen, record) = (read("precision.json")?, read("stages/images.json")?);
    let precision = chosen["precision"].as_str().ok_or("no precision")?;
    // Which one depends on the processor; the CPU has no float16.
    let rates = chosen["rates"].as_array().ok_or("no rates")?;
    assert!(rates.len() == 2 && rates.iter().all(|rate| rate["images_per_second"].as_f64() > Some(0.0)), "{chosen}");
    assert_eq!(record["config"]["precision"].as_str().unwrap_or("float32"), precision);
    // Neither asking again nor naming what was chosen does anything; the CPU need not be as fast as it was.
    let named = format!("images.precision={precision}");
    for flags in [auto, ["--set", &named]] {
        let again = stderr_of(&world.run_all("runs").args(flags).output()?, 0);
        assert_eq!(again.matches("up to date").count(), 5, "{again}");
        let states = world.states("runs", &[&["--k", "4"], &flags[..]].concat())?;
        assert!(states.values().all(|state| state == "done"), "{states:?}");
    }
    Ok(())
}

#[test]
fn a_run_in_a_named_precision_is_not_made_again_by_auto() -> Outcome {
    let world = World::new(4)?;
    stderr_of(&world.run_all("runs").args(["--set", "images.precision=bfloat16"]).output()?, 0);
    let again = stderr_of(&world.run_all("runs").args(["--set", "images.precision=auto"]).output()?, 0);
    assert_eq!(again.matches("up to date").count(), 5, "{again}");
    Ok(())
}

#[test]
fn shards_do_not_choose_a_precision_each_for_itself() -> Outcome {
    let world = World::new(4)?;
    let mut command = world.command("extract", "runs");
    command.arg("--checkpoint").arg(world.path("tiny")).arg("--images").arg(world.path("images"));
    command.args(["--texts"]).arg(world.path("pool.csv")).args(["--shard", "0/2", "--set", "images.precision=auto"]);
    let log = stderr_of(&command.output()?, 1);
    assert!(log.contains("shards may run on several") && log.contains("images.precision=float32"), "{log}");
    Ok(())
}

#[test]
fn bad_images_are_recorded_skipped_and_counted() -> Outcome {
    let world = World::new(6)?;
    let good = fs::read(world.path("images/even/00000.png"))?;
    let bad: [(&str, &[u8], &str); 4] = [
        ("zero.jpg", b"", "empty"),
        ("text.png", b"not an image", "not an image in a known format"),
        ("cut.png", &good[..good.len() / 2], "truncated PNG"),
        ("bomb.png", &bomb(&good), "more than the limit"),
    ];
    for (name, bytes, _) in bad {
        fs::write(world.path("images/even").join(name), bytes)?;
    }
    let log = stderr_of(&world.run_all("runs").output()?, 0);
    assert!(log.contains("skipped 4 of 10 images"), "{log}");
    let rows: Vec<ImageRow> = read_rows(&world.run_folder("runs").join("images.parquet"))?;
    for (name, _, message) in bad {
        let row = rows.iter().find(|row| row.image_id == format!("even/{name}")).ok_or(name)?;
        assert_eq!(row.status, ImageStatus::Skipped);
        assert!(row.error.as_ref().is_some_and(|error| error.contains(message)), "{row:?}");
    }
    let part = PartReader::open(&world.run_folder("runs").join("activations/part-00000.parquet"))?;
    assert_eq!(part.metadata().rows, 6);
    let strict = stderr_of(&world.run_all("strict").arg("--strict").output()?, 1);
    assert!(strict.contains("hint: without `--strict`") && strict.contains("even/"), "{strict}");
    Ok(())
}

/// A PNG whose header claims 60000 × 60000 pixels.
fn bomb(png: &[u8]) -> Vec<u8> {
    let mut bomb = png.to_vec();
    bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    // The header's checksum has to fit, or it is merely corrupt.
    let mut crc = 0xffff_ffff_u32;
    for byte in &bomb[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    bomb[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bomb
}

#[test]
fn shards_of_a_job_array_give_the_run_of_one_process() -> Outcome {
    let world = World::new(40)?;
    let small_parts = |mut command: std::process::Command| {
        command.env("HEADSPAN__IMAGES__PART_ROWS", "8");
        command.output()
    };
    stderr_of(&small_parts(world.run_all("whole"))?, 0);
    for shard in ["1/3", "0/3", "2/3", "2/3"] {
        let mut command = world.command("extract", "sharded");
        command.arg("--checkpoint").arg(world.path("tiny")).arg("--images").arg(world.path("images"));
        command.arg("--texts").arg(world.path("pool.csv")).args(["--device", "cpu", "--shard", shard]);
        stderr_of(&small_parts(command)?, 0);
    }
    stderr_of(&small_parts(world.run_all("sharded"))?, 0);
    assert_eq!(world.artifacts("sharded")?, world.artifacts("whole")?);
    Ok(())
}

#[test]
fn part_and_batch_size_do_not_change_the_numbers() -> Outcome {
    let world = World::new(25)?;
    stderr_of(&world.run_all("one").output()?, 0);
    let mut other = world.run_all("other");
    other.env("HEADSPAN__IMAGES__PART_ROWS", "7").env("HEADSPAN__IMAGES__WORKERS", "1").args(["--batch-size", "3"]);
    stderr_of(&other.output()?, 0);
    let moments = |runs: &str| read_rows::<MomentsRow>(&world.run_folder(runs).join("moments.parquet"));
    for (one, other) in moments("one")?.iter().zip(&moments("other")?) {
        let largest = one.second_moment.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for (x, y) in one.second_moment.iter().zip(&other.second_moment) {
            // Rounding of float32 activations, as the design states: 1e-6 of the largest value.
            assert!((x - y).abs() <= 1e-6 * largest, "{x} and {y}");
        }
    }
    let span = |runs: &str| fs::read(world.run_folder(runs).join("textspan.parquet")).map(|bytes| bytes.len());
    assert!(span("one")? > 0 && span("other")? > 0);
    Ok(())
}

#[test]
fn a_pool_of_thousands_is_embedded_a_text_at_a_time() -> Outcome {
    let world = World::new(2)?;
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4");
    let mut command = world.command("extract", "runs");
    command.arg("--checkpoint").arg(demo).arg("--images").arg(world.path("images")).args(["--device", "cpu"]);
    stderr_of(&command.env("HEADSPAN__TEXTS__BATCH_SIZE", "1").output()?, 0);
    let texts: Vec<TextRow> = read_rows(&world.path("runs/toy/scenes-4/texts.parquet"))?;
    assert!(texts.len() > 3_000 && texts.iter().all(|text| !text.embedding.is_empty()));
    Ok(())
}

#[test]
fn exported_contributions_have_the_promised_columns() -> Outcome {
    let world = World::new(5)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let out = world.path("out.parquet");
    let mut command = world.command("export", "runs");
    command.args(["--model", "tiny", "--layer", "2", "--head", "1", "--out"]).arg(&out);
    stderr_of(&command.output()?, 0);
    let file = fs::File::open(&out)?.into_parts().0;
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)?;
    let fields: Vec<String> =
        reader.schema().fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
    assert_eq!(fields[0], "image_index: UInt64");
    assert_eq!(fields[1], "image_id: Utf8");
    assert!(fields[2].starts_with("activation: FixedSizeList(12 x"), "{fields:?}");
    let mut missing = world.command("export", "runs");
    missing.args(["--model", "tiny", "--layer", "9", "--head", "1", "--out"]).arg(&out);
    assert!(stderr_of(&missing.output()?, 1).contains("L9.H1 was not extracted"));
    Ok(())
}

#[test]
fn a_file_of_labels_is_scored_and_compared_without_activations() -> Outcome {
    let world = World::new(0)?;
    let mut text = String::from("model,layer,head,property\n");
    for head in 0..8 {
        text.push_str(&format!("one,0,{head},{}\n", ["Colors", "color", "Animals", "Food"][head % 4]));
        text.push_str(&format!("two,0,{head},Property {head}\n"));
    }
    fs::write(world.path("labels.csv"), text)?;
    let mut command = world.command("metrics", "runs");
    let output = command.arg("--labels").arg(world.path("labels.csv")).output()?;
    stderr_of(&output, 0);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    // Model one: 8 heads, 3 distinct properties after folding: 5/8 repeat one. Model two repeats none.
    assert!(table.contains("0.625") && table.contains("0.000"), "{table}");
    let compared = world.command("compare", "runs").output()?;
    stderr_of(&compared, 0);
    assert!(world.path("runs/toy/comparison.parquet").is_file());
    let page = fs::read_to_string(world.path("runs/toy/comparison.html"))?;
    assert!(page.contains("one") && page.contains("animal") && !page.contains("http"), "one page without a network");
    Ok(())
}
