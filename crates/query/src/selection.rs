use std::{fmt, str::FromStr};

use headspan_headspace::HeadId;
use serde::{Deserialize, Serialize};

/// Which heads an analysis looks at. Written `L3.H5`, `L3`, `colors` (a property), `all`, or as a list of these: `L3.H5,L3.H6`.
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
    /// The heads of any of these, two or more, none of them a list itself. A property whose name has a comma is read as one, too.
    List(Vec<HeadSelection>),
}

/// A selection that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` selects no heads; expected `L3.H5` (a head), `L3` (a layer), a property such as `colors`, `all`, or a list of these"
)]
pub struct SelectionError {
    text: String,
}

impl HeadSelection {
    /// Whether it names a property, so that other labels may select other heads.
    pub fn depends_on_labels(&self) -> bool {
        match self {
            Self::All | Self::Layer(_) | Self::Head(_) => false,
            Self::Property(_) => true,
            Self::List(parts) => parts.iter().any(Self::depends_on_labels),
        }
    }
}

impl FromStr for HeadSelection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let text = text.trim();
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        match parts[..] {
            [] => Err(SelectionError { text: text.to_owned() }),
            [one] => Ok(by_space(one).unwrap_or_else(|| Self::one(one))),
            _ => Ok(Self::List(parts.iter().map(|part| Self::one(part)).collect())),
        }
    }
}

/// Heads and layers with spaces between them. Names of properties may have spaces, too.
fn by_space(text: &str) -> Option<HeadSelection> {
    let parts: Vec<HeadSelection> = text.split_whitespace().map(HeadSelection::one).collect();
    let is_place = |part: &HeadSelection| matches!(part, HeadSelection::Head(_) | HeadSelection::Layer(_));
    (parts.len() > 1 && parts.iter().all(is_place)).then_some(HeadSelection::List(parts))
}

/// The head that somebody may mean who writes `L3H5`, `l3-h5`, `3.5` or `layer 3 head 5`.
pub fn meant_head(text: &str) -> Option<HeadId> {
    let text = text.trim().to_ascii_lowercase();
    let (prefix, rest) = text.split_at(text.find(|c: char| c.is_ascii_digit())?);
    let (layer, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    let (between, head) = rest.split_at(rest.find(|c: char| c.is_ascii_digit())?);
    let word = |text: &str| -> String { text.chars().filter(|c| !" .,:/_-".contains(*c)).collect() };
    let fits =
        matches!(word(prefix).as_str(), "" | "l" | "layer") && matches!(word(between).as_str(), "" | "h" | "head");
    if fits { Some(HeadId { layer: layer.parse().ok()?, head: head.parse().ok()? }) } else { None }
}

impl HeadSelection {
    /// One selection that is not empty.
    fn one(text: &str) -> Self {
        if text.eq_ignore_ascii_case("all") {
            return Self::All;
        }
        if let Ok(head) = text.to_ascii_uppercase().parse() {
            return Self::Head(head);
        }
        // A property may begin with an L too; only `L` and a number is a layer.
        if let Some(layer) = text.strip_prefix(['L', 'l']).and_then(|digits| digits.parse().ok()) {
            return Self::Layer(layer);
        }
        Self::Property(text.to_owned())
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
            Self::List(parts) => {
                let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
                f.write_str(&parts.join(","))
            }
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
    fn several_heads_are_listed() -> Result<(), SelectionError> {
        let heads = |pairs: &[(u32, u32)]| -> HeadSelection {
            HeadSelection::List(
                pairs.iter().map(|(layer, head)| HeadSelection::Head(HeadId { layer: *layer, head: *head })).collect(),
            )
        };
        for text in ["L3.H5,L2.H1", " L3.H5 , l2.h1, ", "L3.H5 L2.H1"] {
            let found: HeadSelection = text.parse()?;
            assert_eq!(found, heads(&[(3, 5), (2, 1)]), "{text}");
            assert_eq!(found.to_string().parse::<HeadSelection>()?, found, "{text}");
        }
        let mixed = "L3,colors,all".parse::<HeadSelection>()?;
        let colors = HeadSelection::Property("colors".to_owned());
        assert_eq!(mixed, HeadSelection::List(vec![HeadSelection::Layer(3), colors, HeadSelection::All]));
        assert_eq!("red things".parse::<HeadSelection>()?, HeadSelection::Property("red things".to_owned()));
        assert_eq!("L3.H5,".parse::<HeadSelection>()?, HeadSelection::Head(HeadId { layer: 3, head: 5 }));
        Ok(())
    }

    #[test]
    fn nothing_selects_nothing() {
        for text in ["  ", ",", " , ,"] {
            assert!(text.parse::<HeadSelection>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_head_is_recognised() {
        let head = Some(HeadId { layer: 3, head: 5 });
        for text in
            ["L3H5", "l3h5", "3.5", "L3-H5", "L3.5", "3.H5", "layer 3 head 5", "L3:H5", "L03.H05", "3/5", "L.3.H.5"]
        {
            assert_eq!(meant_head(text), head, "{text}");
        }
        for text in ["", "35", "L3", "H5", "colors", "L3H", "LH5", "L3H5x", "three.five", "L3 x H5", "99999999999.1"] {
            assert_eq!(meant_head(text), None, "{text}");
        }
    }
}
