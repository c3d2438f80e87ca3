//! Files and folders that settings name, looked at before any work begins: once, however many models there are.

use std::path::Path;

use headspan_artifacts::{check_address, is_remote, shown};
use headspan_images::{is_local, is_pattern};
use headspan_label::NamedPath;
use headspan_store::is_address;

use crate::{
    error::{PipelineError, Result},
    runner::Wanted,
    settings::{BUILT_IN, Settings},
};

/// What a setting's path must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Either,
}

/// Errors if a path of the settings is not there that the wanted stages read, or is a file where a folder is wanted. What a single
/// stage reads it opens first of all, and is not looked at here.
pub fn check_inputs(settings: &Settings, wanted: Wanted) -> Result<()> {
    check_runs(&settings.runs)?;
    if matches!(wanted, Wanted::Only(_)) {
        return Ok(());
    }
    check_sources(settings)?;
    if wanted != Wanted::All {
        return Ok(());
    }
    let label = &settings.label;
    for NamedPath { key, path, is_folder } in label.labeller.labeller().paths(label)? {
        check(key, path, if is_folder { Kind::Folder } else { Kind::File })?;
    }
    check_all(&[("metrics.synonyms", not_built_in(&settings.metrics.synonyms), Kind::File)])
}

fn check_sources(settings: &Settings) -> Result<()> {
    let data = &settings.data;
    if data.path.as_os_str().is_empty() {
        return Err(PipelineError::NoImages);
    }
    // Patterns and addresses are looked at by their sources, first of all.
    let path = (is_local(&data.path) && !is_pattern(&data.path)).then_some(data.path.as_path());
    check_all(&[
        ("data.path", path, Kind::Either),
        ("data.classes", data.classes.as_deref(), Kind::File),
        ("data.root", data.root.as_deref(), Kind::Folder),
        ("texts.file", not_built_in(&settings.texts.file), Kind::File),
        ("texts.categories", not_built_in(&settings.texts.categories), Kind::File),
    ])
}

/// The folder of runs is made if it is not there. In a store, files must be writable.
fn check_runs(runs: &Path) -> Result<()> {
    if is_remote(runs) {
        return check_address(runs, true).map_err(|source| PipelineError::Runs { runs: shown(runs), source });
    }
    if runs.exists() { check("runs", runs, Kind::Folder) } else { Ok(()) }
}

fn not_built_in(path: &Path) -> Option<&Path> {
    (path != Path::new(BUILT_IN)).then_some(path)
}

fn check_all(paths: &[(&'static str, Option<&Path>, Kind)]) -> Result<()> {
    paths.iter().try_for_each(|(key, path, wanted)| path.map_or(Ok(()), |path| check(key, path, *wanted)))
}

fn check(key: &'static str, path: &Path, wanted: Kind) -> Result<()> {
    let is_folder = match is_folder(path) {
        Ok(is_folder) => is_folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PipelineError::NotThere { key, path: path.to_owned() });
        }
        Err(source) => return Err(PipelineError::Inaccessible { key, path: path.to_owned(), source }),
    };
    let wrong = |found, expected| PipelineError::WrongKind { key, path: path.to_owned(), found, expected };
    match wanted {
        Kind::Folder if !is_folder => Err(wrong("a file", "a folder")),
        Kind::File if is_folder => Err(wrong("a folder", "a file")),
        _ => Ok(()),
    }
}

/// Whether what lies at a path is a folder.
fn is_folder(path: &Path) -> std::io::Result<bool> {
    if is_address(path) {
        return Ok(headspan_store::metadata(path)?.kind == headspan_store::Kind::Folder);
    }
    Ok(std::fs::metadata(path)?.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change<'a> = &'a dyn Fn(&mut Settings);

    #[test]
    fn each_path_is_found_out_before_work() -> Result<(), Box<dyn std::error::Error>> {
        let place = tempfile::tempdir()?;
        let (file, folder, gone) = (place.path().join("file"), place.path().join("folder"), place.path().join("gone"));
        fs_err::write(&file, "")?;
        fs_err::create_dir(&folder)?;
        let usual = || {
            let mut settings = Settings { runs: gone.clone(), ..Settings::default() };
            settings.data.path.clone_from(&folder);
            settings
        };
        check_inputs(&usual(), Wanted::All)?;
        let told = |change: &dyn Fn(&mut Settings)| {
            let mut settings = usual();
            change(&mut settings);
            check_inputs(&settings, Wanted::All).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let cases: [(Change<'_>, &str); 7] = [
            (&|all| all.data.path.clone_from(&gone), "gone` does not exist (setting `data.path`)"),
            (
                &|all| all.data.classes = Some(folder.clone()),
                "folder` is a folder, expected a file (setting `data.classes`)",
            ),
            (&|all| all.data.root = Some(file.clone()), "file` is a file, expected a folder (setting `data.root`)"),
            (&|all| all.texts.file.clone_from(&gone), "(setting `texts.file`)"),
            (&|all| all.runs.clone_from(&file), "file` is a file, expected a folder (setting `runs`)"),
            (&|all| all.metrics.synonyms.clone_from(&gone), "(setting `metrics.synonyms`)"),
            (&|all| all.data.path = "".into(), "no images"),
        ];
        for (change, expected) in cases {
            let message = told(change);
            assert!(message.contains(expected), "{expected}: {message}");
        }
        let read_only = told(&|all| all.runs = "https://host/runs".into());
        assert!(read_only.contains("runs cannot be in `https://host/runs`"), "{read_only}");
        let mut remote = usual();
        remote.runs = "s3://bucket/runs".into();
        check_inputs(&remote, Wanted::All)?;
        Ok(())
    }
}
