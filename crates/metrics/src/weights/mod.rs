//! Heads from weights alone: the directions in which a head can write, strongest first, and the texts that name them.
//!
//! A head writes `R z` into the joint embedding, with its readout `R`, `[d, head_dim]` (design section 1). The left singular vectors of `R` are
//! the directions, its singular values how strongly the head's own coordinates `z` reach them. A direction is named by a sparse sum of texts
//! with weights that are not negative, as in arXiv 2603.24653. No image takes part.
//!
//! `docs/science.md` defines each figure.

mod error;
mod names;
mod rows;
mod spectrum;

use std::collections::BTreeMap;

use faer::Mat;
use headspan_artifacts::{HeadId, LabelRow, ReadoutRow, RunDirectory, Table, TextRow, TextspanRow, read_rows};
use headspan_headspace::Readout;
use rayon::prelude::*;

use crate::fold::Synonyms;

pub use error::HeadWeightsError;

use names::named;
use spectrum::Directions;

/// What is named, and how.
#[derive(Debug, Clone, Copy)]
pub struct HeadWeightsSettings<'a> {
    /// Directions of each head that are named.
    pub directions: usize,
    /// Most texts of a direction.
    pub texts: usize,
    /// The labeller whose properties are compared; none: the first by name that the run has.
    pub labeller: Option<&'a str>,
    /// Names of properties that mean the same.
    pub synonyms: &'a Synonyms,
}

/// All heads of a run, from their readouts.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWeights {
    /// The labeller whose properties are compared; none without labels.
    pub labeller: Option<String>,
    /// Heads by position.
    pub heads: Vec<WeighedHead>,
}

/// A head, from its readout.
#[derive(Debug, Clone, PartialEq)]
pub struct WeighedHead {
    /// The head.
    pub head: HeadId,
    /// Its property, as the labeller sees it.
    pub property: Option<String>,
    /// Singular values of `R`, largest first.
    pub spectrum: Vec<f64>,
    /// Participation ratio of their squares, (Σ s²)²/Σ s⁴: how many equal directions would be as broad.
    pub participation: f64,
    /// The first directions with their texts.
    pub directions: Vec<NamedDirection>,
    /// How this fits what TEXTSPAN found in the head's outputs over images; none where the run has no TEXTSPAN.
    pub agreement: Option<Agreement>,
}

/// A direction in which a head can write.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedDirection {
    /// Its share of the squared singular values, 0 to 1.
    pub share: f64,
    /// Whether the texts name the opposite of the stored singular vector: its sign means nothing, and the side that texts fit better is named.
    pub flipped: bool,
    /// Cosine between the direction and the sum of its texts within the head's span, 0 to 1.
    pub fidelity: f64,
    /// Texts with their weights, in the order in which they were picked.
    pub texts: Vec<NamingText>,
    /// The category that has the largest sum of weights; none of an untagged pool.
    pub category: Option<String>,
}

/// A text of a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct NamingText {
    /// Position in the pool.
    pub text_index: u32,
    /// The text.
    pub text: String,
    /// Its weight, above 0.
    pub weight: f64,
}

/// How weights and outputs agree on a head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Of TEXTSPAN's first texts (as many as a direction has), the share that names one of the head's first directions.
    pub texts_shared: f64,
    /// Mean share of those texts' length within the head's span that the first directions hold.
    pub span_share: f64,
    /// The same for a direction that is drawn at random in the span: directions / `head_dim`.
    pub span_share_by_chance: f64,
    /// Whether the first direction's category is the head's property; none where either is missing.
    pub same_property: Option<bool>,
}

