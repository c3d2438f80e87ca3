//! What a person says of a run: kept by a server that is killed, listed, compared and scored by other commands.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
};

use fs_err as fs;
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

struct Server {
    process: Child,
    address: String,
    /// Where the review begins.
    place: String,
}

impl Server {
    fn start(world: &World, flags: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut command = world.command("review", "runs");
        command.args(["tiny", "--listen", "127.0.0.1:0", "--device", "cpu"]).args(flags);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let whole = line.trim().strip_prefix("http://").ok_or_else(|| format!("no address in {line:?}"))?;
        let (address, place) = whole.split_at(whole.find('/').unwrap_or(whole.len()));
        Ok(Self { process, address: address.to_owned(), place: place.to_owned() })
    }

    fn send(&self, request: &str, body: &str) -> Result<String, Box<dyn std::error::Error>> {
        let mut stream = TcpStream::connect(&self.address)?;
        let (host, length) = (&self.address, body.len());
        write!(stream, "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n")?;
        write!(stream, "Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn json(&self, path: &str) -> Result<Value, Box<dyn std::error::Error>> {
        let answer = self.send(&format!("GET {path}"), "")?;
        let body = answer.split_once("\r\n\r\n").ok_or("no body")?.1;
        Ok(serde_json::from_str(&body[body.find('{').unwrap_or(0)..=body.rfind('}').unwrap_or(0)])?)
    }

    /// Answers what is asked next.
    fn answer(&self, value: &str) -> Outcome {
        let asked = self.json("/r/toy/tiny/review.json?as=anna")?["asked"].take();
        let pick = asked["pick"].as_u64().unwrap_or(0);
        let text = asked["texts"][pick as usize]["text"].as_str().unwrap_or_default().replace(' ', "+");
        let (head, property) = (&asked["head"], asked["property"].as_str().unwrap_or_default());
        let form = format!(
            "as=anna&head=L{}.H{}&property={property}&pick={pick}&text={text}&seen=0&at=0&value={value}",
            head["layer"], head["head"]
        );
        let answer = self.send("POST /r/toy/tiny/review", &form)?;
        assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn a_review_outlives_its_server_and_is_a_labeller() -> Outcome {
    let world = World::new(8)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let before = world.artifacts("runs")?;
    let server = Server::start(&world, &["--as", "anna"])?;
    assert_eq!(server.place, "/r/toy/tiny/review?as=anna");
    for value in ["1", "0", "1", "1", "u", "0"] {
        server.answer(value)?;
    }
    // Killed, not ended: what was answered is on the disk.
    drop(server);
    let server = Server::start(&world, &[])?;
    let review = server.json("/r/toy/tiny/review.json?as=anna")?;
    assert_eq!(review["answered"], 6, "{review}");
    drop(server);
    let mut after = world.artifacts("runs")?;
    assert!(after.remove("notes.parquet").is_some());
    assert_eq!(before, after, "the run's own tables are as they were");

    let json = |words: &[&str]| -> Result<Value, Box<dyn std::error::Error>> {
        let output = world.command(words[0], "runs").arg("tiny").args(&words[1..]).arg("--json").output()?;
        stderr_of(&output, 0);
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let notes = json(&["notes", "--as", "anna"])?;
    let values: Vec<_> = notes.as_array().into_iter().flatten().map(|row| row["value"].as_str()).collect();
    assert_eq!(values.iter().filter(|value| **value == Some("fits")).count(), 3);
    assert_eq!(json(&["notes", "--kind", "comment"])?.as_array().map(Vec::len), Some(0));
    let table = json(&["review", "--table"])?;
    let row = &table["agreements"][0];
    assert_eq!(
        (&row["about"], &row["n"]),
        (&Value::from("texts"), &Value::from(5)),
        "undecided does not count: {table}"
    );
    assert_eq!(row["labellers"], serde_json::json!(["anna", "lexicon"]));
    let judges: Vec<_> = table["associations"].as_array().into_iter().flatten().map(|one| &one["judges"]).collect();
    assert_eq!(judges, [1, 1], "{table}");
    let figures = json(&["stability", "--splits", "0", "--with", "tiny"])?;
    let has = |metric: &str| figures["figures"].to_string().contains(metric);
    assert!(has("kappa_texts") && figures["figures"].to_string().contains("\"runs\""), "{figures}");

    // Another pool: the heads have other texts, and what was said of the former ones is kept and said to be older.
    let notes_before = fs::read(world.run_folder("runs").join("notes.parquet"))?;
    let pool = fs::read_to_string(world.path("pool.csv"))?;
    fs::write(world.path("pool.csv"), pool.replace("A ", "The big ").replace("The small ", "A small "))?;
    stderr_of(&world.run_all("again").output()?, 0);
    fs::copy(world.run_folder("runs").join("notes.parquet"), world.run_folder("again").join("notes.parquet"))?;
    let output = world.command("notes", "again").arg("tiny").arg("--json").output()?;
    stderr_of(&output, 0);
    let older: Value = serde_json::from_slice(&output.stdout)?;
    let rows: Vec<&Value> = older.as_array().into_iter().flatten().collect();
    assert!(rows.len() == 6 && rows.iter().any(|row| row["older"] == true), "{older}");
    fs::write(world.path("pool.csv"), pool)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    assert_eq!(fs::read(world.run_folder("runs").join("notes.parquet"))?, notes_before, "a run leaves the notes alone");

    // The notes are a file of labels.
    let table = world.run_folder("runs").join("notes.parquet");
    let scored = world.command("metrics", "runs").arg("--labels").arg(&table).output()?;
    stderr_of(&scored, 0);
    assert!(String::from_utf8_lossy(&scored.stdout).contains("anna"), "{}", String::from_utf8_lossy(&scored.stdout));
    stderr_of(&world.command("compare", "runs").output()?, 0);
    let page = fs::read_to_string(world.path("runs/toy/comparison.html"))?;
    assert!(page.contains("How far labellers agree") && page.contains("anna, lexicon"));
    for (flags, says) in [(&["--as", "lexicon"][..], "a labeller has it"), (&["--json"], "--table")] {
        let refused = stderr_of(&world.command("review", "runs").arg("tiny").args(flags).output()?, 2);
        assert!(refused.contains(says), "{refused}");
    }
    Ok(())
}
