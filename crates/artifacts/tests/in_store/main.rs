//! Runs in a store: conditions of writes, leases, listings, and what reading asks of the store.

mod server;

use std::{path::Path, thread, time::Duration};

use headspan_artifacts::{
    ActivationBatch, ActivationShape, ArtifactError, AtomicFile, CommitError, HeadId, ImageRow, ImageStatus,
    PartReader, PartWriter, RunDirectory, RunId, StageRecord, Table, read_rows, write_atomic, write_rows,
};
use server::{Meanwhile, Outcome, Server, in_store};

const RUNS: &str = "s3://lab/some/runs";
const RUN: &str = "some/runs/d/m";
/// Images of the part.
const ROWS: usize = 500;

fn run() -> Outcome<RunDirectory> {
    Ok(RunDirectory::create(Path::new(RUNS), &RunId::new("d", "m")?)?)
}

fn images() -> Vec<ImageRow> {
    let row = |index: u64| ImageRow {
        image_index: index,
        image_id: format!("{index}.png"),
        class_id: None,
        class_index: None,
        width: 8,
        height: 8,
        status: ImageStatus::Ok,
        error: None,
    };
    (0..ROWS as u64).map(row).collect()
}

fn record(fingerprint: &str, seconds: f64) -> StageRecord {
    StageRecord {
        stage: "images".to_owned(),
        headspan: "0".to_owned(),
        fingerprint: fingerprint.to_owned(),
        results: None,
        config: serde_json::Value::Null,
        inputs: std::collections::BTreeMap::new(),
        rows: 0,
        bytes: 0,
        seconds,
        finished_at: 0,
        figures: std::collections::BTreeMap::new(),
        provenance: None,
    }
}

/// A part of 12 heads that is not committed yet; its numbers are `value`.
fn part(run: &RunDirectory, fingerprint: &str, value: f32) -> Outcome<PartWriter> {
    let shape = ActivationShape { heads: HeadId::of_layers(&[0, 1], 6).collect(), head_dim: 64, d: 32 };
    let mut writer = PartWriter::create(&run.part(0), run.id(), fingerprint, &shape)?;
    let numbers = |each: usize| vec![value; ROWS * each];
    writer.write(ActivationBatch {
        image_index: (0..ROWS as u64).collect(),
        inv_scale: numbers(1),
        mean_scale: numbers(1),
        inv_norm: numbers(1),
        representation: numbers(32),
        heads: shape.heads.iter().map(|_| numbers(64)).collect(),
    })?;
    Ok(writer)
}

/// Whether a commit failed because another work was first.
fn is_other_work(failed: Option<ArtifactError>) -> bool {
    let Some(ArtifactError::Io(error)) = failed else { return false };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<CommitError>());
    matches!(inner, Some(CommitError::OtherWork { .. }))
}

#[test]
fn a_shard_that_runs_twice_keeps_what_was_first() -> Outcome {
    in_store("a_shard_that_runs_twice_keeps_what_was_first", |server| {
        let run = run()?;
        let (first, second, other) = (part(&run, "f00d", 1.0)?, part(&run, "f00d", 2.0)?, part(&run, "beef", 3.0)?);
        first.commit()?;
        let kept = server.read(&format!("{RUN}/activations/part-00000.parquet"));
        second.commit()?;
        assert!(is_other_work(other.commit().err()), "another work was taken for the same");
        assert_eq!(server.read(&format!("{RUN}/activations/part-00000.parquet")), kept);
        // What was seen may be replaced: by a later run with other settings.
        part(&run, "beef", 3.0)?.commit()?;
        assert_eq!(run.fingerprints(&[run.part(0), run.part(1)])?, [Some("beef".to_owned()), None]);
        drop(part(&run, "f00d", 4.0)?);
        assert_eq!(server.keys().len(), 1, "a part that was not committed leaves nothing");
        Ok(())
    })
}

