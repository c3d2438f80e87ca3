//! Tables of pages as CSV (RFC 4180), for spreadsheets and plotting programs.

use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use headspan_query::Columns;

/// A header, then a line a row. What is null is empty.
pub(super) fn csv(columns: &Columns) -> Result<String, arrow_schema::ArrowError> {
    let options = FormatOptions::default();
    let formatters: Vec<(&ArrayRef, ArrayFormatter<'_>)> = columns
        .iter()
        .map(|(_, column)| Ok((column, ArrayFormatter::try_new(column, &options)?)))
        .collect::<Result<_, arrow_schema::ArrowError>>()?;
    let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    let mut text = names.join(",") + "\r\n";
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    for row in 0..rows {
        let mut cells = Vec::with_capacity(formatters.len());
        for (column, formatter) in &formatters {
            let cell = if column.is_null(row) { String::new() } else { formatter.value(row).try_to_string()? };
            cells.push(quoted(&cell));
        }
        text += &(cells.join(",") + "\r\n");
    }
    Ok(text)
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, StringArray};

    use super::*;

    #[test]
    fn cells_are_quoted_and_nulls_are_empty() {
        let columns: Columns = vec![
            ("text", Arc::new(StringArray::from(vec![Some("a, \"b\""), None]))),
            ("share", Arc::new(Float64Array::from(vec![0.5, 1.0]))),
        ];
        let text = csv(&columns).unwrap_or_default();
        assert_eq!(text, "text,share\r\n\"a, \"\"b\"\"\",0.5\r\n,1.0\r\n");
    }
}
