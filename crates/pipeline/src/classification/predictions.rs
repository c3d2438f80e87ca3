//! `zeroshot.parquet`: what each image is taken for.

use std::{collections::BTreeMap, path::PathBuf};

use headspan_artifacts::{ClassRow, Table, ZeroshotRow};
use headspan_metrics::{AccuracyRow, CLASSIFICATION_VERSION, LabelledImages, accuracies, predict};
use serde_json::json;

use crate::{
    classification::{
        classes::{Classes, classes},
        groups::GroupChoice,
        made::Made,
        templates::Templates,
    },
    error::Result,
    progress::Progress,
    session::Session,
};

/// How images are classified.
#[derive(Debug, Clone, Default)]
pub struct ZeroshotOptions {
    /// Texts of a class; none: ours.
    pub templates: Option<Templates>,
    /// Groups that accuracy is also told of.
    pub groups: Option<GroupChoice>,
}

/// A zero-shot classification of a run's images.
#[derive(Debug)]
pub struct Zeroshot {
    /// The classes.
    pub classes: Vec<ClassRow>,
    /// A row an image.
    pub predictions: Vec<ZeroshotRow>,
    /// Accuracy of all images, by class and by group.
    pub accuracy: Vec<AccuracyRow>,
    /// Images that have none of the classes, which no accuracy counts.
    pub without_class: usize,
    /// `classes.parquet`.
    pub classes_table: PathBuf,
    /// `zeroshot.parquet`.
    pub table: PathBuf,
}

/// Classifies the images of a run by the names of their classes, and writes `classes.parquet` and `zeroshot.parquet` unless they are up to
/// date. Class names come from the settings' class file, else from the one that the extraction read, else from the images' classes.
pub fn zeroshot(session: &Session, options: &ZeroshotOptions, progress: &dyn Progress) -> Result<Zeroshot> {
    let templates = options.templates.clone().unwrap_or_default();
    let Classes { rows: classes, fingerprint } = classes(session, Some(&templates), progress)?;
    let groups = options.groups.as_ref().map(|groups| groups.read(session)).transpose()?;
    let run = session.run();
    let labels = LabelledImages::new(run.images(), &classes, groups.as_ref().map(|groups| &groups.of), 0)?;
    warn_of_others(&labels);
    let directory = run.directory();
    let made = Made {
        run: directory,
        name: Table::Zeroshot.name(),
        version: CLASSIFICATION_VERSION,
        slice: json!({}),
        inputs: inputs(session, &fingerprint),
    };
    let predictions = made.rows(|| Ok(predict(directory, run.images(), &classes, &labels)?))?;
    Ok(Zeroshot {
        accuracy: accuracies(&predictions, &labels),
        without_class: labels.without_class(),
        classes_table: directory.table(Table::Classes),
        table: directory.table(Table::Zeroshot),
        classes,
        predictions,
    })
}

/// What all answers about classes are made from.
pub(super) fn inputs(session: &Session, classes: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("images".to_owned(), session.record().fingerprint.clone()),
        (Table::Classes.name().to_owned(), classes.to_owned()),
    ])
}

/// Warns of images whose class is none of the classes.
pub(super) fn warn_of_others(labels: &LabelledImages) {
    let without = labels.without_class();
    if without > 0 {
        tracing::warn!("left out {without} images that have none of the {} classes", labels.class_ids().len());
    }
}