#[test]
fn records_survive_whoever_writes_or_forgets_them_meanwhile() -> Outcome {
    in_store("records_survive_whoever_writes_or_forgets_them_meanwhile", |server| {
        let run = run()?;
        let seconds = || Ok::<_, ArtifactError>(run.record("images")?.map(|record| record.seconds));
        run.commit(&record("old", 1.0))?;
        server.meanwhile("images.json", Meanwhile::Removes);
        run.commit(&record("f00d", 2.0))?;
        assert_eq!(seconds()?, Some(2.0), "a record is put though the old one was forgotten meanwhile");
        let twin = serde_json::to_vec(&record("f00d", 3.0))?;
        server.meanwhile("images.json", Meanwhile::Writes(twin));
        run.commit(&record("f00d", 4.0))?;
        assert_eq!(seconds()?, Some(3.0), "the record of the same work stays");
        server.meanwhile("images.json", Meanwhile::Writes(serde_json::to_vec(&record("beef", 5.0))?));
        assert!(is_other_work(run.commit(&record("f00d", 6.0)).err()));
        run.forget("images")?;
        run.forget("images")?;
        assert_eq!(seconds()?, None);
        Ok(())
    })
}

#[test]
fn files_without_fingerprint_are_equal_or_in_conflict() -> Outcome {
    in_store("files_without_fingerprint_are_equal_or_in_conflict", |server| {
        let file = Path::new("s3://lab/some/runs/d/comparison.html");
        server.meanwhile("comparison.html", Meanwhile::LosesTheAnswer);
        write_atomic(file, b"one")?;
        assert_eq!(server.read("some/runs/d/comparison.html").as_deref(), Some(&b"one"[..]));
        server.meanwhile("comparison.html", Meanwhile::Writes(b"two".to_vec()));
        let failed = write_atomic(file, b"three").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(failed.contains("meanwhile"), "{failed}");
        assert_eq!(server.read("some/runs/d/comparison.html").as_deref(), Some(&b"two"[..]));
        Ok(())
    })
}

#[test]
fn leases_exclude_each_other_as_locks_do() -> Outcome {
    in_store("leases_exclude_each_other_as_locks_do", |server| {
        let run = run()?;
        let held = run.lock()?;
        let told = run.lock().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains(&format!("(process {} on ", std::process::id())) && told.contains(RUNS), "{told}");
        assert!(matches!(run.lock_shard(0, 2), Err(ArtifactError::Locked { .. })));
        drop(held);
        let _first = run.lock_shard(0, 2)?;
        let _second = run.lock_shard(1, 2)?;
        assert!(run.lock_shard(1, 2).is_err() && run.lock().is_err());
        let _jobs = run.lock_jobs()?;
        assert!(run.lock_jobs().is_err());
        let names: Vec<String> =
            server.keys().iter().filter_map(|key| Some(key.rsplit_once('/')?.1.to_owned())).collect();
        assert_eq!(names, ["jobs", "shard-0-of-2", "shard-1-of-2"], "those that were refused leave nothing");
        Ok(())
    })
}

#[test]
fn a_lease_ends_after_its_holder_and_is_renewed_before() -> Outcome {
    in_store("a_lease_ends_after_its_holder_and_is_renewed_before", |server| {
        let run = run()?;
        let held = run.lock_shard(0, 2)?;
        thread::sleep(Duration::from_secs(5));
        assert!(run.lock_shard(0, 2).is_err(), "a lease that is renewed is held for longer than three seconds");
        drop(held);
        // As a process that was killed leaves it.
        write_atomic(&run.path().join(".locks/shard-0-of-2"), b"process 1 on elsewhere\n1\n")?;
        let told = run.lock_shard(0, 2).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("(process 1 on elsewhere)"), "{told}");
        assert!(run.lock().is_err());
        server.age(&format!("{RUN}/.locks/shard-0-of-2"), 10);
        let whole = run.lock()?;
        run.sweep_temporary()?;
        assert_eq!(server.keys(), [format!("{RUN}/.locks/run")]);
        // Another process took the run while this one slept.
        server.age(&format!("{RUN}/.locks/run"), 10);
        server.meanwhile(".locks/run", Meanwhile::Writes(b"process 2 on elsewhere\n2\n".to_vec()));
        thread::sleep(Duration::from_secs(2));
        let lost = run.commit(&record("f00d", 1.0)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(lost.contains("lost"), "{lost}");
        drop(whole);
        assert_eq!(server.keys(), [format!("{RUN}/.locks/run")], "the other's lease stays");
        Ok(())
    })
}

