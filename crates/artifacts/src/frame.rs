use std::path::Path;

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type},
};
use parquet::arrow::ProjectionMask;

use crate::{
    damaged::{Batches, caught},
    error::{ArtifactError, Result},
    files::open_file,
    tables::open,
    text_columns::texts,
};

/// Some columns of a Parquet table whose rows have no type of their own here: numbers as `f64`, texts, and lists of texts as one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    rows: usize,
    columns: Vec<(String, Values)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

/// What stands between the texts of a list.
const BETWEEN: &str = "; ";

/// Reads columns of a table. A column that the table lacks, or that holds neither numbers nor texts, is an error.
pub fn read_frame(path: &Path, names: &[&str]) -> Result<Frame> {
    let file = open_file(path)?;
    let builder = open(path, &file)?;
    let missing = |name: &str| ArtifactError::NoColumn { path: path.to_owned(), column: name.to_owned() };
    let place = |name: &&str| builder.schema().index_of(name).map_err(|_not_there| missing(name));
    let places = names.iter().map(place).collect::<Result<Vec<_>>>()?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let batches = caught(|| builder.with_projection(mask).build())
        .map_err(|source| ArtifactError::Parquet { path: path.to_owned(), source }.or_of_store(&file))?;
    let mut frame = Frame { rows: 0, columns: Vec::new() };
    for batch in Batches::new(batches) {
        let batch =
            batch.map_err(|source| ArtifactError::Arrow { path: path.to_owned(), source }.or_of_store(&file))?;
        frame.rows += batch.num_rows();
        for name in names {
            let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
            let other = || ArtifactError::ColumnType {
                path: path.to_owned(),
                column: (*name).to_owned(),
                found: column.data_type().to_string(),
                expected: "numbers or texts".to_owned(),
            };
            frame.add(name, values(column).ok_or_else(other)?);
        }
    }
    Ok(frame)
}

impl Frame {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A number; none where the table has no value, or a text.
    pub fn number(&self, name: &str, row: usize) -> Option<f64> {
        match self.column(name)? {
            Values::Numbers(numbers) => *numbers.get(row)?,
            Values::Texts(_) => None,
        }
    }

    /// A text; none where the table has no value, or a number.
    pub fn text(&self, name: &str, row: usize) -> Option<&str> {
        match self.column(name)? {
            Values::Texts(texts) => texts.get(row)?.as_deref(),
            Values::Numbers(_) => None,
        }
    }

    fn column(&self, name: &str) -> Option<&Values> {
        self.columns.iter().find(|(own, _)| own == name).map(|(_, values)| values)
    }

    fn add(&mut self, name: &str, more: Values) {
        match (self.columns.iter_mut().find(|(own, _)| own == name), more) {
            (Some((_, Values::Numbers(numbers))), Values::Numbers(more)) => numbers.extend(more),
            (Some((_, Values::Texts(texts))), Values::Texts(more)) => texts.extend(more),
            (_, more) => self.columns.push((name.to_owned(), more)),
        }
    }
}

fn values(column: &ArrayRef) -> Option<Values> {
    if let Some(lists) = column.as_list_opt::<i32>() {
        let joined = |list: Option<ArrayRef>| -> Option<Option<String>> {
            let Some(list) = list else { return Some(None) };
            let texts: Vec<String> = texts(&list)?.into_iter().flatten().collect();
            Some(Some(texts.join(BETWEEN)))
        };
        return Some(Values::Texts(lists.iter().map(joined).collect::<Option<_>>()?));
    }
    if let Some(texts) = texts(column) {
        return Some(Values::Texts(texts));
    }
    numbers(column).map(Values::Numbers)
}

fn numbers(column: &ArrayRef) -> Option<Vec<Option<f64>>> {
    macro_rules! of {
        ($kind:ty, $convert:expr) => {
            if let Some(numbers) = column.as_primitive_opt::<$kind>() {
                return Some(numbers.iter().map(|number| number.map($convert)).collect());
            }
        };
    }
    of!(Float64Type, |number| number);
    of!(Float32Type, f64::from);
    of!(UInt32Type, f64::from);
    of!(Int32Type, f64::from);
    of!(UInt64Type, |number| number as f64);
    of!(Int64Type, |number| number as f64);
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BooleanArray, Float32Array, ListArray, StringArray, UInt64Array, types::Int32Type};

    use super::*;
    use crate::{answer::parquet_bytes, atomic::write_atomic};

    #[test]
    fn numbers_texts_and_lists_are_read_and_other_columns_are_refused()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("answer.parquet");
        let mut heads = arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
        heads.append_value([Some("L0.H1"), Some("L0.H2")]);
        heads.append_null();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(UInt64Array::from(vec![3, 4]))),
            ("share", Arc::new(Float32Array::from(vec![Some(0.5), None]))),
            ("name", Arc::new(StringArray::from(vec![None, Some("a")]))),
            ("heads", Arc::new(heads.finish())),
            ("right", Arc::new(BooleanArray::from(vec![true, false]))),
            ("counts", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]))),
        ];
        write_atomic(&path, &parquet_bytes(columns)?)?;
        let frame = read_frame(&path, &["n", "share", "name", "heads"])?;
        assert_eq!((frame.rows(), frame.number("n", 1), frame.number("share", 0)), (2, Some(4.0), Some(0.5)));
        assert_eq!((frame.number("share", 1), frame.text("name", 0), frame.text("name", 1)), (None, None, Some("a")));
        assert_eq!((frame.text("heads", 0), frame.text("heads", 1)), (Some("L0.H1; L0.H2"), None));
        assert_eq!((frame.text("n", 0), frame.number("name", 1), frame.number("n", 2)), (None, None, None));
        for (column, said) in [("right", "Boolean"), ("counts", "List"), ("nothing", "nothing")] {
            let refused = read_frame(&path, &[column]).map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|error| error.contains(said)), "{column}: {refused:?}");
        }
        Ok(())
    }
}
