use std::{fmt, num::NonZeroU64, str::FromStr};

use headspan_images::DecodeLimits;
use headspan_model::Precision;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    error::{ExtractError, Result},
    keep::Keep,
};

/// Which blocks' heads are extracted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LayersText", into = "String")]
pub enum LayerSelection {
    /// The last `n` blocks.
    Last(usize),
    /// Every block.
    All,
    /// These blocks, counted from 0.
    List(Vec<usize>),
}

/// A selection as configuration files write it: `"last:4"`, `"all"`, `"8,9"` or `[8, 9]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum LayersText {
    Text(String),
    List(Vec<usize>),
}

impl TryFrom<LayersText> for LayerSelection {
    type Error = ExtractError;

    fn try_from(text: LayersText) -> Result<Self> {
        match text {
            LayersText::Text(text) => text.parse(),
            LayersText::List(list) => Ok(Self::List(list)),
        }
    }
}

impl From<LayerSelection> for String {
    fn from(selection: LayerSelection) -> Self {
        selection.to_string()
    }
}

impl Default for LayerSelection {
    fn default() -> Self {
        Self::Last(4)
    }
}

impl fmt::Display for LayerSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(count) => write!(f, "last:{count}"),
            Self::All => f.write_str("all"),
            Self::List(list) => {
                let numbers: Vec<String> = list.iter().map(ToString::to_string).collect();
                f.write_str(&numbers.join(","))
            }
        }
    }
}

impl FromStr for LayerSelection {
    type Err = ExtractError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || ExtractError::Layers { selection: text.to_owned(), why: "expected `last:4`, `all` or `8,9,10`".into() };
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(count) = text.strip_prefix("last:") {
            return count.parse().map(Self::Last).map_err(|_not_a_number| wrong());
        }
        let list: Result<Vec<usize>, _> = text.split(',').map(|number| number.trim().parse()).collect();
        list.map(Self::List).map_err(|_not_a_number| wrong())
    }
}

impl LayerSelection {
    /// The one name of some blocks of a model with `blocks` blocks, whatever they were asked for by: `last:4`, if they are
    /// what that means there, else the last `n`, else the list. `chosen` is ascending.
    pub fn of_list(chosen: &[usize], blocks: usize) -> Self {
        let last = |count: usize| (blocks.saturating_sub(count)..blocks).eq(chosen.iter().copied());
        match Self::default() {
            Self::Last(count) if last(count) => Self::Last(count),
            _ if last(chosen.len()) => Self::Last(chosen.len()),
            _ => Self::List(chosen.to_vec()),
        }
    }

    /// The blocks of a model with `layers` blocks, ascending.
    pub fn resolve(&self, layers: usize) -> Result<Vec<usize>> {
        let wrong = |why: String| ExtractError::Layers { selection: self.to_string(), why };
        let mut chosen = match self {
            Self::All => (0..layers).collect(),
            Self::Last(0) => return Err(wrong("at least one layer is needed".into())),
            // A model with fewer blocks gives all it has: the default must fit every model.
            Self::Last(count) => (layers.saturating_sub(*count)..layers).collect(),
            Self::List(list) => list.clone(),
        };
        chosen.sort_unstable();
        chosen.dedup();
        match chosen.last() {
            None => Err(wrong("at least one layer is needed".into())),
            Some(last) if *last >= layers => Err(wrong(format!("the model has layers 0 to {}", layers - 1))),
            Some(_) => Ok(chosen),
        }
    }
}

/// One of several processes that share a run (job arrays): parts whose number leaves the rest `index` by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// How many processes.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a shard: expected `i/n` with 0 <= i < n, for example `0/8`");
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let shard = Self {
            index: index.parse().map_err(|_not_a_number| wrong())?,
            count: count.parse().map_err(|_not_a_number| wrong())?,
        };
        if shard.index < shard.count { Ok(shard) } else { Err(wrong()) }
    }
}

/// What the products of a pass multiply, or that headspan chooses it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionChoice {
    /// The fastest on the machine that begins the run, as long as its error stays below [`AUTO_ERROR`](crate::AUTO_ERROR).
    Auto,
    /// [`Precision::Float32`].
    #[default]
    Float32,
    /// [`Precision::Bfloat16`].
    Bfloat16,
    /// [`Precision::Float16`].
    Float16,
}

impl PrecisionChoice {
    /// The precision; none where headspan chooses.
    pub fn fixed(self) -> Option<Precision> {
        match self {
            Self::Auto => None,
            Self::Float32 => Some(Precision::Float32),
            Self::Bfloat16 => Some(Precision::Bfloat16),
            Self::Float16 => Some(Precision::Float16),
        }
    }
}