#[test]
fn one_look_says_what_many_requests_would() -> Outcome {
    in_store("one_look_says_what_many_requests_would", |server| {
        let run = run()?;
        assert!(!run.is_there()? && RunDirectory::list(Path::new(RUNS), None)?.is_empty());
        write_rows(&run.table(Table::Images), run.id(), "f00d", &images())?;
        part(&run, "f00d", 1.0)?.commit()?;
        run.commit(&record("f00d", 1.0))?;
        let found: Vec<_> =
            RunDirectory::list(Path::new(RUNS), Some("d"))?.iter().map(|run| run.id().clone()).collect();
        assert_eq!(found, [run.id().clone()]);
        server.requests();
        let seen = run.look()?;
        assert!(seen.has(&run.part(0))? && !seen.has(&run.part(1))? && !seen.has(&run.table(Table::Texts))?);
        assert_eq!(seen.parts()?, [run.part(0)]);
        assert_eq!(
            seen.length_of(&run.part(0))? as usize,
            server.read(&format!("{RUN}/activations/part-00000.parquet")).map_or(0, |part| part.len())
        );
        assert_eq!((seen.record("texts")?, seen.record("images")?.map(|record| record.seconds)), (None, Some(1.0)));
        assert_eq!(seen.table_metadata(Table::Images)?.fingerprint, "f00d");
        let asked = server.requests();
        assert_eq!(asked.len(), 3, "one listing, the record and the footer: {asked:?}");
        // Whoever looks again finds the same versions on disk.
        let again = run.look()?;
        assert_eq!((again.record("images")?.is_some(), again.table_metadata(Table::Images)?.rows), (true, ROWS as u64));
        assert_eq!(server.requests().len(), 1);
        Ok(())
    })
}

#[test]
fn a_column_is_one_request_and_then_none() -> Outcome {
    in_store("a_column_is_one_request_and_then_none", |server| {
        let run = run()?;
        write_rows(&run.table(Table::Images), run.id(), "f00d", &images())?;
        part(&run, "f00d", 1.5)?.commit()?;
        let images: Vec<ImageRow> = read_rows(&run.table(Table::Images))?;
        server.requests();
        let parts = run.parts_of(&images)?;
        let gets =
            |server: &Server| server.requests().into_iter().filter(|request| request.starts_with("GET some")).count();
        assert_eq!(gets(server), 2, "the footers of the table and of the part");
        let head = parts[0].shape().heads[7];
        let mut values = vec![0.0; ROWS * 64];
        assert!(parts[0].read_head(head, &mut values)?);
        assert!(values.iter().all(|value| (value - 1.5).abs() < f32::EPSILON));
        assert_eq!(gets(server), 1);
        assert!(parts[0].read_head(head, &mut values)?);
        assert_eq!(gets(server), 0, "it is on disk");
        let whole = parts[0].read(&parts[0].shape().heads.clone(), true)?;
        assert_eq!((whole.len(), whole.heads.len(), whole.representation.len()), (ROWS, 12, ROWS * 32));
        assert_eq!(gets(server), 1, "columns beside each other come together");
        part(&run, "beef", 2.0)?.commit()?;
        assert!(matches!(parts[0].read(&[], false), Err(ArtifactError::Replaced { .. })));
        assert!(PartReader::open(&run.part(0))?.read(&[], false)?.inv_norm.iter().all(|value| *value > 1.9));
        assert!(matches!(run.parts_of(&images), Err(ArtifactError::Unfinished { .. })));
        Ok(())
    })
}

#[test]
fn many_tables_are_read_at_once_and_in_order() -> Outcome {
    in_store("many_tables_are_read_at_once_and_in_order", |_server| {
        let run = run()?;
        for part in 0..40 {
            let rows: Vec<ImageRow> = images().into_iter().skip(part as usize).take(1).collect();
            write_rows(&run.part_images(part), run.id(), "f00d", &rows)?;
        }
        let paths: Vec<_> = (0..40).map(|part| run.part_images(part)).collect();
        let found = run.rows_of::<ImageRow>(&paths)?;
        let seen = run.look()?;
        assert_eq!(seen.rows_of::<ImageRow>(&paths)?, found);
        assert!(found.iter().enumerate().all(|(part, rows)| rows.len() == 1 && rows[0].image_index == part as u64));
        let mut file = AtomicFile::create(&run.part_images(40))?;
        std::io::Write::write_all(&mut file, b"no table")?;
        file.commit()?;
        assert!(matches!(run.rows_of::<ImageRow>(&[run.part_images(40)]), Err(ArtifactError::Parquet { .. })));
        assert_eq!(run.fingerprints(&[run.part_images(40)])?, [None]);
        Ok(())
    })
}
