use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema};

use crate::run::RunId;

/// Version of all schemas of this file; it is written into every table and checked on reading.
pub const SCHEMA_VERSION: u32 = 1;

/// Keys of the Parquet metadata that every table carries.
pub(crate) mod keys {
    pub(crate) const SCHEMA_VERSION: &str = "headspan.schema_version";
    pub(crate) const VERSION: &str = "headspan.version";
    pub(crate) const FINGERPRINT: &str = "headspan.fingerprint";
    pub(crate) const MODEL: &str = "headspan.model";
    pub(crate) const DATASET: &str = "headspan.dataset";
}

/// The tables of a run (design section 2) that are written whole; the activations are streamed and have their own writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Table {
    /// `images.parquet`.
    Images,
    /// `readout.parquet`.
    Readout,
    /// `moments.parquet`.
    Moments,
    /// `texts.parquet`.
    Texts,
    /// `textspan.parquet`.
    Textspan,
    /// `labels.parquet`.
    Labels,
    /// `metrics.parquet`.
    Metrics,
}

impl Table {
    /// All tables in pipeline order.
    pub const ALL: [Self; 7] =
        [Self::Images, Self::Readout, Self::Moments, Self::Texts, Self::Textspan, Self::Labels, Self::Metrics];

    /// Whether its rows hold fixed-size vectors, whose length the first row tells.
    pub(crate) const fn has_vectors(self) -> bool {
        matches!(self, Self::Readout | Self::Moments | Self::Texts)
    }

    /// Name of the table; its file is `<name>.parquet`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Readout => "readout",
            Self::Moments => "moments",
            Self::Texts => "texts",
            Self::Textspan => "textspan",
            Self::Labels => "labels",
            Self::Metrics => "metrics",
        }
    }
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// Fixed-size vector of numbers, never null and without null elements.
pub(crate) fn vector(name: &str, element: DataType, length: usize) -> Field {
    let item = Arc::new(Field::new("item", element, false));
    Field::new(name, DataType::FixedSizeList(item, length as i32), false)
}

fn head_fields() -> [Field; 2] {
    [required("layer", DataType::UInt32), required("head", DataType::UInt32)]
}

/// Schema of a table, `model` and `dataset` first. `lengths` are those of its vectors in column order
/// ([`crate::Row::vector_lengths`]); tables without vectors take none.
///
/// # Panics
/// If a table of vectors gets too few lengths, which is a programming error.
pub fn table_schema(table: Table, lengths: &[usize]) -> Schema {
    let mut fields = vec![required("model", DataType::Utf8), required("dataset", DataType::Utf8)];
    match table {
        Table::Images => fields.extend([
            required("image_index", DataType::UInt64),
            required("image_id", DataType::Utf8),
            optional("class_id", DataType::Utf8),
            optional("class_index", DataType::UInt32),
            required("width", DataType::UInt32),
            required("height", DataType::UInt32),
            required("status", DataType::Utf8),
            optional("error", DataType::Utf8),
        ]),
        Table::Readout => {
            fields.extend(head_fields());
            fields.extend([
                vector("readout", DataType::Float32, lengths[0]),
                required("d", DataType::UInt32),
                required("head_dim", DataType::UInt32),
            ]);
        }
        Table::Moments => {
            fields.extend(head_fields());
            fields.extend([
                required("n", DataType::UInt64),
                vector("mean", DataType::Float64, lengths[0]),
                vector("second_moment", DataType::Float64, lengths[1]),
            ]);
        }
        Table::Texts => fields.extend([
            required("text_index", DataType::UInt32),
            required("text", DataType::Utf8),
            optional("category", DataType::Utf8),
            vector("embedding", DataType::Float32, lengths[0]),
        ]),
        Table::Textspan => {
            fields.extend(head_fields());
            fields.extend([
                required("rank", DataType::UInt32),
                required("text_index", DataType::UInt32),
                required("text", DataType::Utf8),
                optional("category", DataType::Utf8),
                required("std", DataType::Float64),
                required("variance_share", DataType::Float64),
                required("cumulative_share", DataType::Float64),
            ]);
        }
        Table::Labels => {
            let judgement = Arc::new(Field::new("item", DataType::Boolean, true));
            fields.extend(head_fields());
            fields.extend([
                required("labeller", DataType::Utf8),
                optional("property", DataType::Utf8),
                optional("description", DataType::Utf8),
                required("consistent", DataType::List(judgement)),
                optional("agreement", DataType::Float64),
                optional("prompt_sha256", DataType::Utf8),
                optional("llm_model", DataType::Utf8),
                required("tokens_in", DataType::UInt64),
                required("tokens_out", DataType::UInt64),
            ]);
        }
        Table::Metrics => fields.extend([
            required("labeller", DataType::Utf8),
            required("metric", DataType::Utf8),
            required("scope", DataType::Utf8),
            optional("layer", DataType::UInt32),
            optional("head", DataType::UInt32),
            optional("property", DataType::Utf8),
            optional("value", DataType::Float64),
            optional("ci_low", DataType::Float64),
            optional("ci_high", DataType::Float64),
            required("n", DataType::UInt64),
        ]),
    }
    Schema::new(fields)
}

/// Metadata that every table of a run carries in its Parquet footer. Times are left out and the keys sorted, so that the
/// same run gives the same bytes; times are in the stage records.
pub fn table_metadata(run: &RunId, fingerprint: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (keys::SCHEMA_VERSION.to_owned(), SCHEMA_VERSION.to_string()),
        (keys::VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (keys::FINGERPRINT.to_owned(), fingerprint.to_owned()),
        (keys::MODEL.to_owned(), run.model().to_owned()),
        (keys::DATASET.to_owned(), run.dataset().to_owned()),
    ])
}
