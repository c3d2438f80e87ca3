use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt32Array, UInt64Array};
use headspan_artifacts::{HeadId, ParquetError, RunId, answer_bytes};

use super::StabilityRow;

/// The figures as a Parquet file, a row each, that says which records of the run it was made from. `docs/artifacts.md` has the columns.
pub fn stability_parquet(
    rows: &[StabilityRow],
    run: &RunId,
    made_from: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ParquetError> {
    let text = |of: &dyn Fn(&StabilityRow) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let number = |of: &dyn Fn(&StabilityRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Float64Array>())
    };
    let place = |of: fn(HeadId) -> u32| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.head.map(of)).collect::<UInt32Array>())
    };
    let columns = vec![
        ("model", text(&|_| run.model().to_owned())),
        ("dataset", text(&|_| run.dataset().to_owned())),
        ("kind", text(&|row| row.kind.to_owned())),
        ("compared", text(&|row| row.compared.clone())),
        ("layer", place(|head| head.layer)),
        ("head", place(|head| head.head)),
        ("metric", text(&|row| row.metric.to_owned())),
        ("value", number(&|row| row.value)),
        ("ci_low", number(&|row| row.interval.map(|interval| interval.0))),
        ("ci_high", number(&|row| row.interval.map(|interval| interval.1))),
        ("n", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.n)))),
    ];
    answer_bytes(columns, made_from)
}
