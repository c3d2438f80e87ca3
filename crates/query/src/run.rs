use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, OnceLock},
};

use headspan_artifacts::{
    ArtifactError, HeadId, ImageRow, ImageStatus, Kept, LabelRow, MetricRow, MomentsRow, ReadoutRow, RunDirectory,
    Table, TextspanRow, is_file, read_rows,
};
use headspan_headspace::{HeadVector, Moments, Readout, Scalars};
use rayon::prelude::*;

use crate::{
    answers::Answers,
    carried::{Carriers, carriers_of},
    columns::{ColumnStore, Columns, HeadColumn, Rows},
    error::{ExploreError, Result},
    figures::HeadFigures,
    pool::Pool,
    profiles::Profiles,
    selection::HeadSelection,
};

/// Labellers whose labels are shown: the one that labelled last, else the first that a run has.
const LABELLERS: [&str; 3] = ["openai", "import", "lexicon"];

/// The stage whose record names the labeller.
const LABEL: &str = "label";

/// A finished run of the pipeline: its small tables in memory, its activations read by column.
pub struct ExploreRun {
    directory: RunDirectory,
    kept: Kept,
    images: Vec<ImageRow>,
    /// Positions of the images in the order of their ids.
    by_id: Vec<u32>,
    classes: BTreeSet<String>,
    readouts: BTreeMap<HeadId, Readout>,
    moments: BTreeMap<HeadId, Moments>,
    labels: BTreeMap<HeadId, LabelRow>,
    properties: BTreeMap<String, BTreeSet<HeadId>>,
    labeller: Option<&'static str>,
    textspan: BTreeMap<HeadId, Vec<TextspanRow>>,
    metrics: Vec<MetricRow>,
    pool: OnceLock<Pool>,
    profiles: OnceLock<Profiles>,
    carriers: OnceLock<Carriers>,
    figures: OnceLock<BTreeMap<HeadId, HeadFigures>>,
    answers: Answers,
    columns: Columns,
}

impl ExploreRun {
    /// Reads the run's tables; activations that were asked for are kept in `store`. The stages images, textspan and label must
    /// be there; labels may be missing, then there are no properties. A run that keeps moments alone is opened too: questions about its
    /// images have an error for an answer.
    pub fn open(directory: RunDirectory, store: &Arc<ColumnStore>) -> Result<Self> {
        let name = name_of(&directory);
        let images: Vec<ImageRow> = read_rows(&directory.table(Table::Images))?;
        let readouts: Vec<ReadoutRow> = read_rows(&directory.table(Table::Readout))?;
        let kept = directory.kept()?;
        let moments_alone = matches!(kept, Kept::Moments { .. });
        let parts = if moments_alone { Vec::new() } else { directory.parts_of(&images)? };
        let mut by_id: Vec<u32> = (0..images.len() as u32).collect();
        by_id.sort_unstable_by_key(|place| images[*place as usize].image_id.as_str());
        let readouts: BTreeMap<HeadId, Readout> = readouts.into_iter().map(readout).collect();
        if readouts.is_empty() || (parts.is_empty() && !moments_alone) {
            return Err(ExploreError::Empty { run: name });
        }
        let labels: Vec<LabelRow> = optional(&directory.table(Table::Labels))?;
        let chosen = directory
            .record(LABEL)
            .ok()
            .flatten()
            .and_then(|record| record.config["labeller"].as_str().map(str::to_owned));
        let has = |name: &&str| labels.iter().any(|row| row.labeller == **name);
        let labeller = LABELLERS.into_iter().find(|name| chosen.as_deref() == Some(name) && has(name));
        let labeller = labeller.or_else(|| LABELLERS.into_iter().find(has));
        let labels: BTreeMap<HeadId, LabelRow> = labels
            .into_iter()
            .filter(|row| Some(row.labeller.as_str()) == labeller)
            .map(|row| (row.head_id(), row))
            .collect();
        let mut textspan: BTreeMap<HeadId, Vec<TextspanRow>> = BTreeMap::new();
        for row in optional::<TextspanRow>(&directory.table(Table::Textspan))? {
            textspan.entry(row.head_id()).or_default().push(row);
        }
        let moments: Vec<MomentsRow> = read_rows(&directory.table(Table::Moments))?;
        Ok(Self {
            moments: moments.into_iter().map(moments_of).collect(),
            metrics: optional(&directory.table(Table::Metrics))?,
            columns: Columns::new(name, parts, store)?,
            properties: properties(&labels),
            classes: images.iter().filter_map(|row| row.class_id.clone()).collect(),
            directory,
            kept,
            images,
            by_id,
            readouts,
            labels,
            labeller,
            textspan,
            pool: OnceLock::new(),
            profiles: OnceLock::new(),
            carriers: OnceLock::new(),
            figures: OnceLock::new(),
            answers: Answers::default(),
        })
    }

