use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, TextspanRow};

/// The picked texts of one head, by rank.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTexts {
    /// The head.
    pub head: HeadId,
    /// Its texts, first pick first.
    pub texts: Vec<TextspanRow>,
}

/// Groups the rows of `textspan.parquet` by head, in order of layer and head.
pub fn heads_of(rows: Vec<TextspanRow>) -> Vec<HeadTexts> {
    let mut heads: BTreeMap<HeadId, Vec<TextspanRow>> = BTreeMap::new();
    for row in rows {
        heads.entry(HeadId { layer: row.layer, head: row.head }).or_default().push(row);
    }
    heads
        .into_iter()
        .map(|(head, mut texts)| {
            texts.sort_by_key(|row| row.rank);
            HeadTexts { head, texts }
        })
        .collect()
}
