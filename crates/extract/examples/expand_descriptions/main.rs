//! Expands the tagged description pool from its readable source.
//!
//! `cargo run --release -p headspan-extract --example expand_descriptions -- data/descriptions` reads
//! `source/*.toml` and writes `descriptions.csv`, `categories.csv` and the table of counts in `README.md`. With `--check`
//! it writes nothing and exits with 1 if one of them differs from what the source gives.

mod article;
mod error;
mod expand;
mod outputs;
mod source;
mod template;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: expand_descriptions FOLDER [--check]";

fn main() -> Result<ExitCode> {
    let (folder, check) = arguments(std::env::args().skip(1))?;
    let outputs = outputs_of(&folder)?;
    let mut stale = 0;
    let mut out = std::io::stdout().lock();
    for output in &outputs.files {
        let path = folder.join(output.name);
        let current = if path.exists() { fs_err::read_to_string(&path)? } else { String::new() };
        if current == output.content {
            continue;
        }
        if check {
            stale += 1;
            writeln!(out, "`{}` differs from its source: run this program without `--check`", path.display())?;
        } else {
            fs_err::write(&path, &output.content)?;
            writeln!(out, "wrote `{}`", path.display())?;
        }
    }
    writeln!(out, "{} descriptions in {} categories", outputs.descriptions, outputs.categories)?;
    Ok(if stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn arguments(arguments: impl Iterator<Item = String>) -> Result<(PathBuf, bool)> {
    let mut folder = None;
    let mut check = false;
    for argument in arguments {
        match argument.as_str() {
            "--check" => check = true,
            flag if flag.starts_with('-') => bail!("unknown flag `{flag}`; {USAGE}"),
            path if folder.is_none() => folder = Some(PathBuf::from(path)),
            extra => bail!("unexpected argument `{extra}`; {USAGE}"),
        }
    }
    Ok((folder.context(USAGE)?, check))
}

fn outputs_of(folder: &Path) -> Result<outputs::Outputs> {
    let readme = fs_err::read_to_string(folder.join("README.md"))?;
    let categories = expand::expand(&source::read_all(&folder.join("source"))?)?;
    Ok(outputs::render(&categories, &readme)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_a_folder_and_a_flag() {
        let parse = |list: &[&str]| arguments(list.iter().map(ToString::to_string));
        assert_eq!(parse(&["data", "--check"]).unwrap(), (PathBuf::from("data"), true));
        assert_eq!(parse(&["data"]).unwrap(), (PathBuf::from("data"), false));
        assert!(parse(&[]).is_err());
        assert!(parse(&["data", "more"]).is_err());
        assert!(parse(&["--verify", "data"]).is_err());
    }

    /// The committed pool is what its source gives, and it has the size that the project promises.
    #[test]
    fn the_committed_pool_is_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/descriptions");
        let outputs = outputs_of(&folder).unwrap();
        for output in &outputs.files {
            let committed = fs_err::read_to_string(folder.join(output.name)).unwrap();
            assert!(committed == output.content, "`{}` is stale", output.name);
        }
        assert!(outputs.descriptions >= 3000, "{} descriptions", outputs.descriptions);
        assert!(outputs.categories >= 24, "{} categories", outputs.categories);
    }
}
