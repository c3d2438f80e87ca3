use std::{fmt, str::FromStr};

use headspan_headspace::HeadId;
use serde::{Deserialize, Serialize};

/// Which heads an analysis looks at. Written `L3.H5`, `L3`, `colors` (a property) or `all`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum HeadSelection {
    /// Every extracted head.
    All,
    /// All heads of a layer.
    Layer(u32),
    /// One head.
    Head(HeadId),
    /// The heads with this property label.
    Property(String),
}

/// A selection that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` selects no heads; expected `L3.H5` (a head), `L3` (a layer), a property such as `colors`, or `all`")]
pub struct SelectionError {
    text: String,
}

impl FromStr for HeadSelection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SelectionError { text: text.to_owned() });
        }
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if let Ok(head) = text.to_ascii_uppercase().parse() {
            return Ok(Self::Head(head));
        }
        // A property may begin with an L too; only `L` and a number is a layer.
        if let Some(layer) = text.strip_prefix(['L', 'l']).and_then(|digits| digits.parse().ok()) {
            return Ok(Self::Layer(layer));
        }
        Ok(Self::Property(text.to_owned()))
    }
}

impl TryFrom<String> for HeadSelection {
    type Error = SelectionError;

    fn try_from(text: String) -> Result<Self, SelectionError> {
        text.parse()
    }
}

impl fmt::Display for HeadSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Layer(layer) => write!(f, "L{layer}"),
            Self::Head(head) => head.fmt(f),
            Self::Property(property) => f.write_str(property),
        }
    }
}

impl From<HeadSelection> for String {
    fn from(selection: HeadSelection) -> Self {
        selection.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() -> Result<(), SelectionError> {
        let head = HeadId { layer: 3, head: 5 };
        for (text, selection) in [
            ("all", HeadSelection::All),
            ("L3", HeadSelection::Layer(3)),
            ("L3.H5", HeadSelection::Head(head)),
            ("letters", HeadSelection::Property("letters".to_owned())),
            ("Lions", HeadSelection::Property("Lions".to_owned())),
        ] {
            assert_eq!(text.parse::<HeadSelection>()?, selection);
            assert_eq!(selection.to_string(), text);
        }
        assert_eq!(" l3.h5 ".parse::<HeadSelection>()?, HeadSelection::Head(head));
        Ok(())
    }

    #[test]
    fn nothing_selects_nothing() {
        assert!("  ".parse::<HeadSelection>().is_err());
    }
}
