//! The explorer as a program: it says where it listens, answers, and ends when it is told to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
};

use crate::support::{Outcome, World, stderr_of};

/// A server that ends with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(world: &World, arguments: &[&str]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut command = world.bare();
        command.args(["explore", "--listen", "127.0.0.1:0", "--device", "cpu"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.ok_or_else(|| format!("no address in {line:?}"))?.to_owned();
        Ok(Self { process, address })
    }

    fn get(&self, path: &str, header: &str) -> Result<String, Box<dyn std::error::Error>> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{header}\r\n", self.address)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn runs_are_served() -> Outcome {
    let world = World::new(8)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let server = Server::start(&world, &["--dataset", "toy", "--token", "secret"])?;
    let token = "Authorization: Bearer secret\r\n";
    assert!(server.get("/", "")?.starts_with("HTTP/1.1 401 "));
    let start = server.get("/", token)?;
    assert!(start.starts_with("HTTP/1.1 200 ") && start.contains("toy/tiny") && start.contains("L2.H1"), "{start}");
    let found = server.get("/r/toy/tiny/neighbours.json?heads=all&text=a+red+cat&count=3", token)?;
    assert!(found.starts_with("HTTP/1.1 200 ") && found.contains("\"compared\":8"), "{found}");
    let picture = server.get("/r/toy/tiny/image/3", token)?;
    assert!(picture.starts_with("HTTP/1.1 200 ") && picture.contains("image/png"), "not a picture");

    // What a run needs is taken away while it is served: the question fails and says why, the server goes on.
    fs_err::remove_file(world.path("images/even/00006.png"))?;
    fs_err::remove_dir_all(world.run_folder("runs").join("activations"))?;
    let gone = server.get("/r/toy/tiny/image/3", token)?;
    assert!(gone.starts_with("HTTP/1.1 503 ") && gone.contains("00006.png"), "{gone}");
    let gone = server.get("/r/toy/tiny/neighbours?heads=L1.H0&image=1", token)?;
    assert!(gone.starts_with("HTTP/1.1 200 "), "the column was read with all the others and is kept: {gone}");
    assert!(server.get("/", token)?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

#[test]
fn what_is_gone_stale_or_moved_is_said() -> Outcome {
    let world = World::new(8)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let server = Server::start(&world, &["--dataset", "toy"])?;
    assert!(!server.get("/", "")?.contains("brings it up to date"));
    fs_err::remove_dir_all(world.run_folder("runs").join("activations"))?;
    let gone = server.get("/r/toy/tiny/neighbours?heads=L2.H0&image=1", "")?;
    assert!(gone.starts_with("HTTP/1.1 503 ") && gone.contains("part-"), "{gone}");
    fs_err::remove_file(world.run_folder("runs").join("stages/label.json"))?;
    fs_err::remove_file(world.run_folder("runs").join("textspan.parquet"))?;
    let start = server.get("/", "")?;
    for says in ["The stage `label` is missing", "The stage `textspan` is missing (textspan.parquet is gone)"] {
        assert!(start.contains(says), "{says}: {start}");
    }
    Ok(())
}

#[test]
fn pages_are_saved_for_a_browser_alone() -> Outcome {
    let world = World::new(8)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    let save = |pages: &[&str]| {
        let mut command = world.bare();
        command.args(["explore", "--dataset", "toy", "--device", "cpu", "--save", "appendix"]);
        for page in pages {
            command.args(["--page", page]);
        }
        command.output()
    };
    let output = save(&["/", "/r/toy/tiny/head/L2.H1"])?;
    stderr_of(&output, 0);
    assert_eq!(String::from_utf8(output.stdout)?.trim(), "appendix/index.html");
    let head = fs_err::read_to_string(world.path("appendix/page-001.html"))?;
    assert!(head.contains("Texts that span its output") && world.path("appendix/assets-style.css").is_file());
    let message = stderr_of(&save(&["/r/toy/tiny/head/L9.H1"])?, 1);
    assert!(message.contains("404") && message.contains("L9.H1 was not extracted"), "{message}");
    Ok(())
}

#[test]
fn nothing_to_show_is_said() -> Outcome {
    let world = World::new(1)?;
    let explore =
        |arguments: &[&str]| world.bare().args(["explore", "--listen", "127.0.0.1:0"]).args(arguments).output();
    assert!(stderr_of(&explore(&["--dataset", "toy"])?, 2).contains("no run of `toy`"));
    assert!(stderr_of(&explore(&["nobody", "--dataset", "toy"])?, 1).contains("no run of `nobody`"));
    Ok(())
}
