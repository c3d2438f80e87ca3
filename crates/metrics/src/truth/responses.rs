use std::collections::HashMap;

use headspan_artifacts::{
    HeadId, ImageRow, MomentsRow, PartReader, ReadoutRow, RunDirectory, Table, TextRow, read_rows,
};
use headspan_headspace::Readout;

use crate::truth::TruthError;

/// A description that stands for a value of a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Property category.
    pub category: String,
    /// Value of the category.
    pub value: String,
    /// The text, which the run's pool must hold.
    pub text: String,
}

/// How images answer to the values of the categories, and what each head has to do with it.
///
/// A score is the product of `r/|r|` with the unit mean of a value's text embeddings. Replacing a head's contribution
/// `c = B u` by its mean over the images adds `t·B(ū − u)` to it, so heads are taken away without another forward pass and
/// without leaving head space (design section 1).
#[derive(Debug, Clone, PartialEq)]
pub struct Responses {
    /// Ids of the images, in the order of the rows below.
    pub image_ids: Vec<String>,
    /// Category and value of each column, the values of a category side by side.
    pub classes: Vec<(String, String)>,
    /// Heads of the run.
    pub heads: Vec<HeadId>,
    /// Scores, `[images, classes]`.
    pub scores: Vec<f32>,
    /// What mean replacement of a head adds to the scores, each `[images, classes]`.
    pub changes: Vec<Vec<f32>>,
}

impl Responses {
    /// Reads a run's activations head by head.
    pub fn read(run: &RunDirectory, prompts: &[Prompt]) -> Result<Self, TruthError> {
        let (classes, embeddings) = class_embeddings(&read_rows(&run.table(Table::Texts))?, prompts)?;
        let readouts: Vec<ReadoutRow> = read_rows(&run.table(Table::Readout))?;
        let moments: Vec<MomentsRow> = read_rows(&run.table(Table::Moments))?;
        let images: Vec<ImageRow> = read_rows(&run.table(Table::Images))?;
        let ids: HashMap<u64, &str> = images.iter().map(|row| (row.image_index, row.image_id.as_str())).collect();
        let parts = run.parts_of(&images)?;
        let (mut image_ids, mut scores) = (Vec::new(), Vec::new());
        for part in &parts {
            let batch = part.read(&[], true)?;
            let d = part.shape().d;
            for (row, index) in batch.image_index.iter().enumerate() {
                image_ids.push(ids.get(index).copied().unwrap_or_default().to_owned());
                let unit: Vec<f32> =
                    batch.representation[row * d..][..d].iter().map(|x| x * batch.inv_norm[row]).collect();
                scores.extend(embeddings.iter().map(|text| product(text, &unit)));
            }
        }
        let readouts: Vec<Readout> = readouts.into_iter().map(Readout::from).collect();
        let heads: Vec<HeadId> = readouts.iter().map(|readout| readout.head).collect();
        let mut changes = Vec::with_capacity(heads.len());
        for readout in &readouts {
            let missing = |what| TruthError::NoHead { head: readout.head.to_string(), what };
            let moments = moments.iter().find(|row| row.head_id() == readout.head).ok_or_else(|| missing("moments"))?;
            changes.push(change(&parts, readout, &moments.mean, &embeddings)?);
        }
        Ok(Self { image_ids, classes, heads, scores, changes })
    }

    /// Categories with the columns of their values.
    pub fn categories(&self) -> Vec<(&str, std::ops::Range<usize>)> {
        let mut found: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
        for (column, (category, _)) in self.classes.iter().enumerate() {
            match found.last_mut() {
                Some((last, range)) if last == category => range.end = column + 1,
                _ => found.push((category, column..column + 1)),
            }
        }
        found
    }

    /// The scores with some heads, by position, replaced by their means.
    pub fn without(&self, heads: &[usize]) -> Vec<f32> {
        let mut scores = self.scores.clone();
        for head in heads {
            scores.iter_mut().zip(&self.changes[*head]).for_each(|(score, change)| *score += change);
        }
        scores
    }
}

/// Category and value of each class, and the unit mean of its prompts' embeddings.
type Classes = (Vec<(String, String)>, Vec<Vec<f32>>);

fn class_embeddings(texts: &[TextRow], prompts: &[Prompt]) -> Result<Classes, TruthError> {
    let by_text: HashMap<&str, &TextRow> = texts.iter().map(|row| (row.text.as_str(), row)).collect();
    let (mut classes, mut embeddings): Classes = (Vec::new(), Vec::new());
    for prompt in prompts {
        let row =
            by_text.get(prompt.text.as_str()).ok_or_else(|| TruthError::NoPrompt { text: prompt.text.clone() })?;
        let class = (prompt.category.clone(), prompt.value.clone());
        let at = classes.iter().position(|known| *known == class).unwrap_or_else(|| {
            classes.push(class);
            embeddings.push(vec![0.0; row.embedding.len()]);
            classes.len() - 1
        });
        embeddings[at].iter_mut().zip(&row.embedding).for_each(|(sum, x)| *sum += x);
    }
    for embedding in &mut embeddings {
        let norm = product(embedding, embedding).sqrt();
        for x in embedding.iter_mut() {
            *x /= norm;
        }
    }
    Ok((classes, embeddings))
}

/// `t·B(ū − u)` of every image and class.
fn change(
    parts: &[PartReader],
    readout: &Readout,
    mean: &[f64],
    embeddings: &[Vec<f32>],
) -> Result<Vec<f32>, TruthError> {
    let columns = mean.len();
    // Texts in head space: `Bᵀ t`.
    let projected: Vec<Vec<f32>> = embeddings
        .iter()
        .map(|text| {
            let mut row = vec![0.0_f32; columns];
            for (weight, own) in text.iter().zip(readout.matrix.chunks_exact(columns)) {
                row.iter_mut().zip(own).for_each(|(sum, b)| *sum += weight * b);
            }
            row
        })
        .collect();
    let mut change = Vec::new();
    for part in parts {
        for u in rows_of(part, readout.head)? {
            let away: Vec<f32> = mean.iter().zip(&u).map(|(mean, u)| *mean as f32 - u).collect();
            change.extend(projected.iter().map(|text| product(text, &away)));
        }
    }
    Ok(change)
}

/// `u` of one head for every image of a part, each `[head_dim + 3]`.
pub(super) fn rows_of(part: &PartReader, head: HeadId) -> Result<Vec<Vec<f32>>, TruthError> {
    let batch = part.read(&[head], false)?;
    Ok((0..batch.len()).map(|image| batch.u(0, image).into()).collect())
}

fn product(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(x, y)| x * y).sum()
}
