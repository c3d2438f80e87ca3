//! Runs on machines that something else schedules: a Slurm of shell scripts, whose tasks the tests run themselves.
#![cfg(unix)]

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Programs of Slurm that write down how they were called. `squeue` answers with the file `queue`.
struct Cluster {
    world: World,
}

impl Cluster {
    fn new(images: usize) -> Result<Self> {
        let cluster = Self { world: World::new(images)? };
        let folder = cluster.world.path("cluster");
        fs::create_dir_all(folder.join("bin"))?;
        let sbatch =
            "echo \"$*\" >> calls\nn=$(cat jobs 2> /dev/null || echo 1000)\necho $((n + 1)) > jobs\necho $((n + 1))\n";
        let squeue =
            "cat queue 2> /dev/null || { echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }\n";
        let sacct = "echo 'Slurm accounting storage is disabled' >&2; exit 1\n";
        let scancel = "echo \"cancel $*\" >> calls\n";
        for (name, text) in [("sbatch", sbatch), ("squeue", squeue), ("sacct", sacct), ("scancel", scancel)] {
            let path = folder.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\ncd '{}' || exit 9\n{text}", folder.display()))?;
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(cluster)
    }

    /// The binary with this cluster on its path, and parts of eight images.
    fn with_cluster(&self, mut command: Command) -> Command {
        let bin = self.world.path("cluster").join("bin").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{bin}:{path}")).env("HEADSPAN__IMAGES__PART_ROWS", "8");
        command
    }

    fn submit(&self, flags: &[&str]) -> Command {
        let mut command = self.with_cluster(self.world.bare());
        command.args(["submit", "slurm", "--dataset", "toy", "--runs", "runs", "--checkpoint", "tiny"]);
        command.args(["--images", "images", "--texts", "pool.csv", "--device", "cpu", "--k", "4"]);
        if !["--tasks", "--task-gigabytes"].iter().any(|flag| flags.contains(flag)) {
            command.args(["--tasks", "3"]);
        }
        command.args(flags);
        command
    }

    fn submitted(&self, flags: &[&str]) -> Result<Value> {
        let output = self.submit(flags).arg("--json").output()?;
        stderr_of(&output, 0);
        let value: Value = serde_json::from_slice(&output.stdout)?;
        Ok(value["runs"][0].clone())
    }

    fn queue(&self, answer: &str) -> Outcome {
        Ok(fs::write(self.world.path("cluster/queue"), answer)?)
    }

    fn calls(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.world.path("cluster/calls"))?;
        let folder = self.world.run_folder("runs").join("jobs").display().to_string();
        Ok(text.replace(&folder, "JOBS").lines().map(str::to_owned).collect())
    }

    /// Runs a script as Slurm would, with its log where the script says.
    fn run(&self, script: &str, shard: Option<u64>) -> Outcome {
        let folder = self.world.run_folder("runs").join("jobs");
        let log = match shard {
            Some(shard) => format!("{script}.{shard}.log"),
            None => format!("{script}.log"),
        };
        let mut command = Command::new("bash");
        command.arg(folder.join(format!("{script}.sh"))).current_dir(self.world.path(""));
        if let Some(shard) = shard {
            command.env("SLURM_ARRAY_TASK_ID", shard.to_string());
        }
        command.env("HEADSPAN__TEXTS__CATEGORIES", self.world.path("pool.csv"));
        let log = fs::File::create(folder.join(log))?.into_parts().0;
        let status = self.with_cluster(command).stderr(log).stdout(Stdio::null()).status()?;
        assert!(status.success(), "{script} {shard:?}: {status}");
        Ok(())
    }

    fn jobs(&self) -> Result<Value> {
        let mut command = self.with_cluster(self.world.command("status", "runs"));
        let output = command.arg("--json").output()?;
        stderr_of(&output, 0);
        let value: Value = serde_json::from_slice(&output.stdout)?;
        Ok(value["runs"][0]["jobs"].clone())
    }

