use std::sync::Arc;

use arrow_schema::{DataType, Field};
use headspan_headspace::{HeadId, Moments, Readout};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::schema::{Table, head_fields, optional, required, vector};

/// A row type of one of the small tables; the columns `model` and `dataset` come from the run.
pub trait Row: Serialize + DeserializeOwned {
    /// The table that holds such rows.
    const TABLE: Table;

    /// Columns of the rows' own, in order. `lengths` are those of the vectors.
    fn fields(lengths: &[usize]) -> Vec<Field>;

    /// Whether rows hold fixed-size vectors, whose length the first row tells.
    const HAS_VECTORS: bool = false;

    /// Columns that had other names in an older version of the schema: then, now.
    fn renamed(version: u32) -> &'static [(&'static str, &'static str)] {
        let _ = version;
        &[]
    }

    /// Columns that an older version of the schema does not have.
    fn later(version: u32) -> &'static [&'static str] {
        let _ = version;
        &[]
    }

    /// Lengths of the row's fixed-size vectors, in the order of the schema; every row of a table has the same.
    fn vector_lengths(&self) -> Vec<usize> {
        Vec::new()
    }
}

/// Whether an image of the data set could be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageStatus {
    /// Decoded and extracted.
    Ok,
    /// Left out; `error` says why.
    Skipped,
}

/// One image of the data set (`images.parquet`), in data set order, skipped ones included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRow {
    /// Position in the data set, from 0, after `sample` and `limit`.
    pub image_index: u64,
    /// Path below the data set's folder with `/`, or key in a tar or Parquet shard.
    pub image_id: String,
    /// Class identifier of the data set (the subfolder, the manifest's value), if it has classes.
    pub class_id: Option<String>,
    /// Position of the class in the class file.
    pub class_index: Option<u32>,
    /// Width of the original in pixels, 0 if unknown.
    pub width: u32,
    /// Height of the original in pixels, 0 if unknown.
    pub height: u32,
    /// Whether it was extracted.
    pub status: ImageStatus,
    /// Why it was skipped.
    pub error: Option<String>,
}

impl Row for ImageRow {
    const TABLE: Table = Table::Images;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        vec![
            required("image_index", DataType::UInt64),
            required("image_id", DataType::Utf8),
            optional("class_id", DataType::Utf8),
            optional("class_index", DataType::UInt32),
            required("width", DataType::UInt32),
            required("height", DataType::UInt32),
            required("status", DataType::Utf8),
            optional("error", DataType::Utf8),
        ]
    }
}

/// Folded readout matrix of one head (`readout.parquet`, design section 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadoutRow {
    /// Block.
    pub layer: u32,
    /// Head.
    pub head: u32,
    /// `B[l,h]`, shape `[d, head_dim + 3]`, row-major: `c = B u`.
    pub readout: Vec<f32>,
    /// Length of the joint embedding.
    pub d: u32,
    /// Width of a head.
    pub head_dim: u32,
}

impl ReadoutRow {
    /// The head that the row is of.
    pub fn head_id(&self) -> HeadId {
        HeadId { layer: self.layer, head: self.head }
    }
}

impl From<ReadoutRow> for Readout {
    fn from(row: ReadoutRow) -> Self {
        Self { head: row.head_id(), d: row.d as usize, head_dim: row.head_dim as usize, matrix: row.readout }
    }
}

impl From<Readout> for ReadoutRow {
    fn from(readout: Readout) -> Self {
        let Readout { head: HeadId { layer, head }, d, head_dim, matrix } = readout;
        Self { layer, head, readout: matrix, d: d as u32, head_dim: head_dim as u32 }
    }
}

impl Row for ReadoutRow {
    const TABLE: Table = Table::Readout;
    const HAS_VECTORS: bool = true;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let mut fields = head_fields().to_vec();
        fields.extend([
            vector("readout", DataType::Float32, lengths[0]),
            required("d", DataType::UInt32),
            required("head_dim", DataType::UInt32),
        ]);
        fields
    }

    fn vector_lengths(&self) -> Vec<usize> {
        vec![self.readout.len()]
    }
}

/// Moments of `u` of one head over the extracted images (`moments.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MomentsRow {
    /// Block.
    pub layer: u32,
    /// Head.
    pub head: u32,
    /// Number of images.
    pub n: u64,
    /// Mean of `u`, shape `[head_dim + 3]`.
    pub mean: Vec<f64>,
    /// Mean of `u uᵀ` (not centred), shape `[head_dim + 3, head_dim + 3]`, row-major.
    pub second_moment: Vec<f64>,
}

impl MomentsRow {
    /// The row of a head.
    pub fn new(HeadId { layer, head }: HeadId, moments: Moments) -> Self {
        let Moments { n, mean, second_moment } = moments;
        Self { layer, head, n, mean, second_moment }
    }

    /// The head that the row is of.
    pub fn head_id(&self) -> HeadId {
        HeadId { layer: self.layer, head: self.head }
    }
}

impl From<MomentsRow> for Moments {
    fn from(MomentsRow { layer: _, head: _, n, mean, second_moment }: MomentsRow) -> Self {
        Self { n, mean, second_moment }
    }
}

