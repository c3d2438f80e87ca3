//! The data of the charts of scores by layer.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt32Array};
use headspan_query::{CURVE_METRICS, Columns, CurveMetric, CurvePoint, Curves};

use crate::ask::Fields;

/// The charts that a page draws, in order.
pub(super) fn drawn(curves: &BTreeMap<String, Curves>) -> Vec<(CurveMetric, &Curves)> {
    CURVE_METRICS.into_iter().filter_map(|metric| Some((metric, curves.get(metric.metric)?))).collect()
}

/// Points of the chart that a query asks for (`chart`, from 1): `run`, `metric`, `layer` (from the last, which is 0), `value`, `ci_low`, `ci_high`,
/// `null_mean`. None if it asks for none, or for one that is not drawn.
pub(super) fn chart_of(curves: &BTreeMap<String, Curves>, query: &str) -> Option<Columns> {
    let number: usize = Fields::read(Some(query)).get("chart")?.parse().ok()?;
    let (metric, curves) = *drawn(curves).get(number.checked_sub(1)?)?;
    let points: Vec<(&str, &CurvePoint)> =
        curves.iter().flat_map(|(run, points)| points.iter().map(|point| (run.as_str(), point))).collect();
    let number = |of: &dyn Fn(&CurvePoint) -> Option<f64>| -> ArrayRef {
        Arc::new(points.iter().map(|(_, point)| of(point)).collect::<Float64Array>())
    };
    Some(vec![
        ("run", Arc::new(StringArray::from_iter_values(points.iter().map(|(run, _)| *run)))),
        ("metric", Arc::new(StringArray::from_iter_values(points.iter().map(|_| metric.metric)))),
        ("layer", Arc::new(UInt32Array::from_iter_values(points.iter().map(|(_, point)| point.layer)))),
        ("value", number(&|point| Some(point.value))),
        ("ci_low", number(&|point| point.interval.map(|interval| interval.0))),
        ("ci_high", number(&|point| point.interval.map(|interval| interval.1))),
        ("null_mean", number(&|point| point.null_mean)),
    ])
}
