//! Published figures beside measured ones.

mod table;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::Result;
use headspan_artifacts::{RunDirectory, RunId};
use headspan_pipeline::{
    MeasuredFigure, ModelChoice, ModelSource, Paper, PaperError, PaperJob, PipelineError, Placed, Registry, Settings,
    Unit, cached_files, paper, replicate as measure,
};
use serde::Serialize;

use crate::{
    cli::ReplicateArgs,
    commands::{UsageError, choices, registry, settings_above},
    console::Console,
    hints::told,
    stop,
};

/// Measures what a paper published, and prints both.
pub(crate) fn replicate(arguments: &ReplicateArgs, console: &Console<'_>) -> Result<()> {
    let paper = paper(&arguments.paper, arguments.configs()).map_err(of_paper)?;
    if arguments.names_dataset() && paper.data.len() > 1 {
        let message = "--dataset names the runs of one data set, and the paper has several".to_owned();
        return Err(UsageError::hinted(
            message,
            "leave it out: runs are called as the paper's file calls its data sets",
        ));
    }
    let places = Places::of(arguments, &paper)?;
    let registry = Arc::new(registry(arguments.configs())?);
    let mut answer = Answer::new(&paper);
    for job in paper.jobs() {
        let (images, classes) = places.of_data(&job.data.id);
        let flags = arguments.pipeline(images, classes);
        let own = settings_above(&flags, Some(job.model), &paper.settings(job.data))?;
        if arguments.dry_run {
            answer.plan(&paper, &job, &would_run(&paper, &job, &own, &registry)?);
            continue;
        }
        let found = choice(&paper, &job, &own, &registry)
            .and_then(|choice| Ok(measure(&paper, &job, &own, &choice, &registry, console.progress())?));
        match found {
            Ok(found) => answer.take(&found.run, found.figures, &found.differences),
            Err(error) if stop::asked() || is_stop(&error) => return Err(error),
            Err(error) => answer.leave(&job, &why(&error, &job, &own)),
        }
    }
    if arguments.json {
        console.print_json(&answer)?;
    } else {
        console.print(&table::told(&answer, &paper, arguments.dry_run))?;
    }
    Ok(())
}

fn of_paper(error: PaperError) -> anyhow::Error {
    match &error {
        PaperError::Unknown { meant: Some(meant), .. } => {
            UsageError::hinted(error.to_string(), format!("did you mean `{meant}`?"))
        }
        PaperError::Unknown { .. } => {
            UsageError::hinted(error.to_string(), "a paper of your own is a file that ends in .toml")
        }
        _ => UsageError::of(error),
    }
}

fn is_stop(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(PipelineError::Stopped))
}

/// Why a job's figures are not measured.
fn why(error: &anyhow::Error, job: &PaperJob<'_>, own: &Settings) -> String {
    match error.downcast_ref() {
        Some(PipelineError::NoImages) => no_images(job, own),
        _ => told(error).replace("\n  caused by: ", ": "),
    }
}

fn no_images(job: &PaperJob<'_>, own: &Settings) -> String {
    let (id, runs) = (&job.data.id, own.runs.display());
    format!(
        "there is no run of `{}` over `{}` in `{runs}`, and no images were given: --images {id}=PATH",
        job.model, own.dataset
    )
}

/// Where images and classes of the data sets are, as flags say.
struct Places {
    images: BTreeMap<String, PathBuf>,
    classes: BTreeMap<String, PathBuf>,
}

impl Places {
    fn of(arguments: &ReplicateArgs, paper: &Paper) -> Result<Self> {
        Ok(Self {
            images: named("images", &arguments.images, paper)?,
            classes: named("classes", &arguments.classes, paper)?,
        })
    }

    fn of_data(&self, id: &str) -> (Option<PathBuf>, Option<PathBuf>) {
        (self.images.get(id).cloned(), self.classes.get(id).cloned())
    }
}

/// `DATA=PATH`, or a path of the paper's first data set. A path may have `=` in it, a data set's name may not be in front of one by chance.
fn named(flag: &str, values: &[String], paper: &Paper) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for value in values {
        let known = value.split_once('=').filter(|(id, _)| paper.data.iter().any(|data| data.id == *id));
        let first = || paper.data.first().map(|data| (data.id.as_str(), value.as_str()));
        let Some((id, path)) = known.or_else(first) else {
            return Err(UsageError(format!("--{flag} `{value}`: the paper has no data sets")).into());
        };
        if found.insert(id.to_owned(), PathBuf::from(path)).is_some() {
            let ids: Vec<&str> = paper.data.iter().map(|data| data.id.as_str()).collect();
            let message = format!("--{flag} is given twice for `{id}`");
            return Err(UsageError::hinted(
                message,
                format!("name the data sets, as in --{flag} {id}={path}: {}", ids.join(", ")),
            ));
        }
    }
    Ok(found)
}

