use fs_err as fs;

use crate::support::{Outcome, World, stderr_of};

/// Which stages ran, by the log.
fn ran(log: &str) -> Vec<&'static str> {
    ["images", "texts", "textspan", "label", "metrics"]
        .into_iter()
        .filter(|stage| log.contains(&format!("tiny {stage}: ")) && !log.contains(&format!("tiny {stage}: up to date")))
        .collect()
}

#[test]
fn one_changed_value_reruns_exactly_the_stages_that_read_it() -> Outcome {
    let world = World::new(12)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let cases: [(&str, &str, &[&str]); 7] = [
        ("HEADSPAN__METRICS__SCORES__SEED", "1", &["metrics"]),
        ("HEADSPAN__LABEL__LEXICON__TEXTS", "3", &["label", "metrics"]),
        ("HEADSPAN__TEXTSPAN__RANK", "5", &["textspan", "label", "metrics"]),
        ("HEADSPAN__DATA__LIMIT", "9", &["images", "textspan", "label", "metrics"]),
        ("HEADSPAN__IMAGES__LAYERS", "last:1", &["images", "textspan", "label", "metrics"]),
        ("HEADSPAN__IMAGES__BATCH_SIZE", "2", &[]),
        ("HEADSPAN__IMAGES__STRICT", "true", &[]),
    ];
    for (name, value, expected) in cases {
        let changed = stderr_of(&world.run_all("runs").env(name, value).output()?, 0);
        assert_eq!(ran(&changed), expected, "{name}={value}\n{changed}");
        let back = stderr_of(&world.run_all("runs").output()?, 0);
        assert_eq!(ran(&back), expected, "back from {name}={value}");
    }
    fs::write(world.path("pool.csv"), fs::read_to_string(world.path("pool.csv"))? + "A tree,size\n")?;
    let log = stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(ran(&log), ["texts", "textspan", "label", "metrics"]);
    Ok(())
}

#[test]
fn status_says_what_is_stale_without_reading_inputs() -> Outcome {
    let world = World::new(4)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let states = world.states("runs", &["--k", "3"])?;
    let of = |stage: &str| states.get(stage).map(String::as_str);
    assert_eq!((of("images"), of("textspan"), of("metrics")), (Some("done"), Some("stale"), Some("stale")));
    Ok(())
}
