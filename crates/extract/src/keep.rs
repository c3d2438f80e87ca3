use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Images whose activations a run keeps. The moments are always those of all images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Keep {
    /// All images.
    #[default]
    All,
    /// None: bytes and memory do not grow with the number of images.
    Moments,
    /// A uniform sample of so many images, for the explorer and for questions.
    Sample(u64),
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Moments => f.write_str("moments"),
            Self::Sample(count) => write!(f, "sample:{count}"),
        }
    }
}

/// A text that is no [`Keep`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not say what to keep: expected `all`, `moments`, or a sample such as `sample:50000`")]
pub struct KeepError(String);

impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Self, KeepError> {
        let wrong = || KeepError(text.to_owned());
        match text {
            "all" => Ok(Self::All),
            "moments" => Ok(Self::Moments),
            _ => {
                let count: u64 =
                    text.strip_prefix("sample:").ok_or_else(wrong)?.parse().map_err(|_no_number| wrong())?;
                if count == 0 { Err(wrong()) } else { Ok(Self::Sample(count)) }
            }
        }
    }
}

impl TryFrom<String> for Keep {
    type Error = KeepError;

    fn try_from(text: String) -> Result<Self, KeepError> {
        text.parse()
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> Self {
        keep.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for keep in [Keep::All, Keep::Moments, Keep::Sample(1), Keep::Sample(50_000)] {
            assert_eq!(keep.to_string().parse(), Ok(keep));
        }
        for text in ["", "none", "sample", "sample:", "sample:0", "sample:-1", "sample:1e3", "Moments", "sample: 5"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}