    fn states(&self) -> Result<Vec<String>> {
        let jobs = self.jobs()?;
        let shards = jobs["shards"].as_array().ok_or("no shards")?;
        Ok(shards.iter().map(|shard| shard["state"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

#[test]
fn a_dry_run_prints_the_scripts_and_leaves_nothing() -> Outcome {
    let cluster = Cluster::new(40)?;
    let flags = ["--gpus", "1", "--partition", "gpu", "--time", "4:00:00", "--dry-run"];
    let output = cluster.submit(&flags).env("PATH", "/nowhere").output()?;
    stderr_of(&output, 0);
    let world = cluster.world.path("").display().to_string();
    let text = String::from_utf8(output.stdout)?;
    let text =
        text.replace(world.trim_end_matches('/'), "[world]").replace(env!("CARGO_BIN_EXE_headspan"), "[headspan]");
    insta::assert_snapshot!("submit_dry_run", text);
    assert!(!cluster.world.path("runs").exists());
    let refused = cluster.submit(&["--partition", "gpu\n#SBATCH --uid=0"]).output()?;
    assert!(stderr_of(&refused, 1).contains("--partition"));
    Ok(())
}

#[test]
fn shards_may_be_cut_by_the_bytes_that_they_read() -> Outcome {
    let cluster = Cluster::new(40)?;
    let mut bytes = 0;
    for class in fs::read_dir(cluster.world.path("images"))? {
        for image in fs::read_dir(class?.path())? {
            bytes += image?.metadata()?.len();
        }
    }
    let arrays = |gigabytes: f64| -> Result<String> {
        let output = cluster.submit(&["--task-gigabytes", &format!("{gigabytes:.9}"), "--dry-run"]).output()?;
        stderr_of(&output, 0);
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().find_map(|line| line.strip_prefix("#SBATCH --array=")).unwrap_or_default().to_owned())
    };
    // A little more than half of the bytes is two shards; five parts of eight images are five shards at most.
    assert_eq!(arrays(0.51 * f64::from(u32::try_from(bytes)?) / 1e9)?, "0-1");
    assert_eq!(arrays(1e-9)?, "0-4");
    let refused = cluster.submit(&["--task-gigabytes", "0"]).output()?;
    assert!(stderr_of(&refused, 2).contains("more than 0 gigabytes"));
    Ok(())
}

#[test]
fn without_slurm_nothing_is_submitted_and_status_works() -> Outcome {
    let cluster = Cluster::new(8)?;
    let refused = cluster.submit(&[]).env("PATH", "/nowhere").output()?;
    assert!(stderr_of(&refused, 1).contains("hint: run this on a machine from which jobs are submitted"));
    cluster.submitted(&[])?;
    let status = cluster.world.command("status", "runs").env("PATH", "/nowhere").output()?;
    stderr_of(&status, 0);
    let text = String::from_utf8(status.stdout)?;
    assert!(text.contains("1 unknown") && text.contains("2 done"), "{text}");
    Ok(())
}

/// 40 images in five parts, as three shards: one done, one failed, one running; then the rest.
#[test]
fn ray_needs_a_python_with_the_package_of_this_version() -> Outcome {
    let cluster = Cluster::new(1)?;
    let submit = |python: &str| {
        let mut command = cluster.world.bare();
        command.args(["submit", "ray", "scenes-4", "--images", "images", "--runs", "runs", "--python", python]);
        command.output()
    };
    let bin = cluster.world.path("cluster").join("bin");
    let fake = |name: &str, text: &str| -> Result<String> {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path.display().to_string())
    };
    let without = fake("without", "echo \"ModuleNotFoundError: No module named 'headspan'\" >&2; exit 1")?;
    let other = fake("other", "echo 0.0.0-of-before")?;
    let cases = [
        ("no-such-python", "`no-such-python` cannot be run", 1),
        (&without, "does not have the package headspan: ModuleNotFoundError: No module named 'headspan'", 2),
        (&other, "has headspan 0.0.0-of-before, and this is ", 2),
    ];
    for (python, words, code) in cases {
        let said = stderr_of(&submit(python)?, code);
        assert!(said.contains(words) && said.contains("hint: install the wheel of headspan "), "{said}");
    }
    // What the package is handed, and that its exit code is the program's.
    let version = env!("CARGO_PKG_VERSION");
    let right = fake(
        "right",
        &format!("[ \"$1\" = -c ] && {{ echo {version}; exit; }}\necho \"$*\"\necho \"$HEADSPAN_SUBMIT\"\nexit 7"),
    )?;
    let output = submit(&right)?;
    let said = String::from_utf8(output.stdout)?;
    let (words, call) = said.split_once('\n').ok_or("one line only")?;
    assert_eq!((words, output.status.code()), ("-m headspan._engines.command", Some(7)));
    let call: Value = serde_json::from_str(call)?;
    assert_eq!(call["arguments"]["models"], serde_json::json!(["scenes-4"]));
    assert_eq!(call["arguments"]["images"], "images");
    Ok(())
}

#[test]
fn only_missing_shards_are_submitted_again() -> Outcome {
    let cluster = Cluster::new(40)?;
    let mut whole = cluster.world.run_all("whole");
    stderr_of(&whole.env("HEADSPAN__IMAGES__PART_ROWS", "8").output()?, 0);

    let first = cluster.submitted(&[])?;
    assert_eq!(first["submitted"], serde_json::json!([0, 1, 2]));
    assert_eq!((first["array"].as_str(), first["rest"].as_str()), (Some("1001"), Some("1002")));
    let calls = cluster.calls()?;
    assert_eq!(calls, ["--parsable JOBS/extract-1.sh", "--parsable --dependency=afterok:1001 JOBS/rest-1.sh"]);

    // All of it waits: nothing is submitted twice.
    cluster
        .queue("1001_0|PENDING|Priority\n1001_1|PENDING|Priority\n1001_2|RUNNING|None\n1002|PENDING|Dependency\n")?;
    let again = cluster.submitted(&[])?;
    assert_eq!(again["nothing"].as_str(), Some("all that is missing is queued or running"));
    assert_eq!(cluster.calls()?.len(), 2);
    assert_eq!(cluster.states()?, ["queued", "queued", "running"]);
    // Another number of shards would do the same parts again meanwhile.
    let other = cluster.submit(&["--tasks", "5"]).output()?;
    assert!(stderr_of(&other, 1).contains("another number of shards"));

    // One is done, one failed, one runs on.
    cluster.run("extract-1", Some(0))?;
    let log = cluster.world.run_folder("runs").join("jobs/extract-1.1.log");
    fs::write(log, "some progress\nERROR the disk is full\n")?;
    cluster.queue("1001_1|FAILED|NonZeroExitCode\n1001_2|RUNNING|None\n1002|PENDING|Dependency\n")?;
    assert_eq!(cluster.states()?, ["done", "failed", "running"]);
    let failed = &cluster.jobs()?["shards"][1];
    assert_eq!(failed["last_line"].as_str(), Some("ERROR the disk is full"));
    assert_eq!(failed["reason"].as_str(), Some("FAILED, NonZeroExitCode"));
    let third = cluster.submitted(&[])?;
    assert_eq!(third["submitted"], serde_json::json!([1]));
    let calls = cluster.calls()?;
    let new =
        ["--parsable JOBS/extract-2.sh", "--parsable --dependency=afterok:1001_2:1003 JOBS/rest-2.sh", "cancel 1002"];
    assert_eq!(calls[2..], new);

    // The tasks run, and what they leave is what one machine leaves.
    cluster.run("extract-1", Some(2))?;
    cluster.run("extract-2", Some(1))?;
    cluster.run("rest-2", None)?;
    assert_eq!(cluster.world.artifacts("runs")?, cluster.world.artifacts("whole")?);
    assert_eq!(cluster.states()?, ["done", "done", "done"]);
    assert_eq!(cluster.submitted(&[])?["nothing"].as_str(), Some("every stage is done"));

    // A part that is lost makes its shard missing, and no other.
    fs::remove_file(cluster.world.run_folder("runs").join("activations/part-00004.parquet"))?;
    cluster.queue("")?;
    assert_eq!(cluster.submitted(&[])?["submitted"], serde_json::json!([1]));
    Ok(())
}

/// What a task commits while `status` looks at the run is seen, and the task has not failed.
#[test]
fn a_task_that_ends_while_status_looks_is_done() -> Outcome {
    let cluster = Cluster::new(8)?;
    cluster.submitted(&[])?;
    cluster.run("extract-1", Some(0))?;
    let part = cluster.world.run_folder("runs").join("activations/part-00000.parquet");
    let aside = cluster.world.path("cluster/part");
    fs::rename(&part, &aside)?;
    cluster.queue("1001_0|COMPLETED|None\n")?;
    assert_eq!(cluster.states()?[0], "failed");
    let squeue = cluster.world.path("cluster/bin/squeue");
    let commit = format!("mv '{}' '{}' 2> /dev/null\ncat queue", aside.display(), part.display());
    fs::write(&squeue, fs::read_to_string(&squeue)?.replacen("cat queue", &commit, 1))?;
    assert_eq!(cluster.states()?[0], "done");
    Ok(())
}

#[test]
fn of_two_calls_at_once_one_is_refused() -> Outcome {
    let cluster = Cluster::new(8)?;
    let slow = cluster.world.path("cluster/bin/sbatch");
    let text = fs::read_to_string(&slow)?;
    let (started, go) = (cluster.world.path("cluster/started"), cluster.world.path("cluster/go"));
    let wait =
        format!("touch '{}'\nwhile [ ! -e '{}' ]; do sleep 0.05; done\necho \"$*\"", started.display(), go.display());
    fs::write(&slow, text.replacen("echo \"$*\"", &wait, 1))?;
    let mut first = cluster.submit(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    while !started.exists() {
        assert!(first.try_wait()?.is_none(), "the first call ended early");
        thread::sleep(Duration::from_millis(20));
    }
    let second = cluster.submit(&[]).output()?;
    fs::write(&go, "")?;
    assert!(first.wait()?.success());
    assert!(stderr_of(&second, 1).contains("hint: wait for it to end"));
    assert_eq!(cluster.calls()?.len(), 2);
    Ok(())
}

/// SIGTERM in the middle: exit code 75, whole parts stay, and the same command continues to the same bytes.
#[test]
fn a_signal_ends_an_extraction_after_its_batch() -> Outcome {
    let world = World::new(400)?;
    let with_small_parts = |runs: &str| {
        let mut command = world.run_all(runs);
        command.env("HEADSPAN__IMAGES__PART_ROWS", "2").args(["--batch-size", "1"]);
        command
    };
    let mut child = with_small_parts("stopped").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let first = world.run_folder("stopped").join("activations/part-00000.parquet");
    while !first.exists() {
        assert!(child.try_wait()?.is_none(), "the run ended early");
        thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    assert_eq!(child.wait()?.code(), Some(75));
    let committed = fs::read_dir(world.run_folder("stopped").join("activations"))?.count();
    assert!((1..200).contains(&committed), "{committed} parts");
    let continued = stderr_of(&with_small_parts("stopped").output()?, 0);
    assert!(continued.contains(&format!("continued: {committed} of 200 parts were there")), "{continued}");
    stderr_of(&with_small_parts("whole").output()?, 0);
    assert_eq!(world.artifacts("stopped")?, world.artifacts("whole")?);
    Ok(())
}
