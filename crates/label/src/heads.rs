use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, TextspanRow};

/// Why a head without texts has no label.
pub(crate) const NO_TEXTS: &str = "the head's output does not vary over these images: no text spans it";

/// The texts picked for one head, in the order of the picks.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTexts {
    /// The head.
    pub head: HeadId,
    /// Its texts, first pick first.
    pub texts: Vec<TextspanRow>,
}

/// Groups the rows of `textspan.parquet` by head, in order of layer and head. `all` are the heads that were extracted: one whose output
/// does not vary has no text, and is a head all the same.
pub fn heads_of(rows: Vec<TextspanRow>, all: impl IntoIterator<Item = HeadId>) -> Vec<HeadTexts> {
    let mut heads: BTreeMap<HeadId, Vec<TextspanRow>> = all.into_iter().map(|head| (head, Vec::new())).collect();
    for row in rows {
        heads.entry(row.head_id()).or_default().push(row);
    }
    heads
        .into_iter()
        .map(|(head, mut texts)| {
            texts.sort_by_key(|row| row.pick);
            HeadTexts { head, texts }
        })
        .collect()
}
