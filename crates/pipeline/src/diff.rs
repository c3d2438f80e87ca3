use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use headspan_artifacts::{Fact, RunDirectory, RunFacts, differences, write_atomic};
use headspan_metrics::{DiffSettings, Difference, Pairing, diff as diff_heads};

use crate::{
    answers::made_from,
    compare::warn_of_unfinished,
    error::Result,
    facts::facts,
    report::difference_page,
    settings::Settings,
    stages::{IMAGES, LABEL, METRICS, TEXTSPAN, synonyms},
};

/// What the records of the run before and of the run after are called in the footer of `diff.parquet`, before their names.
pub(crate) const BEFORE: &str = "before/";
pub(crate) const AFTER: &str = "after/";

/// Two runs compared head by head, and where the comparison lies.
pub struct DiffedRuns {
    /// Names of the runs, as `DATASET/MODEL` where their data sets differ.
    pub names: [String; 2],
    /// What both runs were made with.
    pub facts: [RunFacts; 2],
    /// What they were made with differently, a sentence for each fact.
    pub differences: Vec<(Fact, String)>,
    /// Heads and scores.
    pub difference: Difference,
    /// `diff.parquet`.
    pub table: PathBuf,
    /// The report in HTML.
    pub page: PathBuf,
}

/// Compares two runs over the same images head by head, and writes `diff.parquet` and the report (by default `diff.html`) beside the run
/// before. Warns of what is out of date, and of what the runs were made with differently. Without a way of pairing, heads are paired by
/// position where both runs have the same; without a labeller, the labels of the first that both have are compared.
pub fn diff(
    settings: &Settings,
    [before, after]: [&RunDirectory; 2],
    pairing: Option<Pairing>,
    labeller: Option<&str>,
    page: Option<&Path>,
) -> Result<DiffedRuns> {
    for run in [before, after] {
        warn_of_unfinished(settings, run, None)?;
    }
    let synonyms = synonyms(settings)?;
    let scores = &settings.metrics.scores;
    let difference = diff_heads(before, after, &DiffSettings { pairing, labeller, scores, synonyms: &synonyms })?;
    let names = names([before, after]);
    let labelled_by = difference.labeller.as_deref().unwrap_or("none");
    let facts = [facts(before, labelled_by)?, facts(after, labelled_by)?];
    let differences = differences(names.iter().map(String::as_str).zip(&facts));
    for (_, told) in &differences {
        tracing::warn!("{told}");
    }
    let folder = before.path().parent().unwrap_or(before.path());
    let table = folder.join("diff.parquet");
    let mut inputs = BTreeMap::new();
    for (side, run) in [(BEFORE, before), (AFTER, after)] {
        let own = made_from(run, &[IMAGES, TEXTSPAN, LABEL, METRICS])?;
        inputs.extend(own.into_iter().map(|(name, fingerprint)| (format!("{side}{name}"), fingerprint)));
    }
    write_atomic(&table, &difference.to_parquet([&names[0], &names[1]], &inputs)?)?;
    let page = page.map_or_else(|| folder.join("diff.html"), Path::to_owned);
    write_atomic(&page, difference_page(&names, &difference, &differences, scores).as_bytes())?;
    Ok(DiffedRuns { names, facts, differences, difference, table, page })
}

fn names(runs: [&RunDirectory; 2]) -> [String; 2] {
    let same = runs[0].id().dataset() == runs[1].id().dataset();
    runs.map(
        |run| if same { run.id().model().to_owned() } else { format!("{}/{}", run.id().dataset(), run.id().model()) },
    )
}
