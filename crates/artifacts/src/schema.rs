use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow_schema::{DataType, Field, Schema};

use crate::{rows::Row, run::RunId};

/// Keys of the Parquet metadata that every table carries.
pub(crate) mod keys {
    pub(crate) const SCHEMA_VERSION: &str = "headspan.schema_version";
    pub(crate) const VERSION: &str = "headspan.version";
    pub(crate) const FINGERPRINT: &str = "headspan.fingerprint";
    pub(crate) const MODEL: &str = "headspan.model";
    pub(crate) const DATASET: &str = "headspan.dataset";
    pub(crate) const MADE_FROM: &str = "headspan.made_from";
}

/// Declares the tables: name and version of the schema. Raise a version when columns change; then say in
/// [`Row::renamed`] what the old ones were called, and in [`Row::later`] which ones are new.
macro_rules! tables {
    ($($(#[doc = $what:literal])* $table:ident = $name:literal, version $version:literal;)+) => {
        /// The tables of a run (design section 2) that are written whole; the activations are streamed and have their own
        /// writer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Table {
            $(
                #[doc = concat!("`", $name, ".parquet`.")]
                $(#[doc = $what])*
                $table,
            )+
        }

        impl Table {
            /// All tables in pipeline order.
            pub const ALL: &[Self] = &[$(Self::$table),+];

            /// Name of the table; its file is `<name>.parquet`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$table => $name,)+ }
            }

            /// Version of its schema, which stands in the footer of its file.
            pub const fn version(self) -> u32 {
                match self { $(Self::$table => $version,)+ }
            }
        }
    };
}

tables! {
    /// The images of the data set.
    Images = "images", version 1;
    /// The readout of each head.
    Readout = "readout", version 1;
    /// The moments of each head's output.
    Moments = "moments", version 1;
    /// Sums from which moments are made, of some parts each: in files of their own below `parts/`.
    Sums = "sums", version 1;
    /// The descriptions and their embeddings.
    Texts = "texts", version 1;
    /// The prompts of the categories and their embeddings.
    Categories = "categories", version 1;
    /// The texts that span each head. Version 2 calls the column `rank` `pick` and has `effective_rank`.
    Textspan = "textspan", version 2;
    /// A property for each head.
    Labels = "labels", version 1;
    /// The scores.
    Metrics = "metrics", version 1;
    /// The classes of zero-shot classification and their embeddings.
    Classes = "classes", version 1;
    /// What each image was taken for.
    Zeroshot = "zeroshot", version 1;
    /// Accuracy without some heads.
    Ablations = "ablations", version 1;
    /// Accuracy where heads may speak along some directions alone.
    Reconstruction = "reconstruction", version 1;
    /// What people say of heads: a log that only grows.
    Notes = "notes", version 1;
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Version of the schema of activation parts.
pub(crate) const PARTS_VERSION: u32 = 1;

/// A column without nulls.
pub fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// A column with nulls.
pub fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// Fixed-size vector of numbers, never null and without null elements.
pub fn vector(name: &str, element: DataType, length: usize) -> Field {
    let item = Arc::new(Field::new("item", element, false));
    Field::new(name, DataType::FixedSizeList(item, length as i32), false)
}

/// The columns `layer` and `head`.
pub fn head_fields() -> [Field; 2] {
    [required("layer", DataType::UInt32), required("head", DataType::UInt32)]
}

/// Schema of the table of some rows, `model` and `dataset` first. `lengths` are those of its vectors in column order
/// ([`Row::vector_lengths`]); tables without vectors take none.
///
/// # Panics
/// If a table of vectors gets too few lengths, which is a programming error.
pub fn table_schema<R: Row>(lengths: &[usize]) -> Schema {
    let mut fields = vec![required("model", DataType::Utf8), required("dataset", DataType::Utf8)];
    fields.extend(R::fields(lengths));
    Schema::new(fields)
}

/// Metadata that every table of a run carries in its Parquet footer. Times are left out and the keys sorted, so that the
/// same run gives the same bytes; times are in the stage records.
pub fn table_metadata(run: &RunId, fingerprint: &str, version: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (keys::SCHEMA_VERSION.to_owned(), version.to_string()),
        (keys::VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (keys::FINGERPRINT.to_owned(), fingerprint.to_owned()),
        (keys::MODEL.to_owned(), run.model().to_owned()),
        (keys::DATASET.to_owned(), run.dataset().to_owned()),
    ])
}
