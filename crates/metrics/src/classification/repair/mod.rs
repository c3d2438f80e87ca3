//! Spurious cues: accuracy of the worst group before and after heads are removed that bring a cue in (arXiv 2310.05916, section 4.3).
//!
//! Heads are chosen by somebody, by their ablation, or by a text. What is chosen, and all means, come from one half of the images, accuracy from
//! the other.

mod choose;
mod judge;
mod learned;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headspan_artifacts::{ClassRow, HeadId, ImageRow, RunDirectory};

use crate::classification::{
    ClassificationError, LabelledImages, Replacement,
    error::Result,
    permutation::{Draws, draws},
    repair::{
        choose::{by_ablation, by_text},
        judge::{Counts, Half, Judge},
        rows::Judged,
    },
    trials::Trial,
};

pub use rows::{RepairRow, repair_parquet};

/// How heads are chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// Somebody named them.
    Given {
        /// `property`, `list` or `file`.
        kind: &'static str,
        /// What they were named by.
        name: String,
        /// The heads.
        heads: Vec<HeadId>,
    },
    /// Greedily: the head whose removal, with those before it, raises the accuracy of the worst group most.
    Ablation {
        /// Most heads. There are fewer where no further one raises it.
        most: usize,
    },
    /// The heads along whose texts the cue varies most from image to image.
    Text {
        /// The texts.
        name: String,
        /// What of their embeddings belongs to the cue, each `[d]`.
        directions: Vec<Vec<f32>>,
        /// Number of heads.
        count: usize,
    },
}

/// What tells the classes apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Classifier {
    /// Embeddings of the classes' texts.
    Zeroshot(Vec<ClassRow>),
    /// The nearest of the classes' mean representations over the half that gives means, learned anew without the heads.
    Learned {
        /// A correlation that the images do not have by themselves, made by weights.
        correlation: Option<MadeCorrelation>,
    },
}

/// Weights of images that make a cue go with the class.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeCorrelation {
    /// Share of each class's weight that images get whose cue has the value of the class.
    pub share: f64,
    /// Whether an image is one of them, by its position. Images that are not listed teach nothing.
    pub agrees: HashMap<u64, bool>,
}

/// What is removed, and what it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct RepairPlan {
    /// Ways to choose heads.
    pub choices: Vec<Choice>,
    /// What takes the place of the heads' outputs.
    pub replacements: Vec<Replacement>,
    /// Random sets of as many heads as each choice has.
    pub permutations: usize,
    /// Seed of the sets.
    pub seed: u64,
}

/// A set that was chosen.
struct Chosen {
    choice: usize,
    replacement: Replacement,
    /// Heads by position, in the order in which they were chosen.
    heads: Vec<usize>,
    /// What each was chosen by; none where somebody named them.
    values: Option<Vec<f64>>,
}

/// Accuracy before and after each choice of heads is removed, over the half of the images that gave no means. Goes over the activations a part
/// at a time: once for means, once for each head that ablation chooses, and once for accuracy.
pub fn repair(
    run: &RunDirectory,
    image_rows: &[ImageRow],
    images: &LabelledImages,
    classifier: &Classifier,
    plan: &RepairPlan,
) -> Result<Vec<RepairRow>> {
    if images.groups().is_empty() {
        return Err(ClassificationError::NoGroups { images: image_rows.len() });
    }
    let judge = Judge::new(run, image_rows, images, classifier)?;
    let places: BTreeMap<HeadId, usize> = judge.heads().iter().enumerate().map(|(at, head)| (*head, at)).collect();
    let place = |head: &HeadId| places.get(head).copied().ok_or(ClassificationError::NoHead { head: *head });
    let mut chosen = Vec::new();
    for (at, choice) in plan.choices.iter().enumerate() {
        for &replacement in &plan.replacements {
            let found: (Vec<usize>, Option<Vec<f64>>) = match choice {
                Choice::Given { heads, .. } => (heads.iter().map(place).collect::<Result<_>>()?, None),
                Choice::Ablation { most } => with_values(by_ablation(&judge, replacement, *most)?),
                Choice::Text { directions, count, .. } => with_values(by_text(&judge, directions, *count)),
            };
            let (heads, values) = found;
            chosen.push(Chosen { choice: at, replacement, heads, values });
        }
    }
    let all = judge.heads().len();
    let sizes: BTreeSet<usize> =
        chosen.iter().map(|set| set.heads.len()).filter(|size| (1..all).contains(size)).collect();
    let sizes: Vec<usize> = sizes.into_iter().collect();
    let (drawn, random) = draws(&sizes, &plan.replacements, all, plan.permutations, plan.seed);
    let sets = chosen.iter().map(|set| Trial::of_heads(set.heads.clone(), set.replacement));
    let trials: Vec<Trial> = std::iter::once(Trial::nothing()).chain(sets).chain(random).collect();
    let counts = judge.counts(Half::Accuracy, &trials)?;
    let (chosen_counts, drawn_counts) = counts.split_at(1 + chosen.len());
    let of_draws = |set: &Chosen| -> &[Counts] {
        let same = |draws: &&Draws| draws.size == set.heads.len() && draws.replacement == set.replacement;
        drawn.iter().find(same).map_or(&[], |draws| &drawn_counts[draws.places.clone()])
    };
    let mut rows = Vec::new();
    for (set, after) in chosen.iter().zip(&chosen_counts[1..]) {
        let judged = Judged { before: &chosen_counts[0], after, random: of_draws(set) };
        let heads: Vec<String> = set.heads.iter().map(|head| judge.heads()[*head].to_string()).collect();
        rows.extend(rows::rows(&plan.choices[set.choice], &heads, set, &judged, images.groups()));
    }
    Ok(rows)
}

fn with_values(chosen: Vec<(usize, f64)>) -> (Vec<usize>, Option<Vec<f64>>) {
    let (heads, values) = chosen.into_iter().unzip();
    (heads, Some(values))
}
