use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    path::PathBuf,
};

use headspan_artifacts::{ArtifactError, LabelRow, RunDirectory, Table, read, read_rows};
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

/// Columns of [`Comparison::figures`].
const COLUMNS: [&str; 10] =
    ["model", "dataset", "labeller", "metric", "scope", "layer", "value", "ci_low", "ci_high", "n"];

/// Joins the metrics of runs. The labels of all of them make the null: properties are redrawn from their frequencies pooled
/// over the compared models.
pub fn compare(runs: &[RunDirectory], settings: &Settings, synonyms: &Synonyms) -> Result<Comparison, ComparisonError> {
    let mut labels: Vec<(&RunDirectory, Vec<LabelRow>)> = Vec::new();
    for run in runs {
        labels.push((run, read_rows(&run.table(Table::Labels))?));
    }
    let paths: Vec<PathBuf> = runs.iter().map(|run| run.table(Table::Metrics)).collect();
    let failed = |source| ComparisonError::Polars { paths: paths.clone(), source };
    let own = own_figures(&paths)?;
    let pooled = pooled_figures(&labels, settings, synonyms).map_err(failed)?;
    let figures = own
        .vstack(&pooled)
        .and_then(|figures| figures.sort(["labeller", "metric", "layer", "model"], SortMultipleOptions::default()))
        .map_err(failed)?;
    Ok(Comparison { figures, properties: property_counts(&labels, synonyms).map_err(failed)? })
}

/// Figures of the models and layers as their own metrics stages wrote them, without their own nulls.
fn own_figures(paths: &[PathBuf]) -> Result<DataFrame, ComparisonError> {
    let mut all: Option<DataFrame> = None;
    for path in paths {
        let failed = |source| ComparisonError::Polars { paths: vec![path.clone()], source };
        let bytes = read(path).map_err(ArtifactError::from)?;
        let frame = ParquetReader::new(Cursor::new(bytes)).finish().map_err(failed)?;
        let shown = kept_rows(&frame).and_then(|kept| frame.filter(&kept)?.select(COLUMNS)).map_err(failed)?;
        all = Some(match all {
            None => shown,
            Some(above) => above.vstack(&shown).map_err(failed)?,
        });
    }
    Ok(all.unwrap_or_default())
}

/// The rows of the scopes model and layer that are not of the model's own null.
fn kept_rows(frame: &DataFrame) -> PolarsResult<BooleanChunked> {
    let null: BTreeSet<String> = ENTANGLEMENT_METRICS
        .iter()
        .flat_map(|metric| NULL_ENDINGS.iter().map(move |ending| format!("{metric}{ending}")))
        .collect();
    let scopes = frame.column("scope")?.str()?.iter();
    let metrics = frame.column("metric")?.str()?.iter();
    let keep = |(scope, metric): (Option<&str>, Option<&str>)| {
        matches!(scope, Some("model" | "layer")) && metric.is_some_and(|metric| !null.contains(metric))
    };
    Ok(scopes.zip(metrics).map(keep).collect())
}

fn pooled_figures(
    labels: &[(&RunDirectory, Vec<LabelRow>)],
    settings: &Settings,
    synonyms: &Synonyms,
) -> PolarsResult<DataFrame> {
    let mut pools: BTreeMap<&str, Vec<&LabelRow>> = BTreeMap::new();
    for row in labels.iter().flat_map(|(_, rows)| rows) {
        pools.entry(&row.labeller).or_default().push(row);
    }
    let (mut models, mut datasets, mut labellers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut metrics, mut values, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for (labeller, pool) in pools {
        let frequencies = PropertyFrequencies::of(pool, synonyms);
        for (run, rows) in labels {
            let own: Vec<&LabelRow> = rows.iter().filter(|row| row.labeller == labeller).collect();
            if own.is_empty() {
                continue;
            }
            for row in pooled_null(labeller, &own, &frequencies, settings, synonyms) {
                models.push(run.id().model());
                datasets.push(run.id().dataset());
                labellers.push(labeller);
                metrics.push(row.metric);
                values.push(row.value);
                counts.push(row.n);
            }
        }
    }
    let rows = models.len();
    df!(
        "model" => models,
        "dataset" => datasets,
        "labeller" => labellers,
        "metric" => metrics,
        "scope" => vec!["model"; rows],
        "layer" => vec![None::<u32>; rows],
        "value" => values,
        "ci_low" => vec![None::<f64>; rows],
        "ci_high" => vec![None::<f64>; rows],
        "n" => counts,
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
    /// Writes the figures as Parquet.
    pub fn write_parquet(&mut self, to: impl std::io::Write) -> Result<(), ComparisonError> {
        ParquetWriter::new(to)
            .finish(&mut self.figures)
            .map(|_bytes| ())
            .map_err(|source| ComparisonError::Polars { paths: Vec::new(), source })
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

fn strings(frame: &DataFrame, column: &str) -> Vec<String> {
    let column = frame.column(column).ok().and_then(|column| column.str().ok());
    column.map(|column| column.iter().map(|text| text.unwrap_or_default().to_owned()).collect()).unwrap_or_default()
}
