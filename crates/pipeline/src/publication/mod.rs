//! A run as a report that somebody would publish: tables and figures as one neutral document, which is written as HTML, CSV, SVG and LaTeX.

mod charts;
mod document;
mod latex;
mod matrix;
mod numbers;
mod page;
mod scales;
mod sections;

use std::path::{Path, PathBuf};

use headspan_artifacts::{RunDirectory, is_remote, write_atomic};

use crate::{
    compare::notices,
    error::{PipelineError, Result},
    publication::{document::Document, latex::Paper},
    settings::Settings,
};

/// A report on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The page over all runs.
    pub index: PathBuf,
    /// The page of each run, in the order in which the runs were given.
    pub pages: Vec<PathBuf>,
    /// `main.tex`, if a paper was asked for.
    pub paper: Option<PathBuf>,
}

/// Writes the report of runs of one data set into a folder: a page for each run and one over all, the data of every table and figure as CSV,
/// every figure as SVG, and with `paper` LaTeX tables and figures.
pub fn report(settings: &Settings, runs: &[RunDirectory], folder: &Path, paper: bool) -> Result<Publication> {
    if is_remote(folder) {
        return Err(PipelineError::RemoteReport { folder: folder.to_owned() });
    }
    check_data_set(runs)?;
    let mut documents: Vec<Document> = Vec::new();
    for run in runs {
        // A run that is named twice is in the report once.
        if documents.iter().any(|document| document.model == run.id().model()) {
            continue;
        }
        let run = run.look()?;
        let mut document = sections::document(settings, &run)?;
        document.notices = notices(settings, &run)?;
        documents.push(document);
    }
    let mut pages = Vec::new();
    for document in &documents {
        write_data(document, folder)?;
        let path = folder.join(format!("{}.html", document.model));
        write_atomic(&path, page::run_page(document).as_bytes())?;
        pages.push(path);
    }
    let index = folder.join("index.html");
    write_atomic(&index, page::index_page(&documents).as_bytes())?;
    let paper = if paper { Some(write_paper(&documents, folder)?) } else { None };
    Ok(Publication { index, pages, paper })
}

/// Files are named by the models, which are unlike within one data set.
fn check_data_set(runs: &[RunDirectory]) -> Result<()> {
    let mut names = runs.iter().map(|run| run.id().dataset());
    let first = names.next().unwrap_or_default();
    names
        .find(|name| *name != first)
        .map_or(Ok(()), |other| Err(PipelineError::ReportDataSets { one: first.to_owned(), other: other.to_owned() }))
}

/// Every table and the points of every figure as CSV, every figure as SVG.
fn write_data(document: &Document, folder: &Path) -> Result<()> {
    let data = |source| PipelineError::ReportData { source };
    for section in &document.sections {
        for table in &section.tables {
            write_atomic(&folder.join(document.data_file(table.name)), &table.to_csv().map_err(data)?)?;
        }
        for chart in &section.charts {
            write_atomic(&folder.join(document.data_file(chart.name)), &chart.to_csv().map_err(data)?)?;
            write_atomic(&folder.join(document.figure_file(chart.name)), charts::svg_file(chart).as_bytes())?;
        }
        for matrix in &section.matrices {
            write_atomic(&folder.join(document.data_file(matrix.name)), &matrix.to_csv().map_err(data)?)?;
            write_atomic(&folder.join(document.figure_file(matrix.name)), matrix.svg_file().as_bytes())?;
        }
    }
    Ok(())
}

fn write_paper(documents: &[Document], folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("paper");
    let paper = Paper::new(documents);
    for (name, content) in &paper.files {
        write_atomic(&folder.join(name), content.as_bytes())?;
    }
    let main = folder.join("main.tex");
    write_atomic(&main, paper.main.as_bytes())?;
    Ok(main)
}
