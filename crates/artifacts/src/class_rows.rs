//! Rows about classes: who they are, what images were taken for, and what is left of that without some heads.

use arrow_schema::{DataType, Field};
use serde::{Deserialize, Serialize};

use crate::{
    rows::Row,
    schema::{Table, optional, required, vector},
};

/// One class (`classes.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRow {
    /// Position of the class, from 0.
    pub class_index: u32,
    /// Class identifier, as `class_id` of `images.parquet` has it.
    pub class_id: String,
    /// What stands in the templates.
    pub name: String,
    /// Mean of the unit features of the filled templates, of unit norm, shape `[d]`.
    pub embedding: Vec<f32>,
}

impl Row for ClassRow {
    const TABLE: Table = Table::Classes;
    const HAS_VECTORS: bool = true;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        vec![
            required("class_index", DataType::UInt32),
            required("class_id", DataType::Utf8),
            required("name", DataType::Utf8),
            vector("embedding", DataType::Float32, lengths[0]),
        ]
    }

    fn vector_lengths(&self) -> Vec<usize> {
        vec![self.embedding.len()]
    }
}

/// Zero-shot classification of one image (`zeroshot.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZeroshotRow {
    /// Position of the image in the data set.
    pub image_index: u64,
    /// Its class by position in `classes.parquet`; none if the table does not have it.
    pub class_index: Option<u32>,
    /// The class with the highest score; of equal ones the first.
    pub predicted: u32,
    /// Score (cosine) of the predicted class less that of the next.
    pub margin: f32,
    /// Number of classes that score higher than the image's own: 0 if the prediction is right. None without a class.
    pub rank: Option<u32>,
}

impl Row for ZeroshotRow {
    const TABLE: Table = Table::Zeroshot;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        vec![
            required("image_index", DataType::UInt64),
            optional("class_index", DataType::UInt32),
            required("predicted", DataType::UInt32),
            required("margin", DataType::Float32),
            optional("rank", DataType::UInt32),
        ]
    }
}

/// Accuracy before and after an ablation, over some of the images (`ablations.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AblatedRow {
    /// What was ablated: `head`, `layers`, `rest`, `mlps`, `property`, `list`, `file` or `random`.
    pub kind: String,
    /// Its name: a head, layers, a property, a list, or the number of heads that were drawn.
    pub target: String,
    /// What took its place: `mean`, `zero` or `scale:FACTOR`.
    pub replacement: String,
    /// Over which images: `all`, `class`, `group` or `worst_group`.
    pub scope: String,
    /// The class, of scope `class`.
    pub class_id: Option<String>,
    /// The group, of scopes `group` and `worst_group`.
    pub group: Option<String>,
    /// Images of the scope.
    pub n: u64,
    /// Accuracy of the whole model.
    pub accuracy_before: f64,
    /// Accuracy after the ablation; of `random` its mean over the draws.
    pub accuracy_after: f64,
    /// Lower bound of the accuracy after.
    pub ci_low: f64,
    /// Upper bound of the accuracy after.
    pub ci_high: f64,
    /// Chance that as many random heads change the accuracy at least as much; none where no heads were drawn.
    pub p: Option<f64>,
}

impl Row for AblatedRow {
    const TABLE: Table = Table::Ablations;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        vec![
            required("kind", DataType::Utf8),
            required("target", DataType::Utf8),
            required("replacement", DataType::Utf8),
            required("scope", DataType::Utf8),
            optional("class_id", DataType::Utf8),
            optional("group", DataType::Utf8),
            required("n", DataType::UInt64),
            required("accuracy_before", DataType::Float64),
            required("accuracy_after", DataType::Float64),
            required("ci_low", DataType::Float64),
            required("ci_high", DataType::Float64),
            optional("p", DataType::Float64),
        ]
    }
}

/// Accuracy of what is left when heads may speak along some directions alone (`reconstruction.parquet`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReconstructionRow {
    /// Which directions: `texts`, `random`, `pca`, `all` (the heads' whole output) or `model` (nothing is ablated).
    pub directions: String,
    /// Number of directions of each head; none for `all` and `model`.
    pub k: Option<u32>,
    /// Images that accuracy is over.
    pub n: u64,
    /// Accuracy; of `random` its mean over the draws.
    pub accuracy: f64,
    /// Lower bound of the accuracy.
    pub ci_low: f64,
    /// Upper bound of the accuracy.
    pub ci_high: f64,
    /// Accuracy over that of the heads' whole output; none where that is 0.
    pub kept: Option<f64>,
}

impl Row for ReconstructionRow {
    const TABLE: Table = Table::Reconstruction;

    fn fields(lengths: &[usize]) -> Vec<Field> {
        let _ = lengths;
        vec![
            required("directions", DataType::Utf8),
            optional("k", DataType::UInt32),
            required("n", DataType::UInt64),
            required("accuracy", DataType::Float64),
            required("ci_low", DataType::Float64),
            required("ci_high", DataType::Float64),
            optional("kept", DataType::Float64),
        ]
    }
}