/// Names the directions of every head of a run by the texts of its pool.
pub fn head_weights(run: &RunDirectory, settings: &HeadWeightsSettings<'_>) -> Result<HeadWeights, HeadWeightsError> {
    let run = run.look()?;
    let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
    let texts: Vec<TextRow> = run.rows_if_there()?;
    if texts.len() < 2 {
        return Err(HeadWeightsError::NoTexts { run: run.path().to_owned() });
    }
    let labels: Vec<LabelRow> = run.rows_if_there()?;
    let picks: Vec<TextspanRow> = run.rows_if_there()?;
    let labeller = labeller(&labels, settings.labeller)?;
    let pool = Pool { directions: centred(&texts), rows: &texts };
    let property_of: BTreeMap<HeadId, &str> = labels
        .iter()
        .filter(|row| Some(&row.labeller) == labeller.as_ref())
        .filter_map(|row| Some((row.head_id(), row.property.as_deref()?)))
        .collect();
    let heads = readouts
        .into_par_iter()
        .map(|row| {
            let readout = Readout::from(row);
            let own = picks.iter().filter(|pick| pick.head_id() == readout.head);
            let own: Vec<u32> = own.take(settings.texts).map(|pick| pick.text_index).collect();
            weighed(&readout, &pool, &own, property_of.get(&readout.head).copied(), settings)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(HeadWeights { labeller, heads })
}

/// Texts, and their embeddings about the mean of all, `[texts, d]`.
struct Pool<'a> {
    directions: Mat<f64>,
    rows: &'a [TextRow],
}

/// All texts share a large part, which says nothing of one.
fn centred(texts: &[TextRow]) -> Mat<f64> {
    let d = texts[0].embedding.len();
    let mean: Vec<f64> = (0..d)
        .map(|column| texts.iter().map(|row| f64::from(row.embedding[column])).sum::<f64>() / texts.len() as f64)
        .collect();
    Mat::from_fn(texts.len(), d, |row, column| f64::from(texts[row].embedding[column]) - mean[column])
}

fn weighed(
    readout: &Readout,
    pool: &Pool<'_>,
    picks: &[u32],
    property: Option<&str>,
    settings: &HeadWeightsSettings<'_>,
) -> Result<WeighedHead, HeadWeightsError> {
    let directions = Directions::of(readout).ok_or(HeadWeightsError::NotFinite { head: readout.head })?;
    // In this basis the directions are the axes.
    let texts = directions.within(&pool.directions);
    let squares: f64 = directions.singular.iter().map(|s| s * s).sum();
    let name = |axis: usize| {
        let name = named(texts.as_ref(), axis, settings.texts);
        let texts: Vec<NamingText> = name.texts.iter().map(|(at, weight)| pool.naming(*at, *weight)).collect();
        NamedDirection {
            share: directions.singular[axis].powi(2) / squares,
            flipped: name.flipped,
            fidelity: name.fidelity,
            category: pool.category(&name.texts),
            texts,
        }
    };
    let kept = settings.directions.min(directions.rank());
    let first: Vec<NamedDirection> = (0..kept).map(name).collect();
    let fourth: f64 = directions.singular.iter().map(|s| s.powi(4)).sum();
    let agreement = (!picks.is_empty()).then(|| agreement(&first, &texts, picks, property, settings, pool));
    Ok(WeighedHead {
        head: readout.head,
        property: property.map(str::to_owned),
        participation: if fourth > 0.0 { squares * squares / fourth } else { 0.0 },
        spectrum: directions.singular,
        directions: first,
        agreement,
    })
}

impl Pool<'_> {
    fn naming(&self, at: usize, weight: f64) -> NamingText {
        let TextRow { text_index, text, .. } = &self.rows[at];
        NamingText { text_index: *text_index, text: text.clone(), weight }
    }

    fn category(&self, texts: &[(usize, f64)]) -> Option<String> {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for (at, weight) in texts {
            *sums.entry(self.rows[*at].category.as_deref()?).or_default() += weight;
        }
        let (category, _) = sums.into_iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
        Some(category.to_owned())
    }

    /// Where a text stands: rows are in the pool's order.
    fn place(&self, text_index: u32) -> Option<usize> {
        let at = text_index as usize;
        (at < self.rows.len()).then_some(at)
    }
}

fn agreement(
    first: &[NamedDirection],
    texts: &Mat<f64>,
    picks: &[u32],
    property: Option<&str>,
    settings: &HeadWeightsSettings<'_>,
    pool: &Pool<'_>,
) -> Agreement {
    let names = |pick: &&u32| first.iter().flat_map(|direction| &direction.texts).any(|text| text.text_index == **pick);
    let shares: Vec<f64> = picks
        .iter()
        .filter_map(|pick| {
            let row = texts.row(pool.place(*pick)?);
            let length: f64 = row.iter().map(|x| x * x).sum();
            let held: f64 = row.iter().take(first.len()).map(|x| x * x).sum();
            (length > 0.0).then(|| held / length)
        })
        .collect();
    let category = first.first().and_then(|direction| direction.category.as_deref());
    Agreement {
        texts_shared: picks.iter().filter(names).count() as f64 / picks.len() as f64,
        span_share: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
        span_share_by_chance: first.len() as f64 / texts.ncols().max(1) as f64,
        same_property: category
            .zip(property)
            .map(|(category, property)| settings.synonyms.fold(category) == settings.synonyms.fold(property)),
    }
}

/// The labeller whose properties are compared.
fn labeller(labels: &[LabelRow], wanted: Option<&str>) -> Result<Option<String>, HeadWeightsError> {
    let mut known: Vec<&str> = labels.iter().map(|row| row.labeller.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    match wanted {
        None => Ok(known.first().map(|name| (*name).to_owned())),
        Some(wanted) if known.contains(&wanted) => Ok(Some(wanted.to_owned())),
        Some(wanted) => {
            let known = known.into_iter().map(str::to_owned).collect();
            Err(HeadWeightsError::NoLabeller { labeller: wanted.to_owned(), known })
        }
    }
}
