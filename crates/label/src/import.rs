//! Labels from a file.

use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
};

use headspan_artifacts::{Batches, LabelRow, hash_file};
use headspan_store::Blob;
use serde_json::{Value, json};

use crate::{LabelError, LabelRequest, LabelSettings, Labeller, NamedPath, labeller::strangers};

/// Name of the labeller in tables.
pub const NAME: &str = "import";
const REQUIRED: [&str; 4] = ["model", "layer", "head", "property"];

/// A file of labels that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a CSV file.
    #[error("`{path}` is not a readable CSV file")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the CSV library said, with the line.
        source: csv::Error,
    },
    /// Not a Parquet file.
    #[error("`{path}` is not a readable Parquet file")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A column is missing.
    #[error("`{path}` has no column `{column}`; labels have the columns model, layer, head, property")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// A value that its column cannot have.
    #[error("`{path}`, row {row}, column `{column}`: {value:?} is not {expected}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Line, the header being 1.
        row: usize,
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
        /// What would be.
        expected: &'static str,
    },
    /// Two labels for one head.
    #[error("`{path}`, row {row}: L{layer}.H{head} of `{model}` is already labelled in row {first}")]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Line of the second.
        row: usize,
        /// Line of the first.
        first: usize,
        /// The model.
        model: String,
        /// The layer.
        layer: u32,
        /// The head.
        head: u32,
    },
}

/// Labels from a file.
pub(crate) struct Import;

impl Labeller for Import {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "A file of labels"
    }

    /// The content of the file counts, which is an input, and not where it lies.
    fn slice(&self, _settings: &LabelSettings) -> Value {
        json!({})
    }

    fn files(&self, settings: &LabelSettings) -> Result<BTreeMap<String, String>, LabelError> {
        Ok(BTreeMap::from([("labels".to_owned(), hash_file(file_of(settings)?)?)]))
    }

    fn paths<'a>(&self, settings: &'a LabelSettings) -> Result<Vec<NamedPath<'a>>, LabelError> {
        Ok(vec![NamedPath { key: "label.import", path: file_of(settings)?, is_folder: false }])
    }

    fn judged_texts(&self, _settings: &LabelSettings) -> Option<usize> {
        None
    }

    fn label(&self, request: &LabelRequest<'_>) -> Result<Vec<LabelRow>, LabelError> {
        let (file, model) = (file_of(request.settings)?, request.run.id().model());
        let rows: Vec<LabelRow> = read(file, Some(model))?.into_iter().map(|(_, row)| row).collect();
        if rows.is_empty() {
            return Err(LabelError::NoLabels { file: file.to_owned(), model: Some(model.to_owned()) });
        }
        let strangers = strangers(&rows, &request.heads()?);
        if strangers > 0 {
            tracing::warn!("`{}` labels {strangers} heads that this run did not extract", file.display());
        }
        Ok(rows)
    }
}

fn file_of(settings: &LabelSettings) -> Result<&Path, LabelError> {
    settings.import.as_deref().ok_or(LabelError::NoImportFile)
}

/// Reads labels with their models, in the file's order: CSV or Parquet with the columns model, layer, head, property, and
/// optionally `consistent` (0 and 1 for each text, such as `11010`) and `description`. An empty property is no label.
pub fn read(path: &Path, wanted: Option<&str>) -> Result<Vec<(String, LabelRow)>, ImportError> {
    let mut seen: BTreeMap<(String, u32, u32), usize> = BTreeMap::new();
    let mut labels = Vec::new();
    let mut row = 1;
    // Row by row: a few bytes of Parquet can hold more rows than memory does, and all but the first are then refused.
    let mut add = |record: &Record| {
        row += 1;
        let (model, label) = label(path, row, record)?;
        if let Some(first) = seen.insert((model.clone(), label.layer, label.head), row) {
            let (layer, head) = (label.layer, label.head);
            return Err(ImportError::Duplicate { path: path.to_owned(), row, first, model, layer, head });
        }
        if wanted.is_none_or(|wanted| wanted == model) {
            labels.push((model, label));
        }
        Ok(())
    };
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
        each_of_parquet(path, &mut add)?;
    } else {
        each_of_csv(path, &mut add)?;
    }
    Ok(labels)
}

type Record = BTreeMap<String, String>;

