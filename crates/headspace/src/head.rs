use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One attention head of a model, both counted from 0 as in the papers. Displayed as `L23.H7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeadId {
    /// Block, 0 the first.
    pub layer: u32,
    /// Head inside the block, 0 the first.
    pub head: u32,
}

impl HeadId {
    /// All heads of some blocks of `heads` heads each, block by block: the order of columns and rows in every table.
    pub fn of_layers(layers: &[usize], heads: usize) -> impl Iterator<Item = Self> + '_ {
        layers.iter().flat_map(move |&layer| (0..heads as u32).map(move |head| Self { layer: layer as u32, head }))
    }
}

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}.H{}", self.layer, self.head)
    }
}

/// A text that names no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a head such as L23.H7")]
pub struct HeadIdError(String);

impl FromStr for HeadId {
    type Err = HeadIdError;

    fn from_str(text: &str) -> Result<Self, HeadIdError> {
        let parse = || {
            let (layer, head) = text.strip_prefix('L')?.split_once(".H")?;
            Some(Self { layer: layer.parse().ok()?, head: head.parse().ok()? })
        };
        parse().ok_or_else(|| HeadIdError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let head = HeadId { layer: 23, head: 7 };
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "L23", "23.7", "L23.H", "L-1.H0", "l23.h7"] {
            assert!(wrong.parse::<HeadId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn heads_come_block_by_block() {
        let names: Vec<String> = HeadId::of_layers(&[2, 5], 2).map(|head| head.to_string()).collect();
        assert_eq!(names, ["L2.H0", "L2.H1", "L5.H0", "L5.H1"]);
    }
}
