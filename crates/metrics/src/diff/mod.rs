//! Two runs over the same images, head by head: the same model before and after fine-tuning, two seeds, two pretrainings.
//!
//! `docs/metrics.md` defines each figure.

mod error;
mod likeness;
mod pairs;
mod rows;
mod scores;
mod side;

use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, RunDirectory};
use rayon::prelude::*;

use crate::{fold::Synonyms, settings::Settings};

pub use error::DiffError;
pub use pairs::Pairing;
pub use scores::ScoreChange;

use likeness::{Folds, readout_likeness};
use pairs::{Paired, pair};
use side::{Side, shared_images};

/// What is compared, and how.
#[derive(Debug, Clone, Copy)]
pub struct DiffSettings<'a> {
    /// How heads find each other; none: by position where both runs have the same heads, else by assignment.
    pub pairing: Option<Pairing>,
    /// The labeller whose labels are compared; none: the first by name that both runs have.
    pub labeller: Option<&'a str>,
    /// How scores are computed, with the resamples and the seed of the intervals.
    pub scores: &'a Settings,
    /// Names of properties that mean the same.
    pub synonyms: &'a Synonyms,
}

/// Two runs, head by head.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// How heads found each other.
    pub pairing: Pairing,
    /// The labeller whose labels are compared; none if the runs have none in common.
    pub labeller: Option<String>,
    /// Images whose activations both runs have.
    pub images: u64,
    /// Pairs by the position of the head before.
    pub heads: Vec<HeadPair>,
    /// Heads without a partner: before, and after.
    pub unpaired: [Vec<HeadId>; 2],
    /// What happened to the scores of both models, over the pairs.
    pub scores: Vec<ScoreChange>,
}

impl Difference {
    /// The pairs whose outputs changed most first; those without CKA last.
    pub fn by_change(&self) -> Vec<&HeadPair> {
        let mut pairs: Vec<&HeadPair> = self.heads.iter().collect();
        pairs.sort_by(|one, other| one.cka.unwrap_or(f64::INFINITY).total_cmp(&other.cka.unwrap_or(f64::INFINITY)));
        pairs
    }
}

/// A head before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadPair {
    /// The head before and after.
    pub heads: [HeadId; 2],
    /// Linear CKA of their contributions over the images, 0 to 1: 1 where they differ by a rotation and a factor. None without activations,
    /// and for a head that does not vary.
    pub cka: Option<f64>,
    /// Its percentile interval over parts of the images; none for few images.
    pub cka_interval: Option<(f64, f64)>,
    /// How alike their readouts are; none where the joint embeddings have different lengths.
    pub readouts: Option<ReadoutLikeness>,
    /// What the texts, the label and the share of variance were, and are.
    pub states: [HeadState; 2],
    /// Of the first texts before (as many as the scores look at), the share that is among the first texts after.
    pub texts_kept: Option<f64>,
    /// Whether the property is the same, as scores fold names; none where a label is missing.
    pub property_kept: Option<bool>,
}

/// How alike two readouts `R`, `[d, head_dim]`, are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadoutLikeness {
    /// Cosine of both matrices taken as vectors; none for heads of different width. It means something where a head kept its basis, as in
    /// fine-tuning.
    pub cosine: Option<f64>,
    /// Mean squared cosine of the principal angles between the spaces that they span, 0 to 1. Independent of any basis.
    pub overlap: f64,
    /// The smallest and the largest principal angle, in degrees.
    pub angles: (f64, f64),
}

/// One side of a pair.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeadState {
    /// First texts of the head, as many as the scores look at.
    pub texts: Vec<String>,
    /// Its property.
    pub property: Option<String>,
    /// Texts that fit the property, and texts that were judged.
    pub consistent: Option<(u64, u64)>,
    /// Share of the variance of all extracted heads' contributions that is the head's.
    pub variance_share: Option<f64>,
}

/// Compares two runs. Errors if they are over different images, if heads cannot be paired as asked, and where tables cannot be read.
pub fn diff(before: &RunDirectory, after: &RunDirectory, settings: &DiffSettings<'_>) -> Result<Difference, DiffError> {
    let sides = [Side::open(before)?, Side::open(after)?];
    let images = shared_images(&sides)?;
    let Paired { pairing, pairs, unpaired } = pair(&sides, &images, settings.pairing)?;
    let labeller = common_labeller(&sides, settings.labeller)?;
    let states = sides.each_ref().map(|side| side.states(labeller.as_deref(), settings.scores));
    let compared = |&heads: &[HeadId; 2]| -> Result<HeadPair, DiffError> {
        let folds = Folds::of(&sides, &images, heads)?;
        let readouts = [&sides[0].readouts[&heads[0]], &sides[1].readouts[&heads[1]]];
        let states = [0, 1].map(|side| states[side].get(&heads[side]).cloned().unwrap_or_default());
        let [was, is] = &states;
        let properties = was.property.as_ref().zip(is.property.as_ref());
        Ok(HeadPair {
            heads,
            cka: folds.as_ref().and_then(Folds::cka),
            cka_interval: folds.as_ref().and_then(|folds| folds.interval(settings.scores)),
            readouts: readout_likeness(readouts),
            texts_kept: share_kept(&was.texts, &is.texts),
            property_kept: properties.map(|(was, is)| settings.synonyms.fold(was) == settings.synonyms.fold(is)),
            states,
        })
    };
    let heads = pairs.par_iter().map(compared).collect::<Result<Vec<_>, _>>()?;
    let scores = scores::changes(&heads, settings.scores, settings.synonyms);
    Ok(Difference { pairing, labeller, images: images.len() as u64, heads, unpaired, scores })
}

/// The labeller whose labels are compared.
fn common_labeller(sides: &[Side; 2], wanted: Option<&str>) -> Result<Option<String>, DiffError> {
    let [before, after] = sides.each_ref().map(Side::labellers);
    match wanted {
        None => Ok(before.intersection(&after).next().cloned()),
        Some(wanted) if before.contains(wanted) && after.contains(wanted) => Ok(Some(wanted.to_owned())),
        Some(wanted) => {
            let common = before.intersection(&after).cloned().collect();
            Err(DiffError::NoLabeller { labeller: wanted.to_owned(), common })
        }
    }
}

fn share_kept(before: &[String], after: &[String]) -> Option<f64> {
    let kept = before.iter().filter(|text| after.contains(text)).count();
    (!before.is_empty() && !after.is_empty()).then(|| kept as f64 / before.len() as f64)
}

/// States of the heads of a run.
type States = BTreeMap<HeadId, HeadState>;