fn label(path: &Path, row: usize, record: &Record) -> Result<(String, LabelRow), ImportError> {
    let value = |column: &'static str| record.get(column).map(|value| value.trim()).unwrap_or_default();
    let wrong = |column: &'static str, expected: &'static str| ImportError::Value {
        path: path.to_owned(),
        row,
        column,
        value: value(column).to_owned(),
        expected,
    };
    let number =
        |column: &'static str| value(column).parse::<u32>().map_err(|_not_a_number| wrong(column, "a number from 0"));
    let model = value("model");
    if model.is_empty() {
        return Err(wrong("model", "a model id"));
    }
    let consistent = value("consistent")
        .chars()
        .filter(|c| !matches!(c, ' ' | ',' | ';' | '[' | ']'))
        .map(|c| match c {
            '1' => Ok(Some(true)),
            '0' => Ok(Some(false)),
            _ => Err(wrong("consistent", "a row of 0 and 1")),
        })
        .collect::<Result<_, _>>()?;
    let text = |column: &'static str| Some(value(column)).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok((
        model.to_owned(),
        LabelRow {
            layer: number("layer")?,
            head: number("head")?,
            labeller: NAME.to_owned(),
            property: text("property"),
            description: text("description"),
            consistent,
            agreement: None,
            prompt_sha256: None,
            llm_model: None,
            tokens_in: 0,
            tokens_out: 0,
        },
    ))
}

fn each_of_csv(path: &Path, mut add: impl FnMut(&Record) -> Result<(), ImportError>) -> Result<(), ImportError> {
    let failed = |source| ImportError::Csv { path: path.to_owned(), source };
    let file = fs_err::File::open(path)?;
    let mut reader = csv::Reader::from_reader(file);
    let headers = reader.headers().map_err(failed)?.clone();
    require(path, |column| headers.iter().any(|header| header == column))?;
    for record in reader.deserialize::<Record>() {
        add(&record.map_err(failed)?)?;
    }
    Ok(())
}

fn each_of_parquet(path: &Path, mut add: impl FnMut(&Record) -> Result<(), ImportError>) -> Result<(), ImportError> {
    use arrow_array::{Array, cast::AsArray};
    use arrow_schema::DataType;

    let failed = |source: Box<dyn Error + Send + Sync>| ImportError::Parquet { path: path.to_owned(), source };
    for batch in Batches::of(Blob::open(path)?).map_err(|error| failed(error.into()))? {
        let batch = batch.map_err(|error| failed(error.into()))?;
        require(path, |column| batch.column_by_name(column).is_some())?;
        let mut rows = vec![Record::new(); batch.num_rows()];
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let Ok(text) = arrow_cast::cast(column, &DataType::Utf8) else { continue };
            let text = text.as_string::<i32>();
            for (row, record) in rows.iter_mut().enumerate() {
                if text.is_valid(row) {
                    record.insert(field.name().clone(), text.value(row).to_owned());
                }
            }
        }
        rows.iter().try_for_each(&mut add)?;
    }
    Ok(())
}

fn require(path: &Path, has: impl Fn(&str) -> bool) -> Result<(), ImportError> {
    match REQUIRED.into_iter().find(|column| !has(column)) {
        Some(column) => Err(ImportError::NoColumn { path: path.to_owned(), column }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, LabelRow)>, ImportError> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("labels.csv");
        fs_err::write(&path, text)?;
        read(&path, None)
    }

    #[test]
    fn optional_columns_are_read() -> Result<(), ImportError> {
        let rows = read_text("model,layer,head,property,consistent\nm,3,1,Colors,11010\nm,3,2,,\n")?;
        assert_eq!(rows[0].1.consistent, [1, 1, 0, 1, 0].map(|bit| Some(bit == 1)));
        assert_eq!(rows[1].1.property, None);
        Ok(())
    }

    #[test]
    fn bad_files_name_row_and_column() {
        for (text, expected) in [
            ("model,layer,head\nm,1,2\n", "no column `property`"),
            ("model,layer,head,property\nm,x,2,a\n", "row 2, column `layer`"),
            ("model,layer,head,property\nm,1,2,a\nm,1,2,b\n", "row 3: L1.H2 of `m` is already labelled in row 2"),
        ] {
            let message = read_text(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_published_labels_are_read() -> Result<(), ImportError> {
        let Some(shared) = std::env::var_os("HEADSPAN_SHARED") else {
            eprintln!("skipped: HEADSPAN_SHARED is not set, so there are no published labels");
            return Ok(());
        };
        let path = Path::new(&shared).join("data/published_head_labels.csv");
        assert_eq!(read(&path, None)?.len(), 320);
        assert_eq!(read(&path, Some("ViT-L-14_openai"))?.len(), 64);
        Ok(())
    }
}
