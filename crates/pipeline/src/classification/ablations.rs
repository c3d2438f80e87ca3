//! `ablations.parquet` and `reconstruction.parquet`: accuracy without some heads, and along some directions alone.

use std::path::{Path, PathBuf};

use headspan_artifacts::{AblatedRow, HeadId, ReconstructionRow, Table};
use headspan_metrics::{
    AblationPlan, CLASSIFICATION_VERSION, LabelledImages, ReconstructionPlan, Removed, Replacement, Target, TargetKind,
    ablations, reconstructions,
};
use headspan_query::HeadSelection;
use serde_json::json;

use crate::{
    classification::{
        classes::{Classes, classes},
        groups::GroupChoice,
        made::Made,
        predictions::{inputs, warn_of_others},
        templates::Templates,
    },
    error::{PipelineError, Result},
    progress::Progress,
    provenance::Provenance,
    session::Session,
    stages::{TEXTS, TEXTSPAN},
};

/// What is ablated without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AblationKind {
    /// Every single head.
    Heads,
    /// All heads of each property.
    Properties,
    /// The attention of the first extracted layers, up to each.
    Layers,
    /// All that is no extracted head.
    Rest,
}

impl AblationKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rest, Self::Layers, Self::Heads, Self::Properties];
}

/// What is ablated, and how.
#[derive(Debug, Clone)]
pub struct AblateOptions {
    /// Texts of a class; none: as the run's classes were made, else ours.
    pub templates: Option<Templates>,
    /// Groups that accuracy is also told of.
    pub groups: Option<GroupChoice>,
    /// Kinds of ablations.
    pub kinds: Vec<AblationKind>,
    /// Heads that are ablated together, beside these.
    pub heads: Option<HeadSelection>,
    /// File of heads that are ablated together, one a line.
    pub head_file: Option<PathBuf>,
    /// What takes their place.
    pub replacements: Vec<Replacement>,
    /// Random sets of as many heads.
    pub permutations: usize,
    /// Seed of the halves and of all draws.
    pub seed: u64,
    /// Whether outputs are also reconstructed from their texts.
    pub reconstruct: bool,
    /// Draws of random texts.
    pub draws: usize,
}

impl Default for AblateOptions {
    fn default() -> Self {
        Self {
            templates: None,
            groups: None,
            kinds: AblationKind::ALL.to_vec(),
            heads: None,
            head_file: None,
            replacements: vec![Replacement::Mean],
            permutations: 1_000,
            seed: 0,
            reconstruct: false,
            draws: ReconstructionPlan::default().draws,
        }
    }
}

/// Accuracy after ablations.
#[derive(Debug)]
pub struct Ablations {
    /// A row a target, replacement and scope.
    pub rows: Vec<AblatedRow>,
    /// A row a set of directions and their number; empty unless it was asked for.
    pub reconstruction: Vec<ReconstructionRow>,
    /// `ablations.parquet`.
    pub table: PathBuf,
    /// `reconstruction.parquet`, if it was asked for.
    pub reconstruction_table: Option<PathBuf>,
}

/// Measures zero-shot accuracy without some heads, and writes `ablations.parquet` (and `reconstruction.parquet`) unless they are up to date.
/// Means and choices come from one half of the images, accuracy from the other.
pub fn ablate(session: &Session, options: &AblateOptions, progress: &dyn Progress) -> Result<Ablations> {
    let (run, directory) = (session.run(), session.run().directory());
    let targets = targets(session, options)?;
    let classes = classes(session, options.templates.as_ref(), progress)?;
    let groups = options.groups.as_ref().map(|groups| groups.read(session)).transpose()?;
    let labels =
        LabelledImages::new(run.images(), &classes.rows, groups.as_ref().map(|groups| &groups.of), options.seed)?;
    warn_of_others(&labels);
    let plan = AblationPlan {
        targets,
        replacements: options.replacements.clone(),
        permutations: options.permutations,
        seed: options.seed,
    };
    let mut own = inputs(session, &classes.fingerprint);
    if let Some(groups) = &groups {
        own.insert("groups".to_owned(), groups.hash.clone());
    }
    let made = Made {
        run: directory,
        name: Table::Ablations.name(),
        version: CLASSIFICATION_VERSION,
        slice: json!({
            "targets": plan.targets, "replacements": plan.replacements, "permutations": plan.permutations, "seed": plan.seed,
            "groups": options.groups.as_ref().map(|groups| &groups.columns),
        }),
        inputs: own,
    };
    // Where nothing is ablated, a table of other ablations stays.
    let nothing = plan.targets.is_empty();
    let compute = || Ok(ablations(directory, run.images(), &classes.rows, &labels, &plan)?);
    let rows = if nothing { Vec::new() } else { made.rows(compute)? };
    let reconstruction =
        if options.reconstruct { reconstruction(session, options, &classes, &labels)? } else { Vec::new() };
    Ok(Ablations {
        rows,
        reconstruction,
        table: directory.table(Table::Ablations),
        reconstruction_table: options.reconstruct.then(|| directory.table(Table::Reconstruction)),
    })
}

