//! A folder with a checkpoint, images and a pool, and the binary to run over them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use fs_err as fs;
use serde_json::{Value, json};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Words of the test tokenizer; the model has 64 token ids.
const WORDS: [&str; 16] = [
    "a", "red", "blue", "green", "cat", "dog", "bird", "two", "three", "of", "photo", "the", "big", "small", "sky",
    "tree",
];

pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// A checkpoint of three blocks with two heads each, `images` images in two classes, and a tagged pool.
    pub(crate) fn new(images: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let world = Self { folder: tempfile::tempdir()? };
        let model = world.path("tiny");
        fs::create_dir_all(&model)?;
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/model/quick-gelu");
        for name in ["open_clip_config.json", "open_clip_model.safetensors"] {
            fs::copy(data.join(name), model.join(name))?;
        }
        fs::write(model.join("tokenizer.json"), tokenizer().to_string())?;
        for number in 0..images {
            let class = if number % 2 == 0 { "even" } else { "odd" };
            let path = world.path("images").join(class).join(format!("{number:05}.png"));
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            picture(number as u32).save(&path)?;
        }
        fs::write(world.path("pool.csv"), pool())?;
        Ok(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The run's folder.
    pub(crate) fn run_folder(&self, runs: &str) -> PathBuf {
        self.path(runs).join("toy").join("tiny")
    }

    /// The binary with a command and the flags that all pipeline commands share.
    pub(crate) fn command(&self, subcommand: &str, runs: &str) -> Command {
        let mut command = self.bare();
        command.args([subcommand, "--dataset", "toy"]).arg("--runs").arg(self.path(runs));
        command
    }

    /// `run-all` over the whole world.
    pub(crate) fn run_all(&self, runs: &str) -> Command {
        let mut command = self.command("run-all", runs);
        command.arg("--checkpoint").arg(self.path("tiny")).arg("--images").arg(self.path("images"));
        command.arg("--texts").arg(self.path("pool.csv")).args(["--device", "cpu", "--k", "4"]);
        command
    }

    /// The binary alone, in the world's folder and away from the user's settings.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headspan"));
        command.current_dir(self.folder.path()).env("HF_HOME", self.path("no-cache"));
        command.env("HEADSPAN__TEXTS__CATEGORIES", self.path("pool.csv")).env_remove("HEADSPAN_LOG");
        command
    }

    /// Every table of a run and its bytes.
    pub(crate) fn artifacts(&self, runs: &str) -> Result<BTreeMap<String, Vec<u8>>, Box<dyn std::error::Error>> {
        let root = self.run_folder(runs);
        let mut found = BTreeMap::new();
        for folder in [root.clone(), root.join("activations"), root.join("parts")] {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|ending| ending == "parquet") {
                    let name = path.strip_prefix(&root)?.display().to_string();
                    found.insert(name, fs::read(&path)?);
                }
            }
        }
        Ok(found)
    }

    /// `status --json` of the only run: state by stage.
    pub(crate) fn states(
        &self,
        runs: &str,
        flags: &[&str],
    ) -> Result<BTreeMap<String, String>, Box<dyn std::error::Error>> {
        let output = self.command("status", runs).arg("--json").args(flags).output()?;
        let value: Value = serde_json::from_slice(&output.stdout)?;
        let stages = value["runs"][0]["stages"].as_array().ok_or("no run")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(stages.iter().map(|stage| (text(&stage["stage"]), text(&stage["state"]))).collect())
    }
}

/// What a command wrote to stderr, if it ended as expected.
pub(crate) fn stderr_of(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// Gradients and blocks that differ from image to image.
pub(crate) fn picture(number: u32) -> image::RgbImage {
    image::RgbImage::from_fn(40, 30, |x, y| {
        let wave = (x * (number % 7 + 1) + y * (number % 5 + 2)) % 256;
        let block = if (x / 8 + y / 6 + number).is_multiple_of(3) { 200 } else { 40 };
        image::Rgb([wave as u8, block as u8, ((number * 37) % 256) as u8])
    })
}

fn tokenizer() -> Value {
    let mut vocabulary = serde_json::Map::new();
    vocabulary.insert("[UNK]".to_owned(), json!(0));
    for (number, word) in WORDS.iter().enumerate() {
        vocabulary.insert((*word).to_owned(), json!(number + 1));
    }
    vocabulary.insert("<|startoftext|>".to_owned(), json!(62));
    vocabulary.insert("<|endoftext|>".to_owned(), json!(63));
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    })
}

fn pool() -> String {
    let mut text = String::from("text,category\n");
    for color in ["red", "blue", "green"] {
        for thing in ["cat", "dog", "bird", "tree"] {
            text.push_str(&format!("A {color} {thing},colors\n"));
        }
    }
    for number in ["two", "three"] {
        for thing in ["cat", "dog", "bird", "tree"] {
            text.push_str(&format!("A photo of {number} {thing},counting\n"));
        }
    }
    for size in ["big", "small"] {
        for thing in ["cat", "dog", "bird", "tree"] {
            text.push_str(&format!("The {size} {thing},size\n"));
        }
    }
    text
}
