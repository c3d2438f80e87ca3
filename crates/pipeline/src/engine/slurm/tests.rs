use headspan_artifacts::RunId;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn numbers_become_ranges() {
    assert_eq!(ranges(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
    assert_eq!(ranges(&[5]), "5");
}

/// Recorded from Slurm 22.05; the forms of the states are those of its manual.
#[test]
fn the_queue_is_read() {
    let answer = "\
4711_0|COMPLETED|None
4711_1|RUNNING|None
4711_2|PENDING|Resources
4711_3|FAILED|NonZeroExitCode
4711_4|TIMEOUT|TimeLimit
4711_5|CANCELLED|None
4711_6|COMPLETING|None
4712|PENDING|Dependency
";
    let states = parse_squeue(answer);
    let ended = |text: &str| TaskState::Ended(text.to_owned());
    for (task, state) in [
        ("4711_0", ended("COMPLETED")),
        ("4711_1", TaskState::Running),
        ("4711_2", TaskState::Queued(Some("Resources".to_owned()))),
        ("4711_3", ended("FAILED, NonZeroExitCode")),
        ("4711_4", ended("TIMEOUT, TimeLimit")),
        ("4711_5", ended("CANCELLED")),
        ("4711_6", TaskState::Running),
        ("4712", TaskState::Queued(Some("Dependency".to_owned()))),
    ] {
        assert_eq!(states.get(task), Some(&state), "{task}");
    }
    assert_eq!(states.len(), 8);
    assert!(parse_squeue("").is_empty());
}

#[test]
fn the_accounts_are_read() {
    let answer = "\
4711_0|COMPLETED|0:0
4711_1|FAILED|75:0
4711_2|CANCELLED by 1000|0:15
4711_3|OUT_OF_MEMORY|0:125
4711_4|NODE_FAIL|0:0
4711_[5-7]|PENDING|0:0
";
    let states = parse_sacct(answer);
    let ended = |text: &str| Some(TaskState::Ended(text.to_owned()));
    assert_eq!(states.get("4711_0").cloned(), ended("COMPLETED"));
    assert_eq!(states.get("4711_1").cloned(), ended("FAILED, exit code 75"));
    assert_eq!(states.get("4711_2").cloned(), ended("CANCELLED by 1000, signal 15"));
    assert_eq!(states.get("4711_3").cloned(), ended("OUT_OF_MEMORY, signal 125"));
    assert_eq!(states.get("4711_4").cloned(), ended("NODE_FAIL"));
}

/// The shell itself reads the words back.
#[cfg(unix)]
#[test]
fn a_shell_reads_odd_arguments_as_they_were() -> Outcome {
    let odd = ["it's", "a \"b\" c", "$HOME `id` $(id)", "back\\slash", "line\nbreak", "", "*", "#x", "é%a", "-n", "!!"];
    for word in odd {
        let script = format!("printf %s {}", quoted(word)?);
        let output = Command::new("bash").args(["-c", &script]).output()?;
        assert_eq!(String::from_utf8(output.stdout)?, word, "{script}");
    }
    assert!(quoted("a\0b").is_err());
    Ok(())
}

#[test]
fn values_that_leave_their_line_are_refused() -> Outcome {
    assert_eq!(directive("partition", "gpu-a100,gpu_h100")?, "gpu-a100,gpu_h100");
    assert_eq!(directive("constraint", "[rack1|rack2]&ib")?, "\"[rack1|rack2]&ib\"");
    assert_eq!(directive("comment", "a \"b\" \\ #c")?, "\"a \\\"b\\\" \\\\ #c\"");
    for value in ["gpu\n#SBATCH --uid=0", "gpu\r", "\0"] {
        let message = directive("partition", value).err().ok_or("a control character passed")?.to_string();
        assert!(message.contains("--partition"), "{message}");
    }
    Ok(())
}

#[test]
fn scripts_have_absolute_paths_and_every_resource() -> Outcome {
    let run = RunDirectory::at(Path::new("/data/my 100% runs"), &RunId::new("photos", "ViT-B-32_openai")?);
    let resources = Resources {
        gpus: Some("a100:1".to_owned()),
        partition: Some("gpu".to_owned()),
        time: Some("04:00:00".to_owned()),
        account: Some("lab".to_owned()),
        constraint: Some("a100|h100".to_owned()),
        cpus_per_task: Some(8),
        mem: Some("32G".to_owned()),
        notice: None,
        setup: Some("/home/me/it's.sh".into()),
    };
    let (folder, program) = (Path::new("/home/me"), Path::new("/opt/head span/headspan"));
    let scripts = Scripts { run: &run, number: 2, logs: None, folder, program, resources: &resources };
    let arguments = words(&["extract", "ViT-B-32_openai", "--images", "/data/it's/tars"]);
    let expected = r#"#!/bin/bash
# Written by headspan submit slurm.
#SBATCH --job-name=headspan-extract-photos-ViT-B-32_openai
#SBATCH --array=1,4-6
#SBATCH --chdir=/home/me
#SBATCH --output="/data/my 100%% runs/photos/ViT-B-32_openai/jobs/extract-2.%a.log"
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --signal=B:TERM@90
#SBATCH --gres=gpu:a100:1
#SBATCH --partition=gpu
#SBATCH --time=04:00:00
#SBATCH --account=lab
#SBATCH --constraint="a100|h100"
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
. "/home/me/it's.sh"
exec '/opt/head span/headspan' extract ViT-B-32_openai --images "/data/it's/tars" --shard "$SLURM_ARRAY_TASK_ID/16"
"#;
    assert_eq!(scripts.shards(&[1, 4, 5, 6], 16, &arguments)?, expected);
    assert_eq!(scripts.log_of_shard(4), Path::new("jobs/extract-2.4.log"));
    let rest = scripts.rest(&words(&["run-all"]))?;
    assert!(rest.contains("#SBATCH --kill-on-invalid-dep=yes\n") && rest.ends_with("headspan' run-all\n"), "{rest}");
    let odd = RunDirectory::at(Path::new("/data/back\\slash"), &RunId::new("photos", "m")?);
    assert!(Scripts { run: &odd, ..scripts }.rest(&[]).is_err());
    Ok(())
}

#[test]
fn logs_of_a_run_in_a_store_are_files_of_their_own_folder() -> Outcome {
    let run = RunDirectory::at(Path::new("s3://bucket/runs"), &RunId::new("photos", "m")?);
    let (folder, program) = (Path::new("/home/me"), Path::new("/opt/headspan"));
    let (logs, resources) = (Path::new("/home/me/headspan-jobs/photos/m"), Resources::default());
    let scripts = Scripts { run: &run, number: 1, logs: Some(logs), folder, program, resources: &resources };
    let text = scripts.shards(&[0], 2, &words(&["extract", "m", "--runs=s3://bucket/runs"]))?;
    assert!(text.contains("#SBATCH --output=/home/me/headspan-jobs/photos/m/extract-1.%a.log\n"), "{text}");
    assert!(text.contains(" '--runs=s3://bucket/runs' "), "{text}");
    // `status` finds the log, though the run is elsewhere.
    assert_eq!(run.path().join(scripts.log_of_shard(0)), logs.join("extract-1.0.log"));
    assert_eq!(scripts.path("rest"), logs.join("rest-1.sh"));
    Ok(())
}
