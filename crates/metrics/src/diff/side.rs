//! One of the two runs.

use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{
    ArtifactError, HeadId, ImageRow, LabelRow, MomentsRow, PartReader, ReadoutRow, RunDirectory, Table, TextspanRow,
    read_rows,
};
use headspan_headspace::{Moments, Readout};

use crate::{
    association::HeadConsistency,
    diff::{DiffError, HeadState, States},
    settings::Settings,
};

/// Tables of a run, and its activations as far as they were kept.
pub(super) struct Side {
    pub(super) run: RunDirectory,
    pub(super) readouts: BTreeMap<HeadId, Readout>,
    moments: BTreeMap<HeadId, Moments>,
    texts: Vec<TextspanRow>,
    labels: Vec<LabelRow>,
    /// Fingerprint of the data set, as the extraction recorded it.
    dataset: Option<String>,
    /// Ids of the images in their order, as far as the run keeps them.
    image_ids: Vec<String>,
    parts: Vec<PartReader>,
}

/// Places of an image in the activations of both runs.
pub(super) type Places = [usize; 2];

impl Side {
    pub(super) fn open(run: &RunDirectory) -> Result<Self, DiffError> {
        let run = run.look()?;
        let images: Vec<ImageRow> = read_rows(&run.table(Table::Images))?;
        let parts = match run.parts_of(&images) {
            Ok(parts) => parts,
            // Sums alone, or activations of a sample that are not complete: what tables tell is compared all the same.
            Err(ArtifactError::MomentsAlone { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
        let moments: Vec<MomentsRow> = read_rows(&run.table(Table::Moments))?;
        Ok(Self {
            readouts: readouts.into_iter().map(|row| (row.head_id(), row.into())).collect(),
            moments: moments.into_iter().map(|row| (row.head_id(), row.into())).collect(),
            texts: run.rows_if_there()?,
            labels: run.rows_if_there()?,
            dataset: run.record("images")?.and_then(|record| record.inputs.get("dataset").cloned()),
            image_ids: images.into_iter().map(|row| row.image_id).collect(),
            parts,
            run,
        })
    }

    pub(super) fn heads(&self) -> Vec<HeadId> {
        self.readouts.keys().copied().collect()
    }

    pub(super) fn labellers(&self) -> BTreeSet<String> {
        self.labels.iter().map(|row| row.labeller.clone()).collect()
    }

    /// Positions in the data set of the images whose activations are there, in the order of the activations.
    fn kept(&self) -> Result<Vec<u64>, DiffError> {
        let mut all = Vec::new();
        for part in &self.parts {
            all.extend(part.read(&[], false)?.image_index);
        }
        Ok(all)
    }

    /// `u` of a head at some places of the activations, `[places, head_dim + 3]`.
    pub(super) fn rows(&self, head: HeadId, places: impl Iterator<Item = usize>) -> Result<Vec<f32>, DiffError> {
        let mut all = Vec::new();
        let columns = self.readouts[&head].columns();
        for part in &self.parts {
            let batch = part.read(&[head], false)?;
            all.reserve(batch.len() * columns);
            (0..batch.len()).for_each(|image| all.extend_from_slice(batch.u(0, image).as_slice()));
        }
        Ok(places.flat_map(|place| &all[place * columns..][..columns]).copied().collect())
    }

    /// What texts, labels and moments say of each head.
    pub(super) fn states(&self, labeller: Option<&str>, settings: &Settings) -> States {
        let mut states: States = self.readouts.keys().map(|head| (*head, HeadState::default())).collect();
        for row in self.texts.iter().filter(|row| (row.pick as usize) < settings.texts) {
            if let Some(state) = states.get_mut(&row.head_id()) {
                state.texts.push(row.text.clone());
            }
        }
        for row in self.labels.iter().filter(|row| Some(row.labeller.as_str()) == labeller) {
            if let Some(state) = states.get_mut(&HeadId { layer: row.layer, head: row.head }) {
                state.property.clone_from(&row.property);
                let consistency = HeadConsistency::of(row, settings.texts);
                state.consistent = consistency.map(|of| (of.consistent as u64, of.judged as u64));
            }
        }
        let variances: BTreeMap<HeadId, f64> = self
            .readouts
            .iter()
            .filter_map(|(head, readout)| Some((*head, variance(readout, self.moments.get(head)?))))
            .collect();
        let total: f64 = variances.values().sum();
        for (head, variance) in variances {
            if let Some(state) = states.get_mut(&head).filter(|_| total > 0.0) {
                state.variance_share = Some(variance / total);
            }
        }
        states
    }
}

/// Variance of a head's contributions about their mean, all `d` directions together: the trace of `B C Bᵀ`.
fn variance(readout: &Readout, moments: &Moments) -> f64 {
    let covariance = moments.covariance();
    readout
        .rows()
        .map(|row| {
            let along = |(at, b): (usize, &f32)| {
                f64::from(*b) * row.iter().enumerate().map(|(to, b)| covariance[(at, to)] * f64::from(*b)).sum::<f64>()
            };
            row.iter().enumerate().map(along).sum::<f64>()
        })
        .sum()
}

/// Images whose activations both runs have, by their places in both. Errors if the runs are over different images.
pub(super) fn shared_images(sides: &[Side; 2]) -> Result<Vec<Places>, DiffError> {
    let [before, after] = sides;
    // A run of sums alone keeps no ids; the same images in another format have another fingerprint.
    let same_set = before.dataset.is_some() && before.dataset == after.dataset;
    if !same_set && (before.image_ids.is_empty() || before.image_ids != after.image_ids) {
        return Err(DiffError::OtherImages {
            before: before.run.path().to_owned(),
            after: after.run.path().to_owned(),
        });
    }
    let place_of: BTreeMap<u64, usize> =
        after.kept()?.into_iter().enumerate().map(|(place, index)| (index, place)).collect();
    let kept = before.kept()?;
    Ok(kept.iter().enumerate().filter_map(|(place, index)| Some([place, *place_of.get(index)?])).collect())
}
