use burn::tensor::{Device, Tensor, TensorData};

use crate::{backends::burn::BurnTextTower, checkpoint::StoredRows, error::Result, tokenizer::TokenBatch};

/// A text tower whose token embedding may stay in the checkpoint's file: of its 49,408 rows, a tenth of a ViT-L/14's weights, a text
/// needs 77 at most.
pub struct TextEncoder {
    tower: BurnTextTower,
    /// The token embedding, where the tower's own was not filled.
    rows: Option<StoredRows>,
}

impl From<BurnTextTower> for TextEncoder {
    fn from(tower: BurnTextTower) -> Self {
        Self { tower, rows: None }
    }
}

impl TextEncoder {
    pub(crate) fn with_rows(tower: BurnTextTower, rows: StoredRows) -> Self {
        Self { tower, rows: Some(rows) }
    }

    /// The tower, and its token embedding's rows where they stayed in the file.
    pub(crate) fn into_parts(self) -> (BurnTextTower, Option<StoredRows>) {
        (self.tower, self.rows)
    }

    /// As [`BurnTextTower::encode`]; an error where rows of the token embedding cannot be read.
    pub fn encode(&self, tokens: &TokenBatch, device: &Device) -> Result<Tensor<2>> {
        let Some(rows) = &self.rows else { return Ok(self.tower.encode(tokens, device)) };
        let class_rows = self.tower.class_rows(tokens);
        let own = class_rows.as_ref().map_or(tokens, |rows| &rows.batch);
        let ids: Vec<u32> = own.ids().iter().map(|id| id.unsigned_abs()).collect();
        let values = TensorData::new(rows.read(&ids)?, [own.texts(), own.length(), rows.columns()]);
        let embedded = Tensor::from_data(values, device);
        Ok(match &class_rows {
            Some(rows) => self.tower.encode_class_rows(embedded, rows),
            None => self.tower.encode_embedded(embedded, tokens),
        })
    }
}
