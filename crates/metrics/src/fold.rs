use std::collections::BTreeMap;

use serde::Deserialize;

/// A synonym table that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynonymsError {
    /// Not the expected TOML.
    #[error("synonym table `{path}` cannot be used")]
    Toml {
        /// The file.
        path: String,
        /// What the TOML library said, with line and key.
        source: Box<toml::de::Error>,
    },
    /// One word under two names.
    #[error("synonym table `{path}`: `{word}` stands for both `{first}` and `{second}`")]
    Ambiguous {
        /// The file.
        path: String,
        /// The word.
        word: String,
        /// The name before.
        first: String,
        /// The name after.
        second: String,
    },
}

/// Names of properties that mean the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synonyms {
    canonical: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSynonyms {
    synonyms: BTreeMap<String, Vec<String>>,
}

impl Synonyms {
    /// Parses a table `[synonyms]` of `name = ["other", …]`; `path` names it in errors.
    pub fn parse(path: &str, text: &str) -> Result<Self, SynonymsError> {
        let raw: RawSynonyms = toml::from_str(text)
            .map_err(|error| SynonymsError::Toml { path: path.to_owned(), source: Box::new(error) })?;
        let mut canonical: BTreeMap<String, String> = BTreeMap::new();
        for (name, others) in raw.synonyms {
            let name = normal_form(&name);
            for word in others.iter().map(|other| normal_form(other)).filter(|word| *word != name) {
                if let Some(first) = canonical.insert(word.clone(), name.clone())
                    && first != name
                {
                    return Err(SynonymsError::Ambiguous { path: path.to_owned(), word, first, second: name });
                }
            }
        }
        Ok(Self { canonical })
    }

    /// The name under which a property is counted: lower case, words joined by one space, the last word singular, then the
    /// synonym table.
    pub fn fold(&self, property: &str) -> String {
        let normal = normal_form(property);
        self.canonical.get(&normal).cloned().unwrap_or(normal)
    }
}

/// Lower case; everything but letters and digits is a space; runs of spaces are one; the last word loses its plural.
fn normal_form(property: &str) -> String {
    let spaced: String = property.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let mut words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    if let Some(last) = words.last_mut() {
        *last = singular(last);
    }
    words.join(" ")
}

/// English plurals by ending: `ies` to `y` after three letters, `es` after s, x, z, ch and sh, else `s` unless the word
/// ends in `ss`, `us` or `is`.
fn singular(word: &str) -> String {
    if word.len() > 4
        && let Some(stem) = word.strip_suffix("ies")
    {
        return format!("{stem}y");
    }
    for ending in ["ses", "xes", "zes", "ches", "shes"] {
        if word.len() > ending.len() + 1 && word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    let keeps = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    match word.strip_suffix('s') {
        Some(stem) if !keeps && stem.len() > 2 => stem.to_owned(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_plural_and_punctuation_do_not_matter() {
        let plain = Synonyms::default();
        for (one, other) in [
            ("Colors", "color"),
            ("Body-Parts", "body  part"),
            ("Activities", "activity"),
            ("Dishes", "dish"),
            ("Time & season", "time/season"),
        ] {
            assert_eq!(plain.fold(one), plain.fold(other), "{one}");
        }
        assert_ne!(plain.fold("Art"), plain.fold("Artwork"));
        assert_eq!(plain.fold("Glass"), "glass");
        assert_eq!(plain.fold("Focus"), "focus");
    }

    #[test]
    fn synonyms_are_folded_too() -> Result<(), SynonymsError> {
        let table = Synonyms::parse("s.toml", "[synonyms]\ncolor = [\"Hues\", \"colour\"]\n")?;
        assert_eq!(table.fold("Colours"), "color");
        assert_eq!(table.fold("HUE"), "color");
        Ok(())
    }

    #[test]
    fn a_word_under_two_names_is_refused() {
        let error = Synonyms::parse("s.toml", "[synonyms]\na = [\"x\"]\nb = [\"x\"]\n").err();
        assert!(error.is_some_and(|error| error.to_string().contains('x')));
    }
}
