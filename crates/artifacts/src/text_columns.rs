use std::path::Path;

use arrow_array::{Array, ArrayRef, cast::AsArray};
use parquet::arrow::ProjectionMask;

use crate::{
    damaged::{Batches, caught},
    error::{ArtifactError, Result},
    files::open_file,
    tables::open,
};

/// Columns of texts of a Parquet table that any program may have written, in the order of their names; none where a row has no value.
pub fn read_text_columns(path: &Path, names: &[&str]) -> Result<Vec<Vec<Option<String>>>> {
    let file = open_file(path)?;
    let builder = open(path, &file)?;
    let missing = |name: &str| ArtifactError::NoColumn { path: path.to_owned(), column: name.to_owned() };
    let place = |name: &&str| builder.schema().index_of(name).map_err(|_not_there| missing(name));
    let places = names.iter().map(place).collect::<Result<Vec<_>>>()?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let batches = caught(|| builder.with_projection(mask).build())
        .map_err(|source| ArtifactError::Parquet { path: path.to_owned(), source }.or_of_store(&file))?;
    let mut columns = vec![Vec::new(); names.len()];
    for batch in Batches::new(batches) {
        let batch =
            batch.map_err(|source| ArtifactError::Arrow { path: path.to_owned(), source }.or_of_store(&file))?;
        for (name, column) in names.iter().zip(&mut columns) {
            let values = batch.column_by_name(name).ok_or_else(|| missing(name))?;
            let other = || ArtifactError::ColumnType {
                path: path.to_owned(),
                column: (*name).to_owned(),
                found: values.data_type().to_string(),
                expected: "texts".to_owned(),
            };
            column.extend(texts(values).ok_or_else(other)?);
        }
    }
    Ok(columns)
}

/// The values of a column of texts; none if it is another column.
pub(crate) fn texts(values: &ArrayRef) -> Option<Vec<Option<String>>> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    if let Some(texts) = values.as_string_opt::<i32>() {
        return Some(texts.iter().map(owned).collect());
    }
    if let Some(texts) = values.as_string_opt::<i64>() {
        return Some(texts.iter().map(owned).collect());
    }
    Some(values.as_string_view_opt()?.iter().map(owned).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int32Array, LargeStringArray, StringArray, StringViewArray};

    use super::*;
    use crate::{answer::parquet_bytes, atomic::write_atomic};

    #[test]
    fn texts_of_any_width_are_read_and_nothing_else() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("t.parquet");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("short", Arc::new(StringArray::from(vec![Some("a"), None]))),
            ("large", Arc::new(LargeStringArray::from(vec![None, Some("b")]))),
            ("view", Arc::new(StringViewArray::from(vec![Some("c"), Some("d")]))),
            ("number", Arc::new(Int32Array::from(vec![1, 2]))),
        ];
        write_atomic(&path, &parquet_bytes(columns)?)?;
        let text = |text: &str| Some(text.to_owned());
        let found = read_text_columns(&path, &["view", "short", "large"])?;
        assert_eq!(found, [[text("c"), text("d")], [text("a"), None], [None, text("b")]]);
        let told = |name: &str| read_text_columns(&path, &[name]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(told("number").contains("has type Int32, expected texts"), "{}", told("number"));
        assert!(told("other").contains("has no column `other`"), "{}", told("other"));
        Ok(())
    }
}
