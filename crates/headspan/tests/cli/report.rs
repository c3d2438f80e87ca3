//! A report of what is known of runs.

use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

fn report(world: &World, flags: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let output = world.command("report", "runs").args(flags).arg("--json").output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_report_grows_with_what_was_measured_and_its_paper_compiles() -> Outcome {
    let world = World::new(24)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let answer = report(&world, &[])?;
    let folder = world.run_folder("runs").parent().ok_or("no data set")?.join("report");
    assert_eq!(answer["index"].as_str(), folder.join("index.html").to_str());
    let page = fs::read_to_string(folder.join("tiny.html"))?;
    assert!(page.contains("id=\"scores\"") && page.contains("headspan weights tiny --dataset toy"), "{page}");
    assert!(!page.contains("id=\"weights\"") && !folder.join("paper").exists(), "{page}");

    stderr_of(&world.command("weights", "runs").output()?, 0);
    stderr_of(&world.command("stability", "runs").args(["--splits", "2"]).output()?, 0);
    let answer = report(&world, &["tiny", "tiny", "--paper"])?;
    assert_eq!(answer["pages"].as_array().map(Vec::len), Some(1));
    let page = fs::read_to_string(folder.join("tiny.html"))?;
    assert!(page.contains("id=\"weights\"") && page.contains("id=\"stability\""), "{page}");
    // Each figure stands in the page with its data and its drawing; what no run was compared with is open.
    let csv = fs::read_to_string(folder.join("data/tiny/variance-by-head.csv"))?;
    assert!(csv.starts_with("layer,head,share\n") && csv.lines().count() == 7, "{csv}");
    assert!(
        page.contains("data/tiny/variance-by-head.csv") && folder.join("figures/tiny/variance-by-head.svg").is_file()
    );
    assert!(!page.contains("id=\"diff\"") && page.contains("headspan diff tiny --dataset toy OTHER"), "{page}");
    assert!(page.contains("Made by <code>headspan label tiny --dataset toy</code>. The run: images "), "{page}");
    // A row of each of the six heads, whatever the page shows.
    assert_eq!(fs::read_to_string(folder.join("data/tiny/weights.csv"))?.lines().count(), 7);
    let main = fs::read_to_string(folder.join("paper/main.tex"))?;
    let inputs: Vec<&str> =
        main.lines().filter_map(|line| line.strip_prefix("\\input{\"")?.strip_suffix("\"}")).collect();
    assert!(inputs.len() >= 4, "{main}");
    for input in &inputs {
        assert!(folder.join("paper").join(input).is_file(), "{input}");
    }
    // The report is no run.
    let states = world.command("status", "runs").arg("--json").output()?;
    assert!(!stderr_of(&states, 0).contains("report") && !String::from_utf8(states.stdout)?.contains("\"report\""));

    let mut latex = Command::new("pdflatex");
    latex.args(["-interaction=nonstopmode", "-halt-on-error", "main.tex"]).current_dir(folder.join("paper"));
    match latex.output() {
        Ok(output) if output.status.success() => assert!(folder.join("paper/main.pdf").is_file()),
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            let lacks_package = told.contains(".sty' not found");
            assert!(lacks_package, "{told}");
            eprintln!("skipped: this LaTeX lacks a package of the preamble");
        }
        Err(_) => eprintln!("skipped: pdflatex is not installed"),
    }
    Ok(())
}

#[test]
fn a_report_without_runs_says_what_to_do() -> Outcome {
    let world = World::new(0)?;
    fs::create_dir_all(world.path("runs"))?;
    let output = world.bare().args(["report", "--dataset", "photos", "--runs"]).arg(world.path("runs")).output()?;
    assert!(stderr_of(&output, 1).contains("headspan run-all"));
    let output = world.command("report", "runs").args(["--out", "s3://bucket/report"]).output()?;
    assert!(stderr_of(&output, 2).contains("expected a folder of this machine"));
    Ok(())
}

/// An answer in `status --json`: table, state, and the records that changed.
type AnswerState = (String, String, Vec<String>);

#[test]
fn an_answer_that_is_older_than_its_run_says_so() -> Outcome {
    let world = World::new(24)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    stderr_of(&world.run_all("runs").arg("other").output()?, 0);
    for (command, flags) in [
        ("zeroshot", &["tiny"][..]),
        ("weights", &["tiny"]),
        ("stability", &["tiny", "--splits", "2"]),
        ("prune", &["tiny", "--heads", "L0", "--device", "cpu"]),
        ("diff", &["tiny", "other"]),
    ] {
        stderr_of(&world.command(command, "runs").args(flags).output()?, 0);
    }
    let states = || -> Result<Vec<AnswerState>, Box<dyn std::error::Error>> {
        let output = world.command("status", "runs").arg("--json").output()?;
        stderr_of(&output, 0);
        let found: Value = serde_json::from_slice(&output.stdout)?;
        let runs = found["runs"].as_array().ok_or("no runs")?;
        let tiny = runs.iter().find(|run| run["model"] == "tiny").ok_or("no run")?;
        let answers = tiny["answers"].as_array().ok_or("no answers")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
        Ok(answers.iter().map(|one| (text(&one["table"]), text(&one["state"]), all(&one["changed"]))).collect())
    };
    let done = states()?;
    let names: Vec<&str> = done.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, ["zeroshot", "pruning", "weights", "stability"]);
    assert!(done.iter().all(|(_, state, changed)| state == "done" && changed.is_empty()), "{done:?}");

    // Other texts are picked from the same images: what reads the picks is older than they are, and the classification is not.
    stderr_of(&world.run_all("runs").args(["--rank", "2"]).output()?, 0);
    let stale: Vec<(String, String)> = states()?
        .into_iter()
        .filter(|(_, state, _)| state == "stale")
        .map(|(name, _, why)| (name, why.join(" ")))
        .collect();
    let expected = [("weights", "textspan label"), ("stability", "textspan label")];
    assert_eq!(stale, expected.map(|(name, why)| (name.to_owned(), why.to_owned())));
    let output = world.command("status", "runs").output()?;
    let told = String::from_utf8(output.stdout)?;
    assert!(told.contains("textspan, label changed; `headspan weights` makes it anew"), "{told}");

    report(&world, &[])?;
    let folder = world.run_folder("runs").parent().ok_or("no data set")?.join("report");
    let page = fs::read_to_string(folder.join("tiny.html"))?;
    assert_eq!(page.matches("This was measured before textspan, label of the run changed.").count(), 2, "{page}");
    assert!(page.contains("The runs were compared before textspan, label, metrics of tiny changed."), "{page}");
    Ok(())
}
