use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::error::{PipelineError, Result};

/// What stands for a class's name.
const NAME: &str = "{}";

/// Ours: those that fine-tuning makes captions of, so that its models are asked with words that they know.
const DEFAULT: [&str; 3] = ["a photo of a {}", "a picture of a {}", "{}"];

const OPENAI: &str = include_str!("../../../../data/classes/openai-templates.txt");

/// The texts of a class, `{}` standing for its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Templates {
    /// Three of our own.
    #[default]
    Default,
    /// OpenAI's 80 for ImageNet, as OpenCLIP has them.
    OpenAi,
    /// Those of a file, one a line.
    File(PathBuf),
}

impl FromStr for Templates {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "default" => Self::Default,
            "openai" => Self::OpenAi,
            file => Self::File(file.into()),
        })
    }
}

impl fmt::Display for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::OpenAi => f.write_str("openai"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Templates {
    /// The templates, of which there is at least one.
    pub(super) fn read(&self) -> Result<Vec<String>> {
        match self {
            Self::Default => Ok(DEFAULT.map(str::to_owned).to_vec()),
            Self::OpenAi => Ok(OPENAI.lines().map(str::to_owned).collect()),
            Self::File(path) => of_file(path, &fs_err::read_to_string(path)?),
        }
    }
}

fn of_file(path: &Path, text: &str) -> Result<Vec<String>> {
    let wrong = |message: String| PipelineError::Templates { path: path.to_owned(), message };
    let mut found = Vec::new();
    for (row, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if !line.contains(NAME) {
            return Err(wrong(format!("row {}: {line:?} has no {NAME} where the class's name goes", row + 1)));
        }
        found.push(line.to_owned());
    }
    if found.is_empty() { Err(wrong("no templates".to_owned())) } else { Ok(found) }
}

/// The templates filled with a name.
pub(super) fn filled<'a>(templates: &'a [String], name: &'a str) -> impl Iterator<Item = String> + 'a {
    templates.iter().map(move |template| template.replace(NAME, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openais_templates_are_80_and_each_takes_a_name() -> Result<()> {
        let templates = Templates::OpenAi.read()?;
        assert_eq!(templates.len(), 80);
        assert!(templates.iter().all(|template| template.contains(NAME)));
        let first = filled(&templates, "tench").next();
        assert_eq!(first.as_deref(), Some("a bad photo of a tench."));
        Ok(())
    }

    #[test]
    fn a_template_without_a_place_for_the_name_is_refused_with_its_row() {
        let told = |text: &str| of_file(Path::new("t.txt"), text).err().map(|error| error.to_string());
        assert_eq!(of_file(Path::new("t.txt"), "\u{feff}a {}\n\n  b {} \n").ok().map(|found| found.len()), Some(2));
        let message = told("a {}\nb\n").unwrap_or_default();
        assert!(message.contains("`t.txt`: row 2: \"b\" has no {}"), "{message}");
        assert!(told("\n").unwrap_or_default().contains("no templates"));
    }
}
