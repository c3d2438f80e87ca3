use std::collections::HashMap;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::{ImageStatus, RunDirectory};
use headspan_metrics::AttributeTable;
use headspan_query::{ExploreRun, HeadSelection, NeighboursRequest, Query, Similarity};

use crate::commands::percent;
use headspan_pipeline::column_store;

/// Neighbours that are looked at of each query.
const NEIGHBOURS: usize = 8;
/// Images that ask, at even steps through the data set.
const QUERIES: usize = 500;

/// Values of a category by the position of their image in the data set.
type Values<'a> = HashMap<u64, &'a str>;

/// How often the nearest neighbours of an image under a property's heads share its attribute, beside what chance would give.
pub(super) fn agreement_table(run: &RunDirectory, truth: &AttributeTable) -> Result<String> {
    let run = ExploreRun::open(run.clone(), &column_store())?;
    let extracted: Vec<u64> =
        run.images().iter().filter(|row| row.status == ImageStatus::Ok).map(|row| row.image_index).collect();
    let ids: Vec<String> = run.images().iter().map(|row| row.image_id.clone()).collect();
    let indices: Vec<u64> = run.images().iter().map(|row| row.image_index).collect();
    let step = extracted.len().div_ceil(QUERIES).max(1);
    let queries: Vec<u64> = extracted.iter().copied().step_by(step).collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["property", "heads", "dot product", "cosine", "all heads, cosine", "chance"]);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let share_of = |share: f64| right(percent(share));
    for (category, name) in truth.categories().iter().enumerate() {
        let Some(heads) = run.properties().get(name) else { continue };
        let values: Values<'_> = indices
            .iter()
            .copied()
            .zip(truth.column(category, &ids))
            .filter_map(|(at, value)| Some((at, value?)))
            .collect();
        let own = HeadSelection::Property(name.clone());
        let share = |selection: &HeadSelection, similarity: Similarity| {
            agreement(&run, &values, &queries, selection, similarity)
        };
        table.add_row([
            Cell::new(name),
            right(heads.len().to_string()),
            share_of(share(&own, Similarity::Dot)?),
            share_of(share(&own, Similarity::Cosine)?),
            share_of(share(&HeadSelection::All, Similarity::Cosine)?),
            share_of(chance(&values, &extracted, &queries)),
        ]);
    }
    Ok(format!("{table}\n{} queries, {NEIGHBOURS} neighbours each", queries.len()))
}

/// Mean share of the neighbours that have the query's value, over queries that have one.
fn agreement(
    run: &ExploreRun,
    values: &Values<'_>,
    queries: &[u64],
    heads: &HeadSelection,
    similarity: Similarity,
) -> Result<f64> {
    let request = NeighboursRequest { similarity, ..NeighboursRequest::new(heads.clone(), NEIGHBOURS) };
    let (mut sum, mut count) = (0.0, 0_usize);
    for query in queries {
        let Some(own) = values.get(query) else { continue };
        let found = run.neighbours(Query::Image(*query), &request)?.images;
        let same = found.iter().filter(|image| values.get(&image.image_index) == Some(own)).count();
        sum += same as f64 / found.len().max(1) as f64;
        count += 1;
    }
    Ok(sum / count.max(1) as f64)
}

/// The same for neighbours drawn at random.
fn chance(values: &Values<'_>, extracted: &[u64], queries: &[u64]) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for image in extracted {
        if let Some(value) = values.get(image) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let others = (extracted.len().max(2) - 1) as f64;
    let asked: Vec<&str> = queries.iter().filter_map(|query| values.get(query).copied()).collect();
    asked.iter().map(|value| (counts[value] - 1) as f64 / others).sum::<f64>() / asked.len().max(1) as f64
}
