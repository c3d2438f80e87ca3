use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt32Array, UInt64Array};
use headspan_artifacts::{
    ArtifactError, LabelRow, MetricRow, ParquetError, RunDirectory, Table, parquet_bytes, read_rows,
};
use polars::prelude::*;

use crate::{
    fold::Synonyms,
    score::{ENTANGLEMENT_METRICS, NULL_ENDINGS, PropertyFrequencies, pooled_null},
    settings::Settings,
};

/// Why models could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComparisonError {
    /// A table of a run could not be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The figures could not be written as Parquet.
    #[error("the figures could not be written as Parquet")]
    Write {
        /// What the Parquet library said.
        source: ParquetError,
    },
    /// Polars could not join the tables.
    #[error("the tables of {} could not be joined", paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", "))]
    Polars {
        /// The tables.
        paths: Vec<PathBuf>,
        /// What Polars said.
        #[source]
        source: PolarsError,
    },
}

/// Scores of several models side by side.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// One row per model, labeller and figure of the scopes model and layer: columns of `metrics.parquet`. The null of
    /// entanglement is that of all these models together.
    pub figures: DataFrame,
    /// Heads per labeller, property and model: columns `labeller`, `property`, `model`, `heads`.
    pub properties: DataFrame,
}

/// Joins the metrics of runs. The labels of all of them make the null: properties are redrawn from their frequencies pooled
/// over the compared models.
pub fn compare(runs: &[RunDirectory], settings: &Settings, synonyms: &Synonyms) -> Result<Comparison, ComparisonError> {
    let mut labels: Vec<(&RunDirectory, Vec<LabelRow>)> = Vec::new();
    for run in runs {
        labels.push((run, read_rows(&run.table(Table::Labels))?));
    }
    let paths: Vec<PathBuf> = runs.iter().map(|run| run.table(Table::Metrics)).collect();
    let failed = |source| ComparisonError::Polars { paths: paths.clone(), source };
    let mut rows = own_figures(runs)?;
    rows.extend(pooled_figures(&labels, settings, synonyms));
    let order = ["labeller", "metric", "layer", "model"];
    let figures = frame(&rows).and_then(|all| all.sort(order, SortMultipleOptions::default())).map_err(failed)?;
    Ok(Comparison { figures, properties: property_counts(&labels, synonyms).map_err(failed)? })
}

/// A figure and the run that it is of.
type OfRun<'a> = (&'a RunDirectory, MetricRow);

/// Figures of the models and layers as their own metrics stages wrote them, without their own nulls.
fn own_figures(runs: &[RunDirectory]) -> Result<Vec<OfRun<'_>>, ComparisonError> {
    let null: BTreeSet<String> = ENTANGLEMENT_METRICS
        .iter()
        .flat_map(|metric| NULL_ENDINGS.iter().map(move |ending| format!("{metric}{ending}")))
        .collect();
    let mut all = Vec::new();
    for run in runs {
        let rows: Vec<MetricRow> = read_rows(&run.table(Table::Metrics))?;
        let shown =
            rows.into_iter().filter(|row| matches!(&*row.scope, "model" | "layer") && !null.contains(&row.metric));
        all.extend(shown.map(|row| (run, row)));
    }
    Ok(all)
}

fn pooled_figures<'a>(
    labels: &[(&'a RunDirectory, Vec<LabelRow>)],
    settings: &Settings,
    synonyms: &Synonyms,
) -> Vec<OfRun<'a>> {
    let mut pools: BTreeMap<&str, Vec<&LabelRow>> = BTreeMap::new();
    for row in labels.iter().flat_map(|(_, rows)| rows) {
        pools.entry(&row.labeller).or_default().push(row);
    }
    let mut all = Vec::new();
    for (labeller, pool) in pools {
        let frequencies = PropertyFrequencies::of(pool, synonyms);
        for (run, rows) in labels {
            let own: Vec<&LabelRow> = rows.iter().filter(|row| row.labeller == labeller).collect();
            if own.is_empty() {
                continue;
            }
            let null = pooled_null(labeller, &own, &frequencies, settings, synonyms);
            all.extend(null.into_iter().map(|row| (*run, row)));
        }
    }
    all
}

