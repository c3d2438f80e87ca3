//! What a paper's file says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use headspan_extract::LayerSelection;
use headspan_label::LabellerName;
use serde::{Deserialize, Serialize};

use crate::{
    papers::measure::Measure,
    settings::{DataOverrides, ImagesOverrides, LabelOverrides, Overrides, TextsOverrides, TextspanOverrides},
};

/// A paper's setting and the figures that it published: a file of `configs/papers/`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Its name, such as its number at arXiv.
    pub id: String,
    /// Title.
    pub title: String,
    /// Where it can be read.
    pub source: String,
    /// How its runs are made.
    #[serde(default)]
    pub setting: PaperSetting,
    /// Checkpoints of models that are not known by id: folders, relative to the file.
    #[serde(default)]
    pub models: BTreeMap<String, PathBuf>,
    /// Data sets, by the names of their runs.
    #[serde(default)]
    pub data: Vec<PaperData>,
    /// Published tables.
    #[serde(default, rename = "table")]
    pub tables: Vec<PaperTable>,
    /// What is not known of the paper, in sentences.
    #[serde(default)]
    pub not_known: Vec<String>,
    /// Folder that paths are relative to.
    #[serde(skip)]
    folder: PathBuf,
}

/// How the runs of a paper are made. What is left out is as by default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PaperSetting {
    /// Layers whose heads are kept.
    pub layers: Option<LayerSelection>,
    /// Texts per head.
    pub k: Option<usize>,
    /// Principal directions per head.
    pub rank: Option<usize>,
    /// Pool of descriptions: a file, relative to the paper's.
    pub texts: Option<PathBuf>,
    /// The pool in words.
    pub pool: Option<String>,
    /// Who labels heads.
    pub labeller: Option<LabellerName>,
    /// Prompts of the labeller, in words.
    pub prompts: Option<String>,
    /// Who judges texts, in words.
    pub judges: Option<String>,
    /// Templates of class names: `default`, `openai`, or a file relative to the paper's.
    pub templates: Option<String>,
}

/// A data set of a paper.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperData {
    /// Name of the runs' data set.
    pub id: String,
    /// What it is, and what its manifest must have.
    pub what: String,
    /// Where the images are, relative to the file; a person gives it otherwise.
    pub images: Option<PathBuf>,
    /// Class file.
    pub classes: Option<PathBuf>,
    /// Table of groups; the manifest without one.
    pub groups: Option<PathBuf>,
    /// Columns of the groups.
    #[serde(default)]
    pub group: Vec<String>,
    /// Column with the cue.
    pub cue: Option<String>,
    /// `COLUMN=VALUE` of the images that give accuracy after a repair.
    pub test: Option<String>,
}

/// A table of a paper.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperTable {
    /// What it shows.
    pub name: String,
    /// Where it stands in the paper; none: not known.
    pub place: Option<String>,
    /// Where the figures are from, if not from the paper itself.
    pub from: Option<String>,
    /// Data set of its figures.
    pub data: Option<String>,
    /// Unit of its figures.
    pub unit: Unit,
    /// How its figures are measured, unless one says otherwise.
    pub measure: Option<Measure>,
    /// Why its figures are not measured, where they are not.
    pub cannot: Option<String>,
    /// What our figures are defined differently in, in sentences.
    #[serde(default)]
    pub differs: Vec<String>,
    /// The figures.
    #[serde(rename = "figure")]
    pub figures: Vec<PaperFigure>,
}

/// A published figure.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperFigure {
    /// Row of the table.
    pub row: String,
    /// Column of the table.
    pub column: String,
    /// Model, by id.
    pub model: Option<String>,
    /// The figure.
    pub published: Option<f64>,
    /// Least of a range that was published instead.
    pub low: Option<f64>,
    /// Greatest of it.
    pub high: Option<f64>,
    /// How it is measured.
    pub measure: Option<Measure>,
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Share from 0 to 1.
    Share,
    /// Share times 100.
    Percent,
    /// Number of heads.
    Heads,
}

/// A paper's file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaperError {
    /// Not the name of a paper.
    #[error("unknown paper `{name}`: known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// All papers.
        known: String,
        /// The one that may have been meant.
        meant: Option<String>,
    },
    /// It is no valid TOML, or has a key that there is not.
    #[error("paper `{}` is not valid", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the TOML library said.
        source: Box<toml::de::Error>,
    },
    /// It says something that cannot be.
    #[error("paper `{}`: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A figure with its place among the figures of its paper.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// Its table.
    pub table: &'a PaperTable,
    /// The figure.
    pub figure: &'a PaperFigure,
}

