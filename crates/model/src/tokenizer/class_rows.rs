//! Texts of a tower that reads a class token behind them (CoCa).

use super::TokenBatch;

/// Rows of a text tower with a class token behind the text, and none that no other row sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassRows {
    /// Ids, the class token's place with any, at the end of each text.
    pub(crate) batch: TokenBatch,
    /// Position of each row, as the ids lie.
    pub(crate) positions: Vec<usize>,
    /// Whether the class token of a text does not see itself.
    pub(crate) blind: Vec<bool>,
}

/// Id of padding.
const PADDING: i32 = 0;

impl ClassRows {
    /// OpenCLIP hides padding from everybody, but its mask is one place late, and trained weights rely on that: row `j` is hidden if the token
    /// *before* it is padding (`TextTransformer._build_additive_mask`, `correct_cls_mask` false). So one row of padding counts, and the class
    /// token, which is row `context`, sees itself only behind a text that fills the context.
    pub(crate) fn new(tokens: &TokenBatch, context: usize) -> Self {
        let of_text = |text: usize| -> Vec<(i32, usize)> {
            let ids = tokens.text(text);
            let last = ids.len().min(context - 1);
            let is_seen = |row: &usize| *row == 0 || ids[row - 1] != PADDING;
            (0..=last).filter(is_seen).map(|row| (ids.get(row).copied().unwrap_or(PADDING), row)).collect()
        };
        let texts: Vec<Vec<(i32, usize)>> = (0..tokens.texts()).map(of_text).collect();
        let length = texts.iter().map(|rows| rows.len() + 1).max().unwrap_or_default();
        let (mut ids, mut positions, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for rows in &texts {
            ends.push(rows.len());
            ids.extend(rows.iter().map(|(id, _)| *id).chain(std::iter::repeat_n(PADDING, length - rows.len())));
            let behind = std::iter::repeat_n(context, length - rows.len());
            positions.extend(rows.iter().map(|(_, position)| *position).chain(behind));
        }
        let is_full = |text: usize| tokens.text(text).get(context - 1).is_some_and(|id| *id != PADDING);
        let blind = (0..tokens.texts()).map(|text| !is_full(text)).collect();
        Self { batch: TokenBatch { ids, ends, length }, positions, blind }
    }

    /// Positions of one text's rows, the class token's last.
    pub(crate) fn of_text(&self, text: usize) -> &[usize] {
        &self.positions[text * self.batch.length()..][..=self.batch.ends()[text]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_of_padding_counts_and_hidden_rows_do_not() {
        // The second text has the id of padding inside, the third fills the context.
        let tokens = TokenBatch::new(&[vec![7, 1, 9], vec![7, 0, 2, 9], vec![7, 1, 2, 3, 9]]);
        let rows = ClassRows::new(&tokens, 5);
        assert_eq!(rows.batch.text(0), [7, 1, 9, 0, 0]);
        assert_eq!(rows.of_text(0), [0, 1, 2, 3, 5]);
        // Row 2 stands behind padding.
        assert_eq!(rows.batch.text(1), [7, 0, 9, 0, 0]);
        assert_eq!(rows.of_text(1), [0, 1, 3, 4, 5]);
        assert_eq!(rows.batch.text(2), [7, 1, 2, 3, 9, 0]);
        assert_eq!(rows.of_text(2), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows.blind, [true, true, false]);
        assert_eq!(rows.batch.length(), 6);
    }
}