    /// `dataset/model`.
    pub fn name(&self) -> String {
        name_of(&self.directory)
    }

    /// Where the artifacts are.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// Rows of the images in order, skipped ones included: of all images of the data set, or of those that the run keeps.
    pub fn images(&self) -> &[ImageRow] {
        &self.images
    }

    /// Number of images of the data set, whatever the run keeps of them.
    pub fn image_count(&self) -> u64 {
        match self.kept {
            Kept::All => self.images.len() as u64,
            Kept::Sample { images, .. } | Kept::Moments { images } => images,
        }
    }

    /// Whose activations the run keeps.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// Classes of the images in alphabetical order.
    pub fn classes(&self) -> &BTreeSet<String> {
        &self.classes
    }

    /// Extracted heads, by layer and head.
    pub fn heads(&self) -> impl Iterator<Item = HeadId> + '_ {
        self.readouts.keys().copied()
    }

    /// Whose labels are shown: those of the labeller that the run's record names, else a language model's before imported ones before
    /// the lexicon's; none if there are no labels.
    pub fn labeller(&self) -> Option<&'static str> {
        self.labeller
    }

    /// A head's label.
    pub fn label(&self, head: HeadId) -> Option<&LabelRow> {
        self.labels.get(&head)
    }

    /// TEXTSPAN's picks of a head in rank order; none if the stage has not run.
    pub fn textspan(&self, head: HeadId) -> &[TextspanRow] {
        self.textspan.get(&head).map_or(&[], Vec::as_slice)
    }

    /// Moments of a head's `u`.
    pub fn moments(&self, head: HeadId) -> Result<&Moments> {
        self.moments.get(&head).ok_or_else(|| ExploreError::Empty { run: self.name() })
    }

    /// Scores; empty if the stage has not run.
    pub fn metrics(&self) -> &[MetricRow] {
        &self.metrics
    }

    /// The pool of descriptions with embeddings, read when it is first wanted.
    pub fn pool(&self) -> Result<&Pool> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let pool = Pool::read(&self.directory.table(Table::Texts))?;
        Ok(self.pool.get_or_init(|| pool))
    }

    /// Heads of a run (this one or another) by how much what they say resembles what `head` says, most alike first: the
    /// correlation of the variances along the texts that both pools have, less each run's mean over heads. The head itself
    /// is left out.
    pub fn similar(&self, head: HeadId, other: &Self) -> Result<Vec<(HeadId, f32)>> {
        self.readout(head)?;
        let itself = self.name() == other.name();
        let mut found = self.profiles()?.compare(head, other.profiles()?);
        found.retain(|(theirs, _)| !(itself && *theirs == head));
        found.sort_by(|one, two| two.1.total_cmp(&one.1).then(one.0.cmp(&two.0)));
        Ok(found)
    }

    /// Figures of all heads that have moments, computed when they are first wanted.
    pub fn figures(&self) -> &BTreeMap<HeadId, HeadFigures> {
        self.figures.get_or_init(|| {
            let heads: Vec<_> = self.readouts.iter().collect();
            let own = heads.into_par_iter().filter_map(|(head, readout)| {
                let moments = self.moments.get(head).filter(|moments| moments.mean.len() == readout.columns())?;
                Some((*head, HeadFigures::new(readout, moments)))
            });
            let mut figures: BTreeMap<HeadId, HeadFigures> = own.collect();
            HeadFigures::share(figures.values_mut());
            figures
        })
    }

    fn profiles(&self) -> Result<&Profiles> {
        if let Some(profiles) = self.profiles.get() {
            return Ok(profiles);
        }
        let profiles = Profiles::new(self.pool()?, &self.readouts, &self.moments);
        Ok(self.profiles.get_or_init(|| profiles))
    }

    /// What the heads carry of texts, computed when it is first wanted.
    pub(crate) fn carriers(&self) -> Result<&Carriers> {
        if let Some(carriers) = self.carriers.get() {
            return Ok(carriers);
        }
        let carriers = carriers_of(self.pool()?, &self.readouts, &self.moments);
        Ok(self.carriers.get_or_init(|| carriers))
    }

    /// Length of the joint embedding.
    pub fn d(&self) -> usize {
        self.readouts.values().next().map_or(0, |readout| readout.d)
    }

    /// Layers that were extracted, ascending.
    pub fn layers(&self) -> Vec<u32> {
        self.heads().map(|head| head.layer).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Properties in alphabetical order, each with its heads.
    pub fn properties(&self) -> &BTreeMap<String, BTreeSet<HeadId>> {
        &self.properties
    }

    /// Readout of a head.
    pub fn readout(&self, head: HeadId) -> Result<&Readout> {
        self.readouts.get(&head).ok_or_else(|| {
            let mut heads = self.heads();
            let first = heads.next().unwrap_or(head);
            ExploreError::NoHead { head, run: self.name(), first, last: heads.last().unwrap_or(first) }
        })
    }

    /// The heads of a selection, by layer and head; never none.
    pub fn resolve(&self, selection: &HeadSelection) -> Result<Vec<HeadId>> {
        match selection {
            HeadSelection::All => Ok(self.heads().collect()),
            HeadSelection::Head(head) => self.readout(*head).map(|_there| vec![*head]),
            HeadSelection::Layer(layer) => {
                let heads: Vec<HeadId> = self.heads().filter(|head| head.layer == *layer).collect();
                if heads.is_empty() {
                    let layers = self.layers();
                    let (first, last) = (layers.first().copied(), layers.last().copied());
                    let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
                    return Err(ExploreError::NoLayer { layer: *layer, run: self.name(), first, last });
                }
                Ok(heads)
            }
            HeadSelection::Property(property) => {
                let heads = self.heads_labelled(|name| name.eq_ignore_ascii_case(property));
                if heads.is_empty() {
                    let known = self.properties.keys().cloned().collect();
                    return Err(ExploreError::NoProperty { property: property.clone(), run: self.name(), known });
                }
                Ok(heads)
            }
            HeadSelection::List(parts) => {
                // A language model may name a property with commas in it.
                let whole =
                    self.heads_labelled(|name| name.parse::<HeadSelection>().is_ok_and(|name| name == *selection));
                if !whole.is_empty() {
                    return Ok(whole);
                }
                let heads = parts.iter().map(|part| self.resolve(part)).collect::<Result<Vec<_>>>()?;
                Ok(heads.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect())
            }
        }
    }

    /// Extracted heads by their property. Names that differ in case alone are one property, as for the scores.
    fn heads_labelled(&self, wanted: impl Fn(&str) -> bool) -> Vec<HeadId> {
        let found = self.properties.iter().filter(|(name, _)| wanted(name));
        let heads: BTreeSet<HeadId> = found.flat_map(|(_, heads)| heads).copied().collect();
        heads.into_iter().filter(|head| self.readouts.contains_key(head)).collect()
    }

    /// An image by its position in the data set.
    pub fn image(&self, index: u64) -> Result<&ImageRow> {
        self.need_images()?;
        let absent = || ExploreError::NoImage { image: format!("#{index}"), run: self.name(), similar: None };
        self.row_at(index).ok_or_else(absent)
    }

    /// The row of the image at a position in the data set. In a run that keeps all, it is the row's own position.
    pub(crate) fn row_at(&self, index: u64) -> Option<&ImageRow> {
        let at = usize::try_from(index).ok().and_then(|index| self.images.get(index));
        at.filter(|row| row.image_index == index).or_else(|| {
            let found = self.images.binary_search_by_key(&index, |row| row.image_index);
            found.ok().map(|found| &self.images[found])
        })
    }

    /// An error if the run keeps activations of no image.
    fn need_images(&self) -> Result<()> {
        match self.kept {
            Kept::Moments { images } => {
                Err(ArtifactError::MomentsAlone { run: self.directory.path().to_owned(), images }.into())
            }
            Kept::All | Kept::Sample { .. } => Ok(()),
        }
    }

    /// An image by its id.
    pub fn image_by_id(&self, id: &str) -> Result<&ImageRow> {
        self.need_images()?;
        let row = |place: &u32| &self.images[*place as usize];
        let found = self.by_id.binary_search_by_key(&id, |place| row(place).image_id.as_str());
        found.map(|found| row(&self.by_id[found])).map_err(|_insertion| self.no_image(id))
    }

    /// Position of an image in the data set: by id, by `#index`, or by a number that is not an id.
    pub fn find_image(&self, image: &str) -> Result<u64> {
        let image = image.trim();
        if let Some(index) = image.strip_prefix('#').and_then(|number| number.parse::<u64>().ok()) {
            return Ok(self.image(index)?.image_index);
        }
        match (self.image_by_id(image), image.parse::<u64>()) {
            (Ok(row), _) => Ok(row.image_index),
            (Err(_no_id), Ok(index)) => Ok(self.image(index)?.image_index),
            (Err(error), Err(_no_number)) => Err(error),
        }
    }

    /// Positions in the data set of the images that were extracted, in the order of the rows of all columns.
    pub fn image_indices(&self) -> Result<Vec<u64>> {
        Ok(self.rows()?.image_index.clone())
    }

    /// Scalars of the images that were extracted, one a row.
    pub fn scalars(&self) -> Result<Vec<Scalars>> {
        Ok(self.rows()?.scalars.clone())
    }

    /// `z/(σ|r|)` of a head for every image that was extracted, read once and then shared.
    pub fn activations(&self, head: HeadId) -> Result<Arc<HeadColumn>> {
        self.readout(head)?;
        self.column(head)
    }

    /// Contributions of a head to `r/|r|`, `[images, d]` row-major: of the images at these positions in the data set, else of all that
    /// were extracted.
    pub fn contributions(&self, head: HeadId, images: Option<&[u64]>) -> Result<Vec<f32>> {
        let (readout, column, rows) = (self.readout(head)?, self.activations(head)?, self.rows()?);
        let chosen: Vec<usize> = match images {
            Some(images) => images.iter().map(|image| self.row_of(*image)).collect::<Result<_>>()?,
            None => (0..rows.image_index.len()).collect(),
        };
        let one = |row: usize| readout.contribution(HeadVector::new(column.row(row), rows.scalars[row]).as_slice());
        Ok(chosen.into_par_iter().flat_map_iter(one).collect())
    }

    /// Row of an image in the activations.
    pub(crate) fn row_of(&self, image: u64) -> Result<usize> {
        let row = self.image(image)?;
        if row.status != ImageStatus::Ok {
            return Err(self.no_image(&row.image_id));
        }
        let rows = self.rows()?;
        // Parts are in data set order.
        rows.image_index.binary_search(&image).map_err(|_insertion| self.no_image(&row.image_id))
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    pub(crate) fn rows(&self) -> Result<Arc<Rows>> {
        self.need_images()?;
        self.columns.rows()
    }

    pub(crate) fn column(&self, head: HeadId) -> Result<Arc<HeadColumn>> {
        self.need_images()?;
        self.columns.head(head)
    }

    fn no_image(&self, id: &str) -> ExploreError {
        ExploreError::NoImage { image: id.to_owned(), run: self.name(), similar: self.similar_image(id) }
    }

    /// The first image that was extracted whose id is like this one: in other case, or the same file in a folder.
    fn similar_image(&self, id: &str) -> Option<String> {
        let wanted = id.to_lowercase();
        let file = wanted.rsplit(['/', '\\']).next().filter(|file| !file.is_empty())?;
        let like = |row: &&ImageRow| {
            let own = row.image_id.to_lowercase();
            let own = own.rsplit('/').next().unwrap_or_default();
            row.status == ImageStatus::Ok && (own == file || own.rsplit_once('.').is_some_and(|(stem, _)| stem == file))
        };
        self.images.iter().find(like).map(|row| row.image_id.clone()).filter(|found| found != id)
    }
}

fn name_of(directory: &RunDirectory) -> String {
    format!("{}/{}", directory.id().dataset(), directory.id().model())
}

fn readout(mut row: ReadoutRow) -> (HeadId, Readout) {
    // Reading grows vectors by doubling.
    row.readout.shrink_to_fit();
    (row.head_id(), row.into())
}

fn moments_of(mut row: MomentsRow) -> (HeadId, Moments) {
    row.second_moment.shrink_to_fit();
    (row.head_id(), row.into())
}

fn properties(labels: &BTreeMap<HeadId, LabelRow>) -> BTreeMap<String, BTreeSet<HeadId>> {
    let mut properties: BTreeMap<String, BTreeSet<HeadId>> = BTreeMap::new();
    for (head, label) in labels {
        if let Some(property) = &label.property {
            properties.entry(property.clone()).or_default().insert(*head);
        }
    }
    properties
}

/// Rows of a table, none if there is no such file.
fn optional<R: headspan_artifacts::Row>(path: &Path) -> Result<Vec<R>> {
    if is_file(path).map_err(ArtifactError::from)? { Ok(read_rows(path)?) } else { Ok(Vec::new()) }
}