fn reconstruction(
    session: &Session,
    options: &AblateOptions,
    classes: &Classes,
    labels: &LabelledImages,
) -> Result<Vec<ReconstructionRow>> {
    let (run, directory) = (session.run(), session.run().directory());
    let plan = ReconstructionPlan { draws: options.draws, seed: options.seed, ..ReconstructionPlan::default() };
    let mut own = inputs(session, &classes.fingerprint);
    for stage in [TEXTS, TEXTSPAN] {
        let missing =
            || PipelineError::InputMissing { stage: "reconstruction", input: stage, run: directory.path().to_owned() };
        own.insert(stage.to_owned(), directory.record(stage)?.ok_or_else(missing)?.fingerprint);
    }
    let made = Made {
        run: directory,
        name: Table::Reconstruction.name(),
        version: CLASSIFICATION_VERSION,
        slice: json!({ "directions": plan.directions, "draws": plan.draws, "seed": plan.seed }),
        inputs: own,
    };
    made.rows(|| Ok(reconstructions(directory, run.images(), &classes.rows, labels, &plan)?))
}

/// All that is ablated, with names.
fn targets(session: &Session, options: &AblateOptions) -> Result<Vec<Target>> {
    let run = session.run();
    let wants = |kind: AblationKind| options.kinds.contains(&kind);
    let heads =
        |kind: TargetKind, name: String, heads: Vec<HeadId>| Target { kind, name, removed: Removed::Heads(heads) };
    let all: Vec<HeadId> = run.heads().collect();
    let mut found = Vec::new();
    if wants(AblationKind::Rest) {
        found.push(rest(session)?);
    }
    if wants(AblationKind::Layers) {
        let layers = run.layers();
        found.extend(layers.iter().map(|last| {
            let first = layers.first().unwrap_or(last);
            let name = if first == last { format!("L{last}") } else { format!("L{first}-L{last}") };
            let own = all.iter().copied().filter(|head| head.layer <= *last);
            heads(TargetKind::Layers, name, own.collect())
        }));
    }
    if wants(AblationKind::Heads) {
        found.extend(all.iter().map(|head| heads(TargetKind::Head, head.to_string(), vec![*head])));
    }
    if wants(AblationKind::Properties) {
        // Labels may name heads that were extracted no longer.
        let own =
            run.properties().iter().map(|(name, own)| (name, own.iter().copied().filter(|head| all.contains(head))));
        found.extend(own.map(|(name, own)| heads(TargetKind::Property, name.clone(), own.collect())));
    }
    if let Some(selection) = &options.heads {
        found.push(heads(TargetKind::List, selection.to_string(), run.resolve(selection)?));
    }
    if let Some(file) = &options.head_file {
        let own = heads_of_file(file)?;
        for head in &own {
            run.readout(*head)?;
        }
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        found.push(heads(TargetKind::File, name, own));
    }
    Ok(found)
}

/// What is no extracted head: with all layers extracted, the MLPs and the input of the first block.
fn rest(session: &Session) -> Result<Target> {
    let layers = session.run().layers();
    let blocks = Provenance::of(session.record())?.blocks;
    let span = |first: Option<&u32>, last: Option<&u32>| match (first, last) {
        (Some(first), Some(last)) if first != last => format!("L{first}-L{last}"),
        (Some(only), _) => format!("L{only}"),
        _ => "nothing".to_owned(),
    };
    Ok(if blocks == Some(layers.len()) {
        Target { kind: TargetKind::Mlps, name: "all".to_owned(), removed: Removed::Rest }
    } else {
        let name = format!("all but the heads of {}", span(layers.first(), layers.last()));
        Target { kind: TargetKind::Rest, name, removed: Removed::Rest }
    })
}

/// Heads of a file, one a line, each once.
pub(super) fn heads_of_file(path: &Path) -> Result<Vec<HeadId>> {
    let text = fs_err::read_to_string(path)?;
    let mut heads = Vec::new();
    for (row, line) in text.lines().enumerate().map(|(row, line)| (row + 1, line.trim())) {
        if line.is_empty() {
            continue;
        }
        let wrong = |_no_head| PipelineError::HeadFile { path: path.to_owned(), row, text: line.to_owned() };
        let head: HeadId = line.parse().map_err(wrong)?;
        if !heads.contains(&head) {
            heads.push(head);
        }
    }
    let empty = || PipelineError::HeadFile { path: path.to_owned(), row: 1, text: String::new() };
    if heads.is_empty() { Err(empty()) } else { Ok(heads) }
}
