use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use headspan_artifacts::{
    HeadId, ImageRow, ImageStatus, LabelRow, MetricRow, MomentsRow, PartReader, ReadoutRow, RunDirectory, TextRow,
    TextspanRow, read_rows,
};
use headspan_clip::Readout;

use crate::{
    columns::{Columns, HeadColumn, Rows},
    error::{ExploreError, Result},
    selection::HeadSelection,
};

/// A finished run of the pipeline: its small tables in memory, its activations read by column.
pub struct ExploreRun {
    directory: RunDirectory,
    images: Vec<ImageRow>,
    by_id: HashMap<String, u64>,
    readouts: BTreeMap<HeadId, Readout>,
    labels: Vec<LabelRow>,
    textspan: Vec<TextspanRow>,
    columns: Columns,
}

impl ExploreRun {
    /// Reads the run's tables; `column_bytes` bounds the activations kept in memory. The stages images, textspan and label must
    /// be there; labels may be missing, then there are no properties.
    pub fn open(directory: RunDirectory, column_bytes: usize) -> Result<Self> {
        let name = name_of(&directory);
        let images: Vec<ImageRow> = read_rows(&directory.table("images"))?;
        let readouts: Vec<ReadoutRow> = read_rows(&directory.table("readout"))?;
        let parts = directory.parts()?.iter().map(|path| PartReader::open(path)).collect::<Result<Vec<_>, _>>()?;
        let by_id = images.iter().map(|row| (row.image_id.clone(), row.image_index)).collect();
        let readouts: BTreeMap<HeadId, Readout> = readouts.into_iter().map(readout).collect();
        if readouts.is_empty() || parts.is_empty() {
            return Err(ExploreError::Empty { run: name });
        }
        let labels = optional(&directory.table("labels"))?;
        let textspan = optional(&directory.table("textspan"))?;
        let columns = Columns::new(name, parts, column_bytes)?;
        Ok(Self { directory, images, by_id, readouts, labels, textspan, columns })
    }

    /// `dataset/model`.
    pub fn name(&self) -> String {
        name_of(&self.directory)
    }

    /// Where the artifacts are.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// All images of the data set in order, skipped ones included.
    pub fn images(&self) -> &[ImageRow] {
        &self.images
    }

    /// Extracted heads, by layer and head.
    pub fn heads(&self) -> impl Iterator<Item = HeadId> + '_ {
        self.readouts.keys().copied()
    }

    /// Labels of all labellers.
    pub fn labels(&self) -> &[LabelRow] {
        &self.labels
    }

    /// TEXTSPAN's picks, head by head in rank order.
    pub fn textspan(&self) -> &[TextspanRow] {
        &self.textspan
    }

    /// The pool of descriptions with embeddings, read anew: a large table that few questions need.
    pub fn texts(&self) -> Result<Vec<TextRow>> {
        Ok(read_rows(&self.directory.table("texts"))?)
    }

    /// Moments of `u`, read anew.
    pub fn moments(&self) -> Result<Vec<MomentsRow>> {
        Ok(read_rows(&self.directory.table("moments"))?)
    }

    /// Scores; empty if the stage has not run.
    pub fn metrics(&self) -> Result<Vec<MetricRow>> {
        optional(&self.directory.table("metrics"))
    }

    /// Length of the joint embedding.
    pub fn d(&self) -> usize {
        self.readouts.values().next().map_or(0, |readout| readout.d)
    }

    /// Layers that were extracted, ascending.
    pub fn layers(&self) -> Vec<u32> {
        self.heads().map(|head| head.layer).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Properties in alphabetical order, each with its heads. A head may have labels of several labellers.
    pub fn properties(&self) -> BTreeMap<String, BTreeSet<HeadId>> {
        let mut properties: BTreeMap<String, BTreeSet<HeadId>> = BTreeMap::new();
        for label in &self.labels {
            if let Some(property) = &label.property {
                let head = HeadId { layer: label.layer, head: label.head };
                properties.entry(property.clone()).or_default().insert(head);
            }
        }
        properties
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
                let properties = self.properties();
                let found = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(property));
                let heads =
                    found.map(|(_, heads)| heads.iter().copied().filter(|head| self.readouts.contains_key(head)));
                let heads: Vec<HeadId> = heads.into_iter().flatten().collect();
                if heads.is_empty() {
                    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
                    let known =
                        if names.is_empty() { "none yet (run `headspan label`)".to_owned() } else { names.join(", ") };
                    return Err(ExploreError::NoProperty { property: property.clone(), run: self.name(), known });
                }
                Ok(heads)
            }
        }
    }

    /// An image by its position in the data set.
    pub fn image(&self, index: u64) -> Result<&ImageRow> {
        let found = usize::try_from(index).ok().and_then(|index| self.images.get(index));
        found.ok_or_else(|| ExploreError::NoImage { image: format!("#{index}"), run: self.name() })
    }

    /// An image by its id.
    pub fn image_by_id(&self, id: &str) -> Result<&ImageRow> {
        let index = self.by_id.get(id).copied();
        index.and_then(|index| self.images.get(index as usize)).ok_or_else(|| self.no_image(id))
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

    pub(crate) fn rows(&self) -> Result<Arc<Rows>> {
        self.columns.rows()
    }

    pub(crate) fn column(&self, head: HeadId) -> Result<Arc<HeadColumn>> {
        self.columns.head(head)
    }

    fn no_image(&self, id: &str) -> ExploreError {
        ExploreError::NoImage { image: id.to_owned(), run: self.name() }
    }
}

fn name_of(directory: &RunDirectory) -> String {
    format!("{}/{}", directory.id().dataset(), directory.id().model())
}

fn readout(row: ReadoutRow) -> (HeadId, Readout) {
    let head = HeadId { layer: row.layer, head: row.head };
    let (layer, number) = (row.layer as usize, row.head as usize);
    let (d, head_dim) = (row.d as usize, row.head_dim as usize);
    (head, Readout { layer, head: number, d, head_dim, matrix: row.readout })
}

/// Rows of a table, none if there is no such file.
fn optional<R: headspan_artifacts::Row>(path: &Path) -> Result<Vec<R>> {
    if path.exists() { Ok(read_rows(path)?) } else { Ok(Vec::new()) }
}