/// How images are extracted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesSettings {
    /// Blocks whose heads are kept.
    pub layers: LayerSelection,
    /// Images of one forward pass; 0 lets headspan choose: on a GPU a power of two up to 256 that fits into half of the card's free
    /// memory; on the CPU some 400 tokens' worth, or half or twice as many
    /// if a short calibration, made where there are thousands of images, finds that faster.
    pub batch_size: usize,
    /// What the products of the blocks' linear layers multiply: bfloat16 on CPUs and GPUs, float16 on GPUs alone, where they have it.
    /// auto takes the fastest on the machine that begins the run, if its contributions are within 1e-2 of the largest value on the
    /// first images; a run keeps what was chosen.
    pub precision: PrecisionChoice,
    /// Images of one activation part, the unit that a killed run can lose; 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    pub part_rows: u64,
    /// Images whose activations are stored.
    pub keep: Keep,
    /// A bad image stops the run.
    pub strict: bool,
    /// Forward passes at once; 0 lets headspan choose: 2 on a GPU, one computing while the other's images are on their way; on the CPU one a processor, or one for two of them if the
    /// calibration finds that faster.
    pub workers: usize,
    /// Threads that decode; 0 takes one per core.
    pub decode_threads: usize,
    /// Most pixels of an image before it counts as a decompression bomb.
    pub max_pixels: u64,
    /// Largest error of the sum identity on the first batch, over the largest value. Float32 rounding through 24 blocks
    /// stays below 1e-5; a dropped term shows as 1e-3 or more.
    pub identity_tolerance: f64,
    /// Largest difference between a GPU and the CPU on the first batch, over the largest value. Float32 with another order
    /// of summation stays below 1e-4; products in TF32 or float16 exceed 1e-3.
    pub probe_tolerance: f64,
}

impl Default for ImagesSettings {
    fn default() -> Self {
        Self {
            layers: LayerSelection::default(),
            batch_size: 0,
            precision: PrecisionChoice::default(),
            part_rows: 1024,
            keep: Keep::All,
            strict: false,
            workers: 0,
            decode_threads: 0,
            max_pixels: DecodeLimits::default().max_pixels,
            identity_tolerance: 5e-5,
            probe_tolerance: 5e-4,
        }
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    NonZeroU64::deserialize(from).map(NonZeroU64::get)
}

/// How texts are embedded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextsSettings {
    /// Texts of one forward pass; 0 lets headspan choose.
    pub batch_size: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_resolve_against_the_model() -> Result<()> {
        assert_eq!("last:4".parse::<LayerSelection>()?.resolve(12)?, [8, 9, 10, 11]);
        assert_eq!("all".parse::<LayerSelection>()?.resolve(3)?, [0, 1, 2]);
        assert_eq!("last:4".parse::<LayerSelection>()?.resolve(3)?, [0, 1, 2]);
        assert_eq!("9, 3,9".parse::<LayerSelection>()?.resolve(12)?, [3, 9]);
        Ok(())
    }

    #[test]
    fn the_same_blocks_have_one_name() -> Result<()> {
        let name = |text: &str, blocks: usize| -> Result<String> {
            let chosen = text.parse::<LayerSelection>()?.resolve(blocks)?;
            Ok(LayerSelection::of_list(&chosen, blocks).to_string())
        };
        for (text, blocks, expected) in [
            ("8,9,10,11", 12, "last:4"),
            ("11, 10,9,8", 12, "last:4"),
            ("last:4", 12, "last:4"),
            ("all", 4, "last:4"),
            ("all", 3, "last:4"),
            ("all", 6, "last:6"),
            ("last:2", 6, "last:2"),
            ("3,5", 6, "3,5"),
        ] {
            assert_eq!(name(text, blocks)?, expected, "{text} of {blocks}");
        }
        Ok(())
    }

    #[test]
    fn wrong_selections_say_what_is_wrong() {
        for (text, part) in [("12", "0 to 11"), ("last:0", "at least one")] {
            let message = text.parse::<LayerSelection>().and_then(|s| s.resolve(12)).map_err(|e| e.to_string());
            assert!(message.as_ref().is_err_and(|m| m.contains(part)), "{message:?}");
        }
        assert!("first:2".parse::<LayerSelection>().is_err());
    }

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!("7/8".parse::<Shard>(), Ok(Shard { index: 7, count: 8 }));
        assert!("8/8".parse::<Shard>().is_err());
        assert!("1".parse::<Shard>().is_err());
    }
}