impl Placed<'_> {
    /// How it is measured; none if it is not.
    pub fn measure(&self) -> Option<&Measure> {
        self.figure.measure.as_ref().or(self.table.measure.as_ref()).filter(|_| self.table.cannot.is_none())
    }
}

/// Figures of one model over one data set.
#[derive(Debug, Clone)]
pub struct PaperJob<'a> {
    /// The data set.
    pub data: &'a PaperData,
    /// Id of the model.
    pub model: &'a str,
    /// Positions of the figures.
    pub figures: Vec<usize>,
}

impl Paper {
    /// Reads the text of a file.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, PaperError> {
        let broken = |source| PaperError::File { path: path.to_owned(), source: Box::new(source) };
        let mut paper: Self = toml::from_str(text).map_err(broken)?;
        paper.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        paper.check().map_err(|what| PaperError::Content { path: path.to_owned(), what })?;
        Ok(paper)
    }

    /// All figures, in the order of the file.
    pub fn figures(&self) -> Vec<Placed<'_>> {
        self.tables.iter().flat_map(|table| table.figures.iter().map(move |figure| Placed { table, figure })).collect()
    }

    /// Models and data sets that figures are measured of, in the order in which they come.
    pub fn jobs(&self) -> Vec<PaperJob<'_>> {
        let mut jobs: Vec<PaperJob<'_>> = Vec::new();
        for (at, placed) in self.figures().into_iter().enumerate() {
            let (Some(_measure), Some(model)) = (placed.measure(), placed.figure.model.as_deref()) else { continue };
            let named = |data: &&PaperData| Some(&data.id) == placed.table.data.as_ref();
            let Some(data) = self.data.iter().find(named) else { continue };
            match jobs.iter_mut().find(|job| job.model == model && job.data.id == data.id) {
                Some(job) => job.figures.push(at),
                None => jobs.push(PaperJob { data, model, figures: vec![at] }),
            }
        }
        jobs
    }

    /// A path of the file, relative to its folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The settings of a data set's runs, to be laid beneath those of the person.
    pub fn settings(&self, data: &PaperData) -> Overrides {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| self.path(path));
        let own = &self.setting;
        Overrides {
            dataset: Some(data.id.clone()),
            data: Some(DataOverrides { path: path(&data.images), classes: path(&data.classes), limit: None }),
            images: Some(ImagesOverrides { layers: own.layers.clone(), ..ImagesOverrides::default() }),
            texts: Some(TextsOverrides { file: path(&own.texts) }),
            textspan: Some(TextspanOverrides { texts: own.k, rank: own.rank }),
            label: Some(LabelOverrides { labeller: own.labeller }),
            ..Overrides::default()
        }
    }

    /// What is wrong with it, if something is.
    fn check(&self) -> Result<(), String> {
        let ids: Vec<&str> = self.data.iter().map(|data| data.id.as_str()).collect();
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            return Err("two data sets have one id".to_owned());
        }
        for data in &self.data {
            if data.test.as_ref().is_some_and(|test| !test.contains('=')) {
                return Err(format!("data set `{}`: `test` is not COLUMN=VALUE", data.id));
            }
        }
        for table in &self.tables {
            if let Some(data) = table.data.as_ref().filter(|data| !ids.contains(&data.as_str())) {
                return Err(format!("table `{}`: there is no data set `{data}`", table.name));
            }
        }
        self.figures().iter().try_for_each(check_figure)
    }
}

fn check_figure(placed: &Placed<'_>) -> Result<(), String> {
    let Placed { table, figure } = placed;
    let wrong =
        |what: &str| Err(format!("table `{}`, row `{}`, column `{}`: {what}", table.name, figure.row, figure.column));
    match (figure.published, figure.low, figure.high) {
        (Some(_), None, None) => {}
        (None, Some(low), Some(high)) if low <= high => {}
        _ => return wrong("it needs `published`, or `low` and `high`"),
    }
    match (&table.cannot, placed.measure()) {
        (Some(_), _) => Ok(()),
        (None, None) => wrong("it needs a `measure`, or the table a reason `cannot`"),
        (None, Some(_)) if figure.model.is_none() => wrong("it needs a `model`"),
        (None, Some(_)) if table.data.is_none() => wrong("the table needs `data`"),
        (None, Some(measure)) => measure.check().or_else(|what| wrong(&what)),
    }
}
