use std::{process::Stdio, thread, time::Duration};

use fs_err as fs;

use crate::support::{Outcome, World, stderr_of};

/// Killed ten times at moments spread over the run, then continued: the tables are byte-equal to those of an undisturbed
/// run, and no part that was committed is written again.
#[test]
fn a_killed_run_continues_to_the_same_bytes() -> Outcome {
    let world = World::new(400)?;
    let with_small_parts = |runs: &str| {
        let mut command = world.run_all(runs);
        command.env("HEADSPAN__IMAGES__PART_ROWS", "16").args(["--batch-size", "8"]);
        command
    };
    let started = std::time::Instant::now();
    stderr_of(&with_small_parts("undisturbed").output()?, 0);
    let whole = started.elapsed();
    let mut seen = Vec::new();
    // A fixed sequence of odd shares of the undisturbed run's time; the machine's own jitter makes the moments random.
    for share in [0.07, 0.91, 0.33, 0.55, 0.18, 0.74, 0.46, 0.62, 0.27, 0.83] {
        let mut child = with_small_parts("killed").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * share / 3.0));
        child.kill()?;
        child.wait()?;
        for (path, modified) in &seen {
            assert_eq!(
                &fs::metadata::<&std::path::PathBuf>(path)?.modified()?,
                modified,
                "a committed part was repeated"
            );
        }
        seen.clear();
        let folder = world.run_folder("killed").join("activations");
        if folder.is_dir() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|ending| ending == "parquet") {
                    let modified = fs::metadata(&path)?.modified()?;
                    seen.push((path, modified));
                }
            }
        }
    }
    stderr_of(&with_small_parts("killed").output()?, 0);
    let (killed, undisturbed) = (world.artifacts("killed")?, world.artifacts("undisturbed")?);
    let names = |artifacts: &std::collections::BTreeMap<String, Vec<u8>>| artifacts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&killed), names(&undisturbed));
    for (name, bytes) in &undisturbed {
        assert!(killed[name] == *bytes, "{name} differs");
    }
    let leftovers = fs::read_dir(world.run_folder("killed"))?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
        .count();
    assert_eq!(leftovers, 0, "temporary files are swept");
    Ok(())
}