/// The model of a job: of the paper's checkpoints, of the program, or of the registry. A run that is there needs no more than its name.
fn choice(paper: &Paper, job: &PaperJob<'_>, own: &Settings, registry: &Registry) -> Result<ModelChoice> {
    if own.data.path.as_os_str().is_empty() {
        return Ok(ModelChoice::by_run(job.model));
    }
    let folder = paper.models.get(job.model).map(|folder| paper.path(folder));
    let own = Settings { checkpoint: folder.or_else(|| own.checkpoint.clone()), models: Vec::new(), ..own.clone() };
    let found = choices(&[job.model.to_owned()], &own, registry)?;
    found.into_iter().next().ok_or_else(|| UsageError(format!("no model `{}`", job.model)).into())
}

/// What a job would do, in words.
fn would_run(paper: &Paper, job: &PaperJob<'_>, own: &Settings, registry: &Registry) -> Result<String> {
    let run = RunDirectory::at(&own.runs, &RunId::new(&own.dataset, job.model)?);
    let is_there = run.record("metrics")?.is_some();
    Ok(match (is_there, own.data.path.as_os_str().is_empty()) {
        (false, true) => no_images(job, own),
        (true, true) => "the run is there; its figures would be measured".to_owned(),
        (_, false) => match choice(paper, job, own, registry) {
            Ok(ModelChoice { source: ModelSource::Hub(model), .. }) if cached_files(&model).is_err() => {
                format!("its weights are not here: `headspan fetch {}`", job.model)
            }
            Ok(_) if is_there => "the run is there and would be brought up to date".to_owned(),
            Ok(_) => "the run would be made".to_owned(),
            Err(error) => told(&error).replace("\n  caused by: ", ": "),
        },
    })
}

/// A replication as JSON.
#[derive(Serialize)]
struct Answer {
    paper: String,
    title: String,
    source: String,
    figures: Vec<Row>,
    /// By run, what it was made with otherwise than the paper's.
    differences: BTreeMap<String, Vec<String>>,
    not_known: Vec<String>,
}

/// A figure as it was published and as it was measured, in one unit.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "these are the keys of the answer")]
struct Row {
    table: String,
    place: Option<String>,
    from: Option<String>,
    row: String,
    column: String,
    unit: Unit,
    data: Option<String>,
    model: Option<String>,
    published: Option<f64>,
    published_low: Option<f64>,
    published_high: Option<f64>,
    command: Option<String>,
    run: Option<String>,
    measured: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    n: Option<u64>,
    /// What our figure is defined differently in.
    differs: Vec<String>,
    /// Why it was not measured; of a dry run, what would be done.
    not_measured: Option<String>,
}

impl Row {
    fn of(placed: &Placed<'_>) -> Self {
        let Placed { table, figure } = placed;
        Self {
            table: table.name.clone(),
            place: table.place.clone(),
            from: table.from.clone(),
            row: figure.row.clone(),
            column: figure.column.clone(),
            unit: table.unit,
            data: table.data.clone(),
            model: figure.model.clone(),
            published: figure.published,
            published_low: figure.low,
            published_high: figure.high,
            command: placed.measure().map(headspan_pipeline::Measure::command),
            run: None,
            measured: None,
            ci_low: None,
            ci_high: None,
            n: None,
            differs: table.differs.clone(),
            not_measured: table.cannot.clone(),
        }
    }
}

impl Answer {
    fn new(paper: &Paper) -> Self {
        Self {
            paper: paper.id.clone(),
            title: paper.title.clone(),
            source: paper.source.clone(),
            figures: paper.figures().iter().map(Row::of).collect(),
            differences: BTreeMap::new(),
            not_known: paper.not_known.clone(),
        }
    }

    fn take(&mut self, run: &str, found: Vec<(usize, Result<MeasuredFigure, String>)>, differences: &[String]) {
        for (at, found) in found {
            let Some(row) = self.figures.get_mut(at) else { continue };
            row.run = Some(run.to_owned());
            match found {
                Ok(figure) => {
                    let (value, interval) = figure.in_unit(row.unit);
                    row.measured = Some(value);
                    (row.ci_low, row.ci_high) = interval.unzip();
                    row.n = Some(figure.n);
                }
                Err(reason) => row.not_measured = Some(reason),
            }
        }
        if !differences.is_empty() {
            self.differences.insert(run.to_owned(), differences.to_vec());
        }
    }

    fn leave(&mut self, job: &PaperJob<'_>, reason: &str) {
        for at in &job.figures {
            if let Some(row) = self.figures.get_mut(*at) {
                row.not_measured = Some(reason.to_owned());
            }
        }
    }

    fn plan(&mut self, paper: &Paper, job: &PaperJob<'_>, what: &str) {
        self.leave(job, what);
        tracing::debug!("{}: {} over {}", paper.id, job.model, job.data.id);
    }
}
