use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, Float32Array, Float64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use headspan_artifacts::AtomicFile;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};

/// One point of the training curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Step, from 0.
    pub step: u64,
    /// Scenes seen up to and with this step.
    pub scenes: u64,
    /// Contrastive loss of the step's batch, nats.
    pub loss: f32,
    /// Share of images whose nearest text in the batch is their own.
    pub accuracy: f32,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Factor on cosine similarities, the inverse temperature.
    pub scale: f32,
    /// Seconds of training up to this step, over all sittings.
    pub seconds: f64,
    /// Share of held-out images whose nearest class is their own, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f32>,
}

/// Writes the curve as Parquet.
pub(crate) fn write(path: &Path, points: &[CurvePoint]) -> Result<()> {
    let failed = |source| TrainError::Curve { path: path.to_owned(), source };
    let whole = |value: fn(&CurvePoint) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(points.iter().map(value)))
    };
    let single = |value: fn(&CurvePoint) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(points.iter().map(value)))
    };
    let double = |value: fn(&CurvePoint) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(points.iter().map(value)))
    };
    let columns = [
        ("step", whole(|point| point.step)),
        ("scenes", whole(|point| point.scenes)),
        ("loss", single(|point| point.loss)),
        ("accuracy", single(|point| point.accuracy)),
        ("learning_rate", double(|point| point.learning_rate)),
        ("scale", single(|point| point.scale)),
        ("seconds", double(|point| point.seconds)),
        ("held_out", Arc::new(points.iter().map(|point| point.held_out).collect::<Float32Array>())),
    ];
    let field =
        |(name, column): &(&str, ArrayRef)| Field::new(*name, DataType::clone(column.data_type()), *name == "held_out");
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|source| failed(source.into()))?;
    let mut writer = ArrowWriter::try_new(AtomicFile::create(path)?, schema, None).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    Ok(writer.into_inner().map_err(failed)?.commit()?)
}
