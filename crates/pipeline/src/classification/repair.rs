//! `repair.parquet`: accuracy of the worst group before and after heads are removed that bring a spurious cue in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use headspan_artifacts::{ClassRow, HeadId, ImageRow, ImageStatus, Table, TextRow, read_rows, write_atomic};
use headspan_metrics::{
    Choice, ClassificationError, Classifier, LabelledImages, MadeCorrelation, RepairPlan, RepairRow, Replacement,
    repair as measure, repair_parquet,
};
use headspan_query::HeadSelection;

use crate::{
    answers::made_from,
    classification::{
        ablations::heads_of_file, classes::classes, groups::GroupChoice, predictions::warn_of_others,
        templates::Templates,
    },
    error::{PipelineError, Result},
    progress::Progress,
    session::Session,
    stages::{IMAGES, LABEL},
};

/// Column of the groups where nobody names one.
const GROUP: &str = "group";

/// A classifier that learns from the images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learning {
    /// Column with the classes; none: those of the run.
    pub class: Option<String>,
    /// Share of each class's weight that images get whose cue has the value of the class; none: all images weigh the same.
    pub correlation: Option<f64>,
}

/// Which heads are removed, and how that is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct RepairOptions {
    /// Texts of a class; none: as the run's classes were made, else ours.
    pub templates: Option<Templates>,
    /// The table of the columns that are named here, and the columns of the groups. Without columns: each class with each value of the cue, or the column
    /// `group`.
    pub groups: GroupChoice,
    /// Column with the cue.
    pub cue: Option<String>,
    /// A column and the value of the images that give accuracy; all others give means and choices. None: halves by image id.
    pub test: Option<(String, String)>,
    /// A classifier that learns from the half that gives means; none: zero-shot classification.
    pub learning: Option<Learning>,
    /// Sets of heads.
    pub heads: Vec<HeadSelection>,
    /// File of heads, one a line.
    pub head_file: Option<PathBuf>,
    /// Whether heads are chosen by their ablation.
    pub by_ablation: bool,
    /// Texts of the cue: one, or several that differ in it alone.
    pub texts: Vec<String>,
    /// Number of heads that texts choose, and most that ablation chooses.
    pub count: usize,
    /// What takes their place.
    pub replacements: Vec<Replacement>,
    /// Random sets of as many heads.
    pub permutations: usize,
    /// Seed of the halves and of the sets.
    pub seed: u64,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self {
            templates: None,
            groups: GroupChoice { file: None, columns: Vec::new() },
            cue: None,
            test: None,
            learning: None,
            heads: Vec::new(),
            head_file: None,
            by_ablation: true,
            texts: Vec::new(),
            count: 4,
            replacements: vec![Replacement::Mean],
            permutations: 1_000,
            seed: 0,
        }
    }
}

/// Accuracy before and after.
#[derive(Debug)]
pub struct Repaired {
    /// A row a choice, replacement and scope.
    pub rows: Vec<RepairRow>,
    /// `repair.parquet`.
    pub table: PathBuf,
}

/// Measures the accuracy of each group without heads that bring a cue in, and writes `repair.parquet`. Heads and means are chosen over one part of
/// the images, accuracy is that of the other.
pub fn repair(session: &Session, options: &RepairOptions, progress: &dyn Progress) -> Result<Repaired> {
    let (run, directory) = (session.run(), session.run().directory());
    let choices = choices(session, options)?;
    let class_column = options.learning.as_ref().and_then(|learning| learning.class.as_deref());
    let images = with_classes(session, &options.groups, class_column)?;
    let (classes, told) = match &options.learning {
        None => {
            let rows = classes(session, options.templates.as_ref(), progress)?.rows;
            (rows.clone(), Some(rows))
        }
        Some(_) => (learned_classes(session, &images)?, None),
    };
    let cue = options.cue.as_ref().map(|column| options.groups.column(session, column)).transpose()?;
    let groups = groups(session, options, &images, cue.as_ref())?;
    let mut labels = LabelledImages::new(&images, &classes, Some(&groups), options.seed)?;
    if let Some((column, value)) = &options.test {
        let is_test = options.groups.column(session, column)?;
        let is_test: BTreeMap<String, bool> = is_test.into_iter().map(|(id, own)| (id, own == *value)).collect();
        if !is_test.values().any(|is_test| *is_test) {
            return Err(PipelineError::NoTestImages { column: column.clone(), value: value.clone() });
        }
        labels = labels.with_test(&images, &is_test);
    }
    warn_of_others(&labels);
    let classifier = match told {
        Some(classes) => Classifier::Zeroshot(classes),
        None => Classifier::Learned { correlation: correlation(options, &images, cue.as_ref())? },
    };
    let plan = RepairPlan {
        choices,
        replacements: options.replacements.clone(),
        permutations: options.permutations,
        seed: options.seed,
    };
    let meter = progress.begin(&format!("{} without heads", directory.id().model()), "images");
    if meter.report(0, images.len() as u64).is_break() {
        return Err(PipelineError::Stopped);
    }
    let rows = measure(directory, &images, &labels, &classifier, &plan)?;
    let table = directory.path().join("repair.parquet");
    let mut inputs = made_from(directory, &[IMAGES])?;
    if options.learning.is_none() {
        inputs.extend(made_from(directory, &[Table::Classes.name()])?);
    }
    if options.heads.iter().any(HeadSelection::depends_on_labels) {
        inputs.extend(made_from(directory, &[LABEL])?);
    }
    let bytes =
        repair_parquet(&rows, directory.id(), &inputs).map_err(|source| PipelineError::RepairTable { source })?;
    write_atomic(&table, &bytes)?;
    tracing::debug!("{}: {} choices of heads", run.name(), plan.choices.len());
    Ok(Repaired { rows, table })
}