impl Row for MomentsRow {
    const TABLE: Table = Table::Moments;
    const HAS_VECTORS: bool = true;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let mut fields = head_fields().to_vec();
        fields.extend([
            required("n", DataType::UInt64),
            vector("mean", DataType::Float64, lengths[0]),
            vector("second_moment", DataType::Float64, lengths[1]),
        ]);
        fields
    }

    fn vector_lengths(&self) -> Vec<usize> {
        vec![self.mean.len(), self.second_moment.len()]
    }
}

/// One description of the pool (`texts.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextRow {
    /// Position in the pool, from 0.
    pub text_index: u32,
    /// The description.
    pub text: String,
    /// Property category of a tagged pool.
    pub category: Option<String>,
    /// Text feature of unit norm, shape `[d]`.
    pub embedding: Vec<f32>,
}

impl Row for TextRow {
    const TABLE: Table = Table::Texts;
    const HAS_VECTORS: bool = true;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        vec![
            required("text_index", DataType::UInt32),
            required("text", DataType::Utf8),
            optional("category", DataType::Utf8),
            vector("embedding", DataType::Float32, lengths[0]),
        ]
    }

    fn vector_lengths(&self) -> Vec<usize> {
        vec![self.embedding.len()]
    }
}

/// One picked text of one head (`textspan.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextspanRow {
    /// Block.
    pub layer: u32,
    /// Head.
    pub head: u32,
    /// Order of the pick, from 0.
    pub pick: u32,
    /// Position of the text in the pool.
    pub text_index: u32,
    /// The description.
    pub text: String,
    /// Its category, if the pool is tagged.
    pub category: Option<String>,
    /// Standard deviation (n − 1) of the head's remaining output along the text when it was picked.
    pub std: f64,
    /// Share of the head's total variance that the pick removed, 0 to 1.
    pub variance_share: f64,
    /// Sum of the shares up to and including this pick.
    pub cumulative_share: f64,
    /// Number of principal directions of the head that texts were projected to; none in tables of version 1.
    pub effective_rank: Option<u32>,
}

impl TextspanRow {
    /// The head that the row is of.
    pub fn head_id(&self) -> HeadId {
        HeadId { layer: self.layer, head: self.head }
    }
}

impl Row for TextspanRow {
    const TABLE: Table = Table::Textspan;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        let mut fields = head_fields().to_vec();
        fields.extend([
            required("pick", DataType::UInt32),
            required("text_index", DataType::UInt32),
            required("text", DataType::Utf8),
            optional("category", DataType::Utf8),
            required("std", DataType::Float64),
            required("variance_share", DataType::Float64),
            required("cumulative_share", DataType::Float64),
            required("effective_rank", DataType::UInt32),
        ]);
        fields
    }

    fn renamed(version: u32) -> &'static [(&'static str, &'static str)] {
        if version == 1 { &[("rank", "pick")] } else { &[] }
    }

    fn later(version: u32) -> &'static [&'static str] {
        if version == 1 { &["effective_rank"] } else { &[] }
    }
}

/// Property label of one head by one labeller (`labels.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelRow {
    /// Block.
    pub layer: u32,
    /// Head.
    pub head: u32,
    /// `lexicon`, `openai` or `import`.
    pub labeller: String,
    /// The property; none if the head could not be labelled, then `description` says why.
    pub property: Option<String>,
    /// A sentence on the label: ties, low agreement, the reason for no label.
    pub description: Option<String>,
    /// For each of the head's first k texts, whether it is consistent with the property (null: not judged).
    pub consistent: Vec<Option<bool>>,
    /// How firmly the labeller stands behind the property, 0 to 1: the property's share of weight (lexicon), the judges'
    /// agreement (openai).
    pub agreement: Option<f64>,
    /// SHA-256 of the prompts used, hexadecimal.
    pub prompt_sha256: Option<String>,
    /// Model that answered, judges after a `;`.
    pub llm_model: Option<String>,
    /// Tokens sent for this head.
    pub tokens_in: u64,
    /// Tokens received for this head.
    pub tokens_out: u64,
}

impl LabelRow {
    /// The head that the row is of.
    pub fn head_id(&self) -> HeadId {
        HeadId { layer: self.layer, head: self.head }
    }
}

impl Row for LabelRow {
    const TABLE: Table = Table::Labels;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        let judgement = Arc::new(Field::new("item", DataType::Boolean, true));
        let mut fields = head_fields().to_vec();
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
        fields
    }
}

/// One figure (`metrics.parquet`), tidy: one value a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// Labeller whose labels were scored.
    pub labeller: String,
    /// Name of the metric, e.g. `entanglement_repeated`.
    pub metric: String,
    /// `model`, `layer`, `head` or `property`.
    pub scope: String,
    /// Block, for the scopes layer and head.
    pub layer: Option<u32>,
    /// Head, for the scope head.
    pub head: Option<u32>,
    /// Folded property, for the scope property.
    pub property: Option<String>,
    /// The figure; none where it is undefined (no labelled head).
    pub value: Option<f64>,
    /// Lower end of the bootstrap interval.
    pub ci_low: Option<f64>,
    /// Upper end of the bootstrap interval.
    pub ci_high: Option<f64>,
    /// Number of heads (or texts) behind the figure.
    pub n: u64,
}

impl Row for MetricRow {
    const TABLE: Table = Table::Metrics;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        vec![
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
        ]
    }
}
