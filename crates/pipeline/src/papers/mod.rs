//! Papers: the setting of their runs and the figures that they published, in files that are built in or a person's own, and what is measured beside
//! them.

mod answers;
mod measure;
mod paper;
mod replication;

use std::path::Path;

use fs_err as fs;
use headspan_artifacts::similar_name;

pub use measure::{Measure, MeasuredFigure};
pub use paper::{Paper, PaperData, PaperError, PaperFigure, PaperJob, PaperSetting, PaperTable, Placed, Unit};
pub use replication::{ReplicatedRun, replicate};

macro_rules! built_in {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../../../configs/papers/", $id, ".toml")))),+]
    };
}

/// The papers of the program.
const BUILT_IN: &[(&str, &str)] = built_in!["2310.05916", "2409.06579", "2503.11103"];

/// The paper of a name: a file that ends in `.toml`, else `papers/NAME.toml` of the configuration folder, else one of the program.
pub fn paper(name: &str, configs: &Path) -> Result<Paper, PaperError> {
    let file = Path::new(name);
    if file.extension().is_some_and(|ending| ending == "toml") {
        return Paper::parse(file, &fs::read_to_string(file)?);
    }
    let folder = configs.join("papers");
    let own = folder.join(format!("{name}.toml"));
    if own.is_file() {
        return Paper::parse(&own, &fs::read_to_string(&own)?);
    }
    if let Some((id, text)) = BUILT_IN.iter().find(|(id, _)| *id == name) {
        return Paper::parse(Path::new(&format!("{id}.toml")), text);
    }
    let known = || BUILT_IN.iter().map(|(id, _)| *id);
    Err(PaperError::Unknown {
        name: name.to_owned(),
        known: known().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", "),
        meant: similar_name(name, known()).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::with_causes;

    use super::*;
    use crate::registry::Registry;

    #[test]
    fn the_papers_of_the_program_are_valid_and_name_known_models() -> Result<(), Box<dyn std::error::Error>> {
        let registry = Registry::built_in()?;
        for (id, _) in BUILT_IN {
            let paper = paper(id, Path::new("no such folder"))?;
            assert_eq!(paper.id, *id);
            assert!(!paper.jobs().is_empty() && !paper.not_known.is_empty(), "{id}");
            for placed in paper.figures() {
                if let Some(model) = &placed.figure.model {
                    assert_eq!(registry.resolve(model)?.len(), 1, "{id}: {model}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_file_of_the_folder_takes_the_place_of_the_programs() -> Result<(), Box<dyn std::error::Error>> {
        let configs = tempfile::tempdir()?;
        let folder = configs.path().join("papers");
        fs::create_dir(&folder)?;
        let (id, text) = BUILT_IN[0];
        fs::write(folder.join(format!("{id}.toml")), text.replacen("title = \"", "title = \"Mine: ", 1))?;
        assert!(paper(id, configs.path())?.title.starts_with("Mine: "));
        let unknown = paper("2310.05961", configs.path());
        assert!(matches!(unknown, Err(PaperError::Unknown { meant: Some(meant), .. }) if meant == id));
        Ok(())
    }

    #[test]
    fn what_a_paper_cannot_say_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let whole = "id = \"x\"\ntitle = \"X\"\nsource = \"s\"\n[[data]]\nid = \"d\"\nwhat = \"w\"\n[[table]]\nname = \"t\"\ndata = \"d\"\n\
                     unit = \"percent\"\nmeasure = { command = \"zeroshot\" }\n[[table.figure]]\nrow = \"r\"\ncolumn = \"c\"\n\
                     model = \"m\"\npublished = 5.0\n";
        let parse = |text: &str| Paper::parse(Path::new("x.toml"), text);
        assert_eq!(parse(whole)?.jobs().len(), 1);
        for (from, to, expected) in [
            ("published = 5.0", "low = 5.0", "needs `published`, or `low` and `high`"),
            ("published = 5.0", "low = 5.0\nhigh = 4.0", "needs `published`, or `low` and `high`"),
            ("measure = { command = \"zeroshot\" }\n", "", "needs a `measure`"),
            ("model = \"m\"\n", "", "needs a `model`"),
            ("data = \"d\"", "data = \"e\"", "there is no data set `e`"),
            (
                "{ command = \"zeroshot\" }",
                "{ command = \"prune\", ccs = \"a\", value = \"after\" }",
                "`a` is no level",
            ),
        ] {
            let refused = parse(&whole.replace(from, to)).err().map(|error| with_causes(&error)).unwrap_or_default();
            assert!(refused.contains(expected), "{expected}: {refused}");
        }
        assert!(matches!(parse(&whole.replace("row =", "line =")), Err(PaperError::File { .. })));
        Ok(())
    }
}
