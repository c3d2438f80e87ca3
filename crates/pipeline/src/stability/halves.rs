//! Texts and labels of random halves of the images.

use std::collections::BTreeMap;

use headspan_artifacts::{
    HeadId, ImageRow, LabelRow, ReadoutRow, RunDirectory, Table, TextRow, TextspanRow, read_rows,
};
use headspan_headspace::{MomentSums, MomentTerms, Moments, Readout, vector_length};
use headspan_label::{HeadTexts, lexicon};
use headspan_metrics::{StabilityRow, jaccard, random_halves, stability_rows};
use headspan_textspan::{Settings as SpanSettings, TextPool};
use rayon::prelude::*;

use super::{StabilityRequest, folded};
use crate::{error::Result, settings::Settings, stages::one_head};

/// Parts of the images, of which each half has every other: so many that halves differ, and so few that their sums fit in memory. Image `i` is in
/// part `i mod PARTS`.
const PARTS: usize = 32;

/// Sums of each head over the parts of the images.
type Sums = BTreeMap<HeadId, Vec<MomentTerms>>;

pub(super) fn rows(settings: &Settings, run: &RunDirectory, request: &StabilityRequest) -> Result<Vec<StabilityRow>> {
    let texts: Vec<TextRow> = read_rows(&run.table(Table::Texts))?;
    let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
    let readouts: Vec<Readout> = readouts.into_iter().map(Readout::from).collect();
    let categories = lexicon::categories(run)?;
    let sums = sums(run)?;
    let embeddings: Vec<f32> = texts.iter().flat_map(|row| row.embedding.iter().copied()).collect();
    let pool = TextPool::new(&embeddings, texts.first().map_or(0, |row| row.embedding.len()))?;
    let first = settings.metrics.scores.texts;
    let span = SpanSettings { texts: first.max(settings.label.lexicon.texts), rank: settings.textspan.rank };
    let fold = folded(settings)?;
    let halves = random_halves(PARTS, request.splits, request.seed);
    let of_head = |readout: &Readout| -> Result<(HeadId, Figures)> {
        let mut figures = Figures::default();
        for split in &halves {
            let mut sides = Vec::with_capacity(2);
            for half in split {
                let moments = joined(&sums[&readout.head], half);
                let (rows, _rank) = one_head(readout, &moments, &pool, &texts, &span)?;
                let picks = first_of(&rows, first);
                let heads = [HeadTexts { head: readout.head, texts: rows }];
                let label = lexicon::label(&heads, &categories, &settings.label.lexicon);
                sides.push((picks, property(&label).map(&fold)));
            }
            figures.add(&sides[0], &sides[1]);
        }
        Ok((readout.head, figures))
    };
    let found: BTreeMap<HeadId, Figures> = readouts.par_iter().map(of_head).collect::<Result<_>>()?;
    let picks = found.iter().map(|(head, figures)| (*head, figures.mean_jaccard())).collect();
    let labels = found.iter().filter_map(|(head, figures)| Some((*head, figures.share_of_same()?))).collect();
    let scores = &settings.metrics.scores;
    let mut rows = stability_rows(("halves", "images", "jaccard"), &picks, scores);
    rows.extend(stability_rows(("halves", "images", "same_property"), &labels, scores));
    Ok(rows)
}

/// What the splits gave for one head.
#[derive(Default)]
struct Figures {
    jaccards: Vec<f64>,
    /// Splits with a property on both sides, and those where it is the same.
    labelled: u64,
    same: u64,
}

/// First texts of a half, and its property.
type Side = (Vec<u32>, Option<String>);

impl Figures {
    fn add(&mut self, one: &Side, other: &Side) {
        self.jaccards.push(jaccard(&one.0, &other.0));
        if let (Some(one), Some(other)) = (&one.1, &other.1) {
            self.labelled += 1;
            self.same += u64::from(one == other);
        }
    }

    fn mean_jaccard(&self) -> (f64, u64) {
        let n = self.jaccards.len();
        (self.jaccards.iter().sum::<f64>() / n as f64, n as u64)
    }

    fn share_of_same(&self) -> Option<(f64, u64)> {
        (self.labelled > 0).then(|| (self.same as f64 / self.labelled as f64, self.labelled))
    }
}

fn first_of(rows: &[TextspanRow], count: usize) -> Vec<u32> {
    rows.iter().take(count).map(|row| row.text_index).collect()
}

fn property(label: &[LabelRow]) -> Option<&str> {
    label.first()?.property.as_deref()
}

/// The activations are read once, a part of the run at a time.
fn sums(run: &RunDirectory) -> Result<Sums> {
    let images: Vec<ImageRow> = read_rows(&run.table(Table::Images))?;
    let mut sums: BTreeMap<HeadId, Vec<MomentSums>> = BTreeMap::new();
    for part in run.parts_of(&images)? {
        let shape = part.shape().clone();
        let batch = part.read(&shape.heads, false)?;
        let rows: Vec<Vec<usize>> = (0..PARTS)
            .map(|part| (0..batch.len()).filter(|row| batch.image_index[*row] as usize % PARTS == part).collect())
            .collect();
        let of_head = |head: usize| -> Vec<MomentTerms> {
            rows.iter().map(|rows| batch.moment_terms(head, shape.head_dim, rows.len(), |row| rows[row])).collect()
        };
        let terms: Vec<Vec<MomentTerms>> = (0..shape.heads.len()).into_par_iter().map(of_head).collect();
        let none = || vec![MomentSums::new(vector_length(shape.head_dim)); PARTS];
        for (head, terms) in shape.heads.iter().zip(&terms) {
            let own = sums.entry(*head).or_insert_with(none);
            own.iter_mut().zip(terms).for_each(|(sums, terms)| sums.join(terms));
        }
    }
    let terms = |sums: Vec<MomentSums>| sums.into_iter().map(MomentSums::into_terms).collect();
    Ok(sums.into_iter().map(|(head, sums)| (head, terms(sums))).collect())
}

fn joined(parts: &[MomentTerms], half: &[usize]) -> Moments {
    let mut all = MomentSums::new(parts[0].sum.len());
    for part in half {
        all.join(&parts[*part]);
    }
    all.moments()
}
