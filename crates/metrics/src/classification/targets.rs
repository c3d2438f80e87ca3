//! What is ablated, and what takes its place.

use std::{fmt, str::FromStr};

use headspan_artifacts::HeadId;
use serde::{Deserialize, Serialize};

/// What takes the place of an output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Replacement {
    /// Its mean over the half of the images that gives means (arXiv 2310.05916, section 3.2).
    Mean,
    /// Nothing.
    Zero,
    /// The output times a factor.
    Scale(f64),
}

/// A text that names no replacement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no replacement; expected mean, zero, or scale:FACTOR such as scale:0.5")]
pub struct ReplacementError(String);

impl FromStr for Replacement {
    type Err = ReplacementError;

    fn from_str(text: &str) -> Result<Self, ReplacementError> {
        let factor = |text: &str| text.parse::<f64>().ok().filter(|factor| factor.is_finite());
        match (text, text.strip_prefix("scale:").and_then(factor)) {
            ("mean", _) => Ok(Self::Mean),
            ("zero", _) => Ok(Self::Zero),
            (_, Some(factor)) => Ok(Self::Scale(factor)),
            _ => Err(ReplacementError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Replacement {
    type Error = ReplacementError;

    fn try_from(text: String) -> Result<Self, ReplacementError> {
        text.parse()
    }
}

impl From<Replacement> for String {
    fn from(replacement: Replacement) -> Self {
        replacement.to_string()
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Zero => f.write_str("zero"),
            Self::Scale(factor) => write!(f, "scale:{factor}"),
        }
    }
}

/// Kind of a target, as the column `kind` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// Everything that is no extracted head: MLPs, the input, and the heads of layers that were not extracted.
    Rest,
    /// The MLPs, and the input of the first block, of a run with all layers.
    Mlps,
    /// The attention of the first layers that were extracted, up to one.
    Layers,
    /// One head.
    Head,
    /// The heads with a property.
    Property,
    /// The heads of a list.
    List,
    /// The heads of a file.
    File,
}

impl TargetKind {
    /// As the column has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Mlps => "mlps",
            Self::Layers => "layers",
            Self::Head => "head",
            Self::Property => "property",
            Self::List => "list",
            Self::File => "file",
        }
    }

    /// Whether as many random heads are drawn beside it.
    pub(super) fn has_draws(self) -> bool {
        matches!(self, Self::Property | Self::List | Self::File)
    }
}

/// What of the representation is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    /// Some heads.
    Heads(Vec<HeadId>),
    /// All that is no extracted head.
    Rest,
}

/// Something to ablate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
    /// What is replaced.
    pub removed: Removed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_read_as_they_are_written() {
        for text in ["mean", "zero", "scale:0.5", "scale:-1", "scale:0"] {
            assert_eq!(text.parse::<Replacement>().map(|found| found.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "Mean", "scale", "scale:", "scale:x", "scale:inf", "0.5"] {
            assert!(wrong.parse::<Replacement>().is_err(), "{wrong}");
        }
    }
}