/// All sets of heads, with names.
fn choices(session: &Session, options: &RepairOptions) -> Result<Vec<Choice>> {
    let run = session.run();
    let given = |kind, name, heads| Choice::Given { kind, name, heads };
    let mut found = Vec::new();
    for selection in &options.heads {
        let kind = if matches!(selection, HeadSelection::Property(_)) { "property" } else { "list" };
        // Labels may name heads that were extracted no longer.
        let all: BTreeSet<HeadId> = run.heads().collect();
        let heads = run.resolve(selection)?.into_iter().filter(|head| all.contains(head)).collect();
        found.push(given(kind, selection.to_string(), heads));
    }
    if let Some(file) = &options.head_file {
        let heads = heads_of_file(file)?;
        for head in &heads {
            run.readout(*head)?;
        }
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
        found.push(given("file", name, heads));
    }
    if options.by_ablation {
        found.push(Choice::Ablation { most: options.count });
    }
    if !options.texts.is_empty() {
        let directions = directions(session, &options.texts)?;
        found.push(Choice::Text { name: options.texts.join(" | "), directions, count: options.count });
    }
    Ok(found)
}

/// What of the texts' unit features belongs to the cue: what each has beyond their mean, and of a single text what it has beyond the mean of the pool,
/// since all texts of a CLIP share a large part.
fn directions(session: &Session, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    let asked: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embedded: Vec<Vec<f32>> = session.model()?.embed(&asked)?.into_iter().map(|(text, _is_cut)| text).collect();
    let pool: Vec<Vec<f32>> = if let [_] = &embedded[..] {
        let rows: Vec<TextRow> = read_rows(&session.run().directory().table(Table::Texts))?;
        rows.into_iter().map(|row| row.embedding).collect()
    } else {
        embedded.clone()
    };
    let mean = |at: usize| pool.iter().map(|text| f64::from(text[at])).sum::<f64>() / pool.len().max(1) as f64;
    let means: Vec<f64> = (0..embedded.first().map_or(0, Vec::len)).map(mean).collect();
    let beyond = |text: &Vec<f32>| text.iter().zip(&means).map(|(x, mean)| (f64::from(*x) - mean) as f32).collect();
    let found: Vec<Vec<f32>> = embedded.iter().map(beyond).collect();
    let is_nothing = found.iter().flatten().all(|x| x.abs() < f32::EPSILON);
    if is_nothing { Err(PipelineError::SameTexts { texts: texts.join(" | ") }) } else { Ok(found) }
}

/// The images of the run, with the classes of a column if one is named.
fn with_classes(session: &Session, groups: &GroupChoice, column: Option<&str>) -> Result<Vec<ImageRow>> {
    let images = session.run().images();
    let Some(column) = column else { return Ok(images.to_vec()) };
    let values = groups.column(session, column)?;
    let with =
        |row: &ImageRow| ImageRow { class_id: values.get(&row.image_id).cloned(), class_index: None, ..row.clone() };
    Ok(images.iter().map(with).collect())
}

/// The classes that images have, by name, without texts.
fn learned_classes(session: &Session, images: &[ImageRow]) -> Result<Vec<ClassRow>> {
    let readable = images.iter().filter(|row| row.status == ImageStatus::Ok);
    let ids: BTreeSet<&str> = readable.filter_map(|row| row.class_id.as_deref()).collect();
    match ids.len() {
        0 => return Err(PipelineError::NoClasses { run: session.run().name() }),
        1 => return Err(ClassificationError::FewClasses { classes: 1 }.into()),
        _ => {}
    }
    let row = |(at, id): (usize, &str)| ClassRow {
        class_index: at as u32,
        class_id: id.to_owned(),
        name: id.to_owned(),
        embedding: Vec::new(),
    };
    Ok(ids.into_iter().enumerate().map(row).collect())
}

/// Groups by image id: of the columns that are named, else each class with each value of the cue, else of the column `group`.
fn groups(
    session: &Session,
    options: &RepairOptions,
    images: &[ImageRow],
    cue: Option<&BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>> {
    let GroupChoice { file, columns } = &options.groups;
    match (columns.is_empty(), cue, &options.cue) {
        (true, Some(values), Some(name)) => {
            let group = |row: &ImageRow| {
                let (class, value) = (row.class_id.as_ref()?, values.get(&row.image_id)?);
                Some((row.image_id.clone(), format!("class={class} {name}={value}")))
            };
            Ok(images.iter().filter_map(group).collect())
        }
        (true, ..) => {
            let own = GroupChoice { file: file.clone(), columns: vec![GROUP.to_owned()] };
            Ok(own.read(session)?.of)
        }
        (false, ..) => Ok(options.groups.read(session)?.of),
    }
}

/// Which images' cue has the value of their class.
fn correlation(
    options: &RepairOptions,
    images: &[ImageRow],
    cue: Option<&BTreeMap<String, String>>,
) -> Result<Option<MadeCorrelation>> {
    let share = options.learning.as_ref().and_then(|learning| learning.correlation);
    let (Some(share), Some(values), Some(column)) = (share, cue, &options.cue) else { return Ok(None) };
    let agreement = |row: &ImageRow| {
        let (class, value) = (row.class_id.as_ref()?, values.get(&row.image_id)?);
        Some((row.image_index, class == value))
    };
    let agrees: HashMap<u64, bool> = images.iter().filter_map(agreement).collect();
    if agrees.values().any(|agrees| *agrees) {
        Ok(Some(MadeCorrelation { share, agrees }))
    } else {
        Err(PipelineError::NoAgreement { column: column.clone() })
    }
}
