//! What is measured beside a paper's figures.

use std::sync::Arc;

use headspan_artifacts::{RunDirectory, RunId};

use crate::{
    error::{PipelineError, Result},
    papers::{
        answers::measured,
        measure::MeasuredFigure,
        paper::{Paper, PaperJob, Placed},
    },
    progress::Progress,
    provenance::Provenance,
    registry::{ModelChoice, Registry},
    runner::{Pipeline, Wanted},
    session::{Session, column_store},
    settings::Settings,
    stages::{METRICS, TEXTSPAN},
};

/// Figures of one model over one data set.
#[derive(Debug)]
pub struct ReplicatedRun {
    /// `dataset/model`.
    pub run: String,
    /// The figures, by their positions in the paper; what cannot be measured says why.
    pub figures: Vec<(usize, Result<MeasuredFigure, String>)>,
    /// What the run was made with otherwise than the paper's, in words.
    pub differences: Vec<String>,
}

/// Brings the run of a job up to date, if `settings` say where its images are, and measures its figures. A run without images must be there already.
pub fn replicate(
    paper: &Paper,
    job: &PaperJob<'_>,
    settings: &Settings,
    choice: &ModelChoice,
    registry: &Arc<Registry>,
    progress: &dyn Progress,
) -> Result<ReplicatedRun> {
    let run = RunDirectory::at(&settings.runs, &RunId::new(&settings.dataset, &choice.id)?);
    if !settings.data.path.as_os_str().is_empty() {
        Pipeline::new(settings, progress).run(choice, Wanted::All)?;
    } else if run.record(METRICS)?.is_none() {
        return Err(PipelineError::NoImages);
    }
    let session = Session::open(run, settings.clone(), Arc::clone(registry), &column_store())?;
    let figures = paper.figures();
    // Jobs have figures with measures alone.
    let wanted: Vec<_> = job.figures.iter().filter_map(|at| figures.get(*at).and_then(Placed::measure)).collect();
    let found = measured(&session, paper, job.data, &wanted, progress)?;
    Ok(ReplicatedRun {
        run: session.run().name(),
        figures: job.figures.iter().copied().zip(found).collect(),
        differences: differences(&session, paper)?,
    })
}

/// What a run was made with otherwise than the paper's runs.
fn differences(session: &Session, paper: &Paper) -> Result<Vec<String>> {
    let (own, setting) = (session.run().directory(), &paper.setting);
    let mut found = Vec::new();
    let mut note = |what: &str, ours: Option<String>, theirs: Option<String>| {
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
        {
            found.push(format!("{what}: {ours} here, {theirs} in the paper"));
        }
    };
    if let Some(record) = own.record(TEXTSPAN)? {
        note("texts per head", Some(record.config["texts"].to_string()), setting.k.map(|k| k.to_string()));
        note("rank", Some(record.config["rank"].to_string()), setting.rank.map(|rank| rank.to_string()));
    }
    let Provenance { blocks, layers, .. } = Provenance::of(session.record())?;
    let wanted = setting.layers.as_ref().zip(blocks).and_then(|(layers, blocks)| layers.resolve(blocks).ok());
    let listed = |layers: Vec<usize>| layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    note("layers", layers.map(listed), wanted.map(listed));
    let labeller = setting.labeller.map(|labeller| labeller.to_string());
    let has_it = labeller.as_ref().is_some_and(|name| session.run().metrics().iter().any(|row| row.labeller == *name));
    if !has_it {
        note("labeller", session.run().labeller().map(str::to_owned), labeller);
    }
    Ok(found)
}