/// Columns of [`Comparison::figures`].
fn frame(rows: &[OfRun<'_>]) -> PolarsResult<DataFrame> {
    let text = |of: fn(&MetricRow) -> &str| rows.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let number = |of: fn(&MetricRow) -> Option<f64>| rows.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    df!(
        "model" => rows.iter().map(|(run, _)| run.id().model()).collect::<Vec<_>>(),
        "dataset" => rows.iter().map(|(run, _)| run.id().dataset()).collect::<Vec<_>>(),
        "labeller" => text(|row| &row.labeller),
        "metric" => text(|row| &row.metric),
        "scope" => text(|row| &row.scope),
        "layer" => rows.iter().map(|(_, row)| row.layer).collect::<Vec<_>>(),
        "value" => number(|row| row.value),
        "ci_low" => number(|row| row.ci_low),
        "ci_high" => number(|row| row.ci_high),
        "n" => rows.iter().map(|(_, row)| row.n).collect::<Vec<_>>(),
    )
}

fn property_counts(labels: &[(&RunDirectory, Vec<LabelRow>)], synonyms: &Synonyms) -> PolarsResult<DataFrame> {
    let mut counts: BTreeMap<(&str, String, &str), u64> = BTreeMap::new();
    for (run, rows) in labels {
        for row in rows {
            if let Some(property) = &row.property {
                *counts.entry((&row.labeller, synonyms.fold(property), run.id().model())).or_default() += 1;
            }
        }
    }
    df!(
        "labeller" => counts.keys().map(|(labeller, _, _)| *labeller).collect::<Vec<_>>(),
        "property" => counts.keys().map(|(_, property, _)| property.as_str()).collect::<Vec<_>>(),
        "model" => counts.keys().map(|(_, _, model)| *model).collect::<Vec<_>>(),
        "heads" => counts.values().copied().collect::<Vec<u64>>(),
    )
}

impl Comparison {
    /// The figures as a Parquet file.
    pub fn to_parquet(&self) -> Result<Vec<u8>, ComparisonError> {
        let polars = |source| ComparisonError::Polars { paths: Vec::new(), source };
        let arrays = self.figures.columns().iter().map(|column| Ok((column.name().as_str(), array(column)?)));
        let arrays = arrays.collect::<PolarsResult<Vec<_>>>().map_err(polars)?;
        parquet_bytes(arrays).map_err(|source| ComparisonError::Write { source })
    }

    /// Adds a column of texts, by model and labeller.
    pub fn add_text(&mut self, name: &str, text: impl Fn(&str, &str) -> Option<String>) -> Result<(), ComparisonError> {
        let rows = self.text("model").into_iter().zip(self.text("labeller"));
        let column: Vec<Option<String>> = rows.map(|(model, labeller)| text(&model, &labeller)).collect();
        self.figures
            .with_column(Column::new(name.into(), column))
            .map(|_frame| ())
            .map_err(|source| ComparisonError::Polars { paths: Vec::new(), source })
    }

    /// Value and interval of one figure of a model.
    pub fn figure(&self, model: &str, labeller: &str, metric: &str) -> Option<(f64, Option<(f64, f64)>)> {
        let text = |name: &str| self.figures.column(name).ok().and_then(|column| column.str().ok());
        let number = |name: &str| self.figures.column(name).ok().and_then(|column| column.f64().ok());
        let (models, labellers, metrics, scopes) = (text("model")?, text("labeller")?, text("metric")?, text("scope")?);
        let row = (0..self.figures.height()).find(|row| {
            models.get(*row) == Some(model)
                && labellers.get(*row) == Some(labeller)
                && metrics.get(*row) == Some(metric)
                && scopes.get(*row) == Some("model")
        })?;
        let (low, high) = (number("ci_low")?.get(row), number("ci_high")?.get(row));
        Some((number("value")?.get(row)?, low.zip(high)))
    }

    /// Values of a text column of the figures.
    pub fn text(&self, column: &str) -> Vec<String> {
        strings(&self.figures, column)
    }

    /// Rows of [`Comparison::properties`]: labeller, property, model, heads.
    pub fn property_rows(&self) -> Vec<(String, String, String, u64)> {
        let heads = self.properties.column("heads").ok().and_then(|column| column.u64().ok());
        let heads: Vec<u64> = heads.map(|heads| heads.iter().flatten().collect()).unwrap_or_default();
        let text = |column: &str| strings(&self.properties, column);
        let names = text("labeller").into_iter().zip(text("property")).zip(text("model"));
        names.zip(heads).map(|(((labeller, property), model), heads)| (labeller, property, model, heads)).collect()
    }
}

/// A column as Arrow's own array. There are no others than these types.
fn array(column: &Column) -> PolarsResult<ArrayRef> {
    Ok(match column.dtype() {
        DataType::UInt32 => Arc::new(column.u32()?.iter().collect::<UInt32Array>()),
        DataType::UInt64 => Arc::new(column.u64()?.iter().collect::<UInt64Array>()),
        DataType::Float64 => Arc::new(column.f64()?.iter().collect::<Float64Array>()),
        _ => Arc::new(column.str()?.iter().collect::<StringArray>()),
    })
}

fn strings(frame: &DataFrame, column: &str) -> Vec<String> {
    let column = frame.column(column).ok().and_then(|column| column.str().ok());
    column.map(|column| column.iter().map(|text| text.unwrap_or_default().to_owned()).collect()).unwrap_or_default()
}
