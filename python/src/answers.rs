//! Answers about a run as tables.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, StringArray, UInt32Array,
    builder::{ListBuilder, StringBuilder},
};
use headspan_headspace::HeadId;
use headspan_query::{Carried, Columns, ExploreRun, Extremes, image_columns};

/// First texts of a head that stand in the table of heads.
const TEXTS: usize = 5;

/// One row a head: what it is called, its label, its figures and its first texts.
pub(crate) fn heads(run: &ExploreRun) -> Columns {
    let heads: Vec<HeadId> = run.heads().collect();
    let labels = || heads.iter().map(|head| run.label(*head));
    let figure = |pick: fn(&headspan_query::HeadFigures) -> f64| -> ArrayRef {
        Arc::new(heads.iter().map(|head| run.figures().get(head).map(pick)).collect::<Float64Array>())
    };
    let mut texts = ListBuilder::new(StringBuilder::new());
    for head in &heads {
        texts.append_value(run.textspan(*head).iter().take(TEXTS).map(|pick| Some(pick.text.as_str())));
    }
    vec![
        ("name", Arc::new(StringArray::from_iter_values(heads.iter().map(ToString::to_string)))),
        ("layer", Arc::new(UInt32Array::from_iter_values(heads.iter().map(|head| head.layer)))),
        ("head", Arc::new(UInt32Array::from_iter_values(heads.iter().map(|head| head.head)))),
        (
            "property",
            Arc::new(labels().map(|row| row.and_then(|row| row.property.as_deref())).collect::<StringArray>()),
        ),
        ("agreement", Arc::new(labels().map(|row| row.and_then(|row| row.agreement)).collect::<Float64Array>())),
        ("variance_share", figure(|figures| figures.variance_share)),
        ("mean_length", figure(|figures| figures.mean_length)),
        ("effective_rank", figure(|figures| figures.effective_rank)),
        ("texts", Arc::new(texts.finish())),
    ]
}

/// Both ends of a head and what lies between, as one table with a column `end`.
pub(crate) fn extremes(found: &Extremes) -> Columns {
    let groups = [("largest", &found.largest), ("between", &found.between), ("smallest", &found.smallest)];
    let ends = groups.iter().flat_map(|(name, images)| std::iter::repeat_n(*name, images.len()));
    let mut columns: Columns = vec![("end", Arc::new(StringArray::from_iter_values(ends)))];
    columns.extend(image_columns(groups.iter().flat_map(|(_, images)| images.iter())));
    columns
}

/// Heads of a run by how much they resemble one.
pub(crate) fn alike(found: &[(HeadId, f32)], other: &ExploreRun) -> Columns {
    let label = |head: &HeadId| other.label(*head).and_then(|row| row.property.as_deref());
    vec![
        ("name", Arc::new(StringArray::from_iter_values(found.iter().map(|(head, _)| head.to_string())))),
        ("property", Arc::new(found.iter().map(|(head, _)| label(head)).collect::<StringArray>())),
        ("correlation", Arc::new(found.iter().map(|(_, correlation)| *correlation).collect::<Float32Array>())),
    ]
}

/// Heads by how much of a text they carry.
pub(crate) fn by_text(found: &[(HeadId, Carried)], run: &ExploreRun) -> Columns {
    let figure = |of: fn(&Carried) -> f64| -> ArrayRef {
        Arc::new(found.iter().map(|(_, carried)| Some(of(carried))).collect::<Float64Array>())
    };
    let mut columns = named(found.iter().map(|(head, _)| *head), run);
    columns.push(("times", figure(|carried| carried.times)));
    columns.push(("above", figure(|carried| carried.above)));
    columns.push(("span", figure(|carried| carried.span)));
    columns
}

/// Heads by how much an image excites them.
pub(crate) fn by_image(found: &[(HeadId, f64)], run: &ExploreRun) -> Columns {
    let mut columns = named(found.iter().map(|(head, _)| *head), run);
    columns.push(("excited", Arc::new(Float64Array::from_iter_values(found.iter().map(|(_, excited)| *excited)))));
    columns
}

/// Name and property of heads.
fn named(heads: impl Iterator<Item = HeadId> + Clone, run: &ExploreRun) -> Columns {
    let property = |head: HeadId| run.label(head).and_then(|label| label.property.as_deref());
    vec![
        ("name", Arc::new(StringArray::from_iter_values(heads.clone().map(|head| head.to_string())))),
        ("property", Arc::new(heads.map(property).collect::<StringArray>())),
    ]
}
