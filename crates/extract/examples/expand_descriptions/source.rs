//! The source: one TOML file per category.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::error::{Result, SourceError};

/// Named vocabulary lists.
pub(crate) type Words = BTreeMap<String, Vec<String>>;

/// One category file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// File name, for messages.
    #[serde(skip)]
    pub(crate) file: String,
    /// Property name, as it stands in the artifacts.
    pub(crate) category: String,
    /// What the category holds, in one line.
    pub(crate) about: String,
    /// Short names of the category, by whose text embeddings texts of untagged pools are assigned to it.
    pub(crate) prompts: Vec<String>,
    /// Lists that several groups of the file share.
    #[serde(default)]
    pub(crate) words: Words,
    /// The groups, in output order.
    #[serde(rename = "group")]
    pub(crate) groups: Vec<Group>,
}

/// Templates and the lists that fill them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// Templates; all of a group use the same lists.
    pub(crate) templates: Vec<String>,
    /// Lists of this group; a name here hides the same name of the file.
    #[serde(default)]
    pub(crate) words: Words,
    /// How many of the combinations to take; all if absent.
    pub(crate) limit: Option<usize>,
    /// Texts that contain one of these do not count towards `limit` and are left out.
    #[serde(default)]
    pub(crate) skip: Vec<String>,
}

/// Reads every `*.toml` of the folder, in order of category.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            sources.push(read(&path)?);
        }
    }
    if sources.is_empty() {
        return Err(SourceError::Empty { folder: folder.to_owned() });
    }
    sources.sort_by(|a, b| a.category.cmp(&b.category));
    Ok(sources)
}

fn read(path: &Path) -> Result<Source> {
    let text = fs_err::read_to_string(path)?;
    let mut source: Source = toml::from_str(&text)
        .map_err(|source| SourceError::Toml { file: path.to_owned(), source: Box::new(source) })?;
    source.file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let expected = format!("{}.toml", source.category.replace(' ', "-"));
    if source.file != expected {
        return Err(SourceError::FileName { file: source.file, category: source.category, expected });
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORS: &str = "category = \"colors\"\nabout = \"x\"\nprompts = []\n[[group]]\ntemplates = [\"Red\"]\n";

    #[test]
    fn unknown_keys_and_wrong_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_all(folder.path()), Err(SourceError::Empty { .. })));
        let path = folder.path().join("colors.toml");
        fs_err::write(&path, COLORS).unwrap();
        assert_eq!(read_all(folder.path()).unwrap()[0].groups[0].templates, ["Red"]);
        fs_err::write(&path, COLORS.replace("about", "abuot")).unwrap();
        assert!(headspan_artifacts::with_causes(&read_all(folder.path()).unwrap_err()).contains("abuot"));
        fs_err::write(&path, COLORS.replace("colors", "light and color")).unwrap();
        assert!(read_all(folder.path()).unwrap_err().to_string().contains("light-and-color.toml"));
    }
}
