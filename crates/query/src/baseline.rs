//! What is subtracted from a text before its map is made.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::{
    carried::mean_of,
    error::{ExploreError, Result},
    model::ExploreModel,
    run::ExploreRun,
};

/// Most classes that enter a mean, at even steps through their list: a text tower takes its time for each.
const MOST_CLASSES: usize = 64;

/// Texts whose mean embedding is subtracted from a text before its map is made. All texts of a CLIP share a large part, and a map of
/// that part shows where the heads are active at all, whatever the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Baseline {
    /// The data set's classes if they have names, else the pool.
    #[default]
    Auto,
    /// The names of the data set's classes.
    Classes,
    /// The run's pool of descriptions.
    Pool,
    /// Nothing, as published (arXiv 2409.06579).
    Nothing,
    /// These texts.
    Texts(Vec<String>),
}

/// A baseline that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no baseline; expected `auto`, `classes`, `pool` or `none`")]
pub struct BaselineError {
    text: String,
}

impl FromStr for Baseline {
    type Err = BaselineError;

    fn from_str(text: &str) -> Result<Self, BaselineError> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "classes" => Ok(Self::Classes),
            "pool" => Ok(Self::Pool),
            "none" => Ok(Self::Nothing),
            _ => Err(BaselineError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Classes => "classes",
            Self::Pool => "pool",
            Self::Nothing => "none",
            Self::Texts(_) => "texts",
        })
    }
}

impl Serialize for Baseline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a [`Baseline`] turned out to be for a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subtraction {
    /// What was taken: never [`Baseline::Auto`].
    pub baseline: Baseline,
    /// Texts in the mean.
    pub texts: usize,
    /// Their mean embedding, `[d]`; empty if nothing is subtracted.
    #[serde(skip)]
    pub mean: Vec<f32>,
}

impl Subtraction {
    /// Nothing, as published.
    pub fn nothing() -> Self {
        Self { baseline: Baseline::Nothing, texts: 0, mean: Vec::new() }
    }

    /// A text's embedding less the mean.
    pub fn of(&self, text: &[f32]) -> Vec<f32> {
        if self.mean.is_empty() {
            return text.to_vec();
        }
        text.iter().zip(&self.mean).map(|(own, mean)| own - mean).collect()
    }

    /// What is subtracted, in words.
    pub fn in_words(&self) -> String {
        match &self.baseline {
            Baseline::Classes => format!("the mean of {} class names", self.texts),
            Baseline::Texts(texts) if texts.len() == 1 => format!("“{}”", texts[0]),
            Baseline::Texts(_) => format!("the mean of {} texts", self.texts),
            Baseline::Pool | Baseline::Auto => format!("the mean of the pool's {} texts", self.texts),
            Baseline::Nothing => "nothing".to_owned(),
        }
    }
}

/// The texts of classes whose mean is subtracted, at even steps if there are many; none if fewer than two have names. A number is
/// no name.
pub fn class_texts(names: &[String]) -> Vec<String> {
    let is_name = |name: &&String| name.chars().any(char::is_alphabetic);
    let named: Vec<&String> = names.iter().filter(is_name).collect();
    if named.len() < 2 || named.len() < names.len() {
        return Vec::new();
    }
    let step = named.len().div_ceil(MOST_CLASSES);
    named.into_iter().step_by(step).map(|name| format!("a {name}")).collect()
}

impl ExploreRun {
    /// What a baseline subtracts in this run. `classes` are the names of the data set's classes; `model` is asked for only if
    /// texts must be embedded. Means are kept.
    pub fn subtraction<'a, E: From<ExploreError>>(
        &self,
        baseline: &Baseline,
        classes: &[String],
        model: impl FnOnce() -> Result<&'a ExploreModel, E>,
    ) -> Result<Subtraction, E> {
        let named = class_texts(classes);
        let texts = match baseline {
            Baseline::Nothing => return Ok(Subtraction::nothing()),
            Baseline::Texts(texts) => texts.clone(),
            Baseline::Classes if named.is_empty() => {
                let found = format!("{} classes without names", classes.len());
                let expected = "two or more classes with names; choose `pool`, `none` or texts".to_owned();
                return Err(ExploreError::Invalid { what: "the baseline", found, expected }.into());
            }
            Baseline::Auto | Baseline::Classes => named,
            Baseline::Pool => Vec::new(),
        };
        if texts.is_empty() {
            let pool = self.pool()?;
            let mean = self.answers().mean(&[], || Ok::<_, E>(mean_of(pool.embeddings(), pool.d())))?;
            return Ok(Subtraction { baseline: Baseline::Pool, texts: pool.texts().len(), mean: mean.to_vec() });
        }
        let mean = self.answers().mean(&texts, || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let embedded = model()?.embed(&texts)?;
            Ok::<_, E>(mean_of(&embedded.into_iter().flat_map(|(text, _cut)| text).collect::<Vec<f32>>(), self.d()))
        })?;
        let baseline = match baseline {
            Baseline::Texts(texts) => Baseline::Texts(texts.clone()),
            _ => Baseline::Classes,
        };
        Ok(Subtraction { baseline, texts: texts.len(), mean: mean.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_no_names_of_classes() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(class_texts(&names(&["tree", "boat"])), ["a tree", "a boat"]);
        for nameless in [&["tree"][..], &["0", "1", "2"], &["tree", "7"], &[]] {
            assert!(class_texts(&names(nameless)).is_empty(), "{nameless:?}");
        }
        let many: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
        let few = class_texts(&many);
        assert!(few.len() <= MOST_CLASSES && few.len() > MOST_CLASSES / 2 && few[0] == "a class 0");
    }

    #[test]
    fn baselines_are_read_back() -> Result<(), BaselineError> {
        for name in ["auto", "classes", "pool", "none"] {
            assert_eq!(name.parse::<Baseline>()?.to_string(), name);
        }
        assert!("mean".parse::<Baseline>().is_err());
        Ok(())
    }
}
