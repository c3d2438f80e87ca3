use std::{collections::BTreeMap, ops::Range};

use headspan_artifacts::{HeadId, LabelRow};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    draws::draw_heads,
    fold::Synonyms,
    truth::{AttributeTable, Responses},
};

/// How heads are chosen and tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AblationSettings {
    /// Consistent texts that a head must have at least for its label to count (the association score's threshold).
    pub consistent: usize,
    /// Random sets of heads that a property's own are compared with.
    pub permutations: usize,
    /// Seed of the sets.
    pub seed: u64,
}

impl Default for AblationSettings {
    fn default() -> Self {
        Self { consistent: 3, permutations: 1_000, seed: 0 }
    }
}

/// Zero-shot accuracy on one attribute without the heads of one property.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationRow {
    /// Property whose heads were replaced by their means.
    pub property: String,
    /// Attribute that was classified.
    pub category: String,
    /// Images whose attribute is known.
    pub images: usize,
    /// Accuracy of the whole model.
    pub before: f64,
    /// Accuracy without the heads.
    pub after: f64,
}

/// How far the damage of one property's heads is to its own attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Specificity {
    /// The property.
    pub property: String,
    /// Its heads, by position among the run's.
    pub heads: Vec<usize>,
    /// Accuracy lost on the property's own attribute.
    pub own: f64,
    /// Mean accuracy lost on the other attributes.
    pub others: f64,
    /// Chance that as many heads drawn at random have a difference `own − others` at least as large (permutation test with
    /// the observed set counted, so never zero).
    pub p_value: f64,
}

/// The table property × attribute, and its tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Ablation {
    /// One row a property and attribute.
    pub rows: Vec<AblationRow>,
    /// One entry a property.
    pub specificity: Vec<Specificity>,
    /// Chance that labels dealt to the heads at random have a mean difference at least as large as the labels' own.
    pub p_value: f64,
}

/// Classification of one attribute.
struct Task {
    category: String,
    columns: Range<usize>,
    /// Column of the true value, of each image.
    truth: Vec<Option<usize>>,
}

impl Task {
    fn accuracy(&self, scores: &[f32], classes: usize) -> f64 {
        let (mut right, mut images) = (0_usize, 0_usize);
        for (row, truth) in scores.chunks_exact(classes).zip(&self.truth) {
            let Some(truth) = truth else { continue };
            images += 1;
            let best =
                self.columns.clone().fold(self.columns.start, |best, at| if row[at] > row[best] { at } else { best });
            right += usize::from(best == *truth);
        }
        right as f64 / images.max(1) as f64
    }
}

/// Replaces, property by property, the heads that are labelled with it and associated by their means, and measures zero-shot
/// accuracy on every attribute before and after. A property is tested when it is one of the attributes' categories.
pub fn ablate(
    responses: &Responses,
    truth: &AttributeTable,
    labels: &[LabelRow],
    synonyms: &Synonyms,
    settings: &AblationSettings,
) -> Ablation {
    let tasks = tasks(responses, truth);
    let classes = responses.classes.len();
    let accuracies = |heads: &[usize]| -> Vec<f64> {
        let scores = responses.without(heads);
        tasks.iter().map(|task| task.accuracy(&scores, classes)).collect()
    };
    let before = accuracies(&[]);
    let own_heads = heads_by_task(responses, &tasks, labels, synonyms, settings);
    let drops = |heads: &[usize]| -> Vec<f64> {
        accuracies(heads).iter().zip(&before).map(|(after, before)| before - after).collect()
    };
    let (mut rows, mut specificity) = (Vec::new(), Vec::new());
    for (own, heads) in &own_heads {
        let lost = drops(heads);
        for (task, (before, lost)) in tasks.iter().zip(before.iter().zip(&lost)) {
            rows.push(AblationRow {
                property: tasks[*own].category.clone(),
                category: task.category.clone(),
                images: task.truth.iter().flatten().count(),
                before: *before,
                after: before - lost,
            });
        }
        let (mine, others) = own_and_others(&lost, *own);
        let as_large = (0..settings.permutations)
            .into_par_iter()
            .filter(|draw| {
                let drawn = draw_heads(responses.heads.len(), heads.len(), settings.seed, *own, *draw);
                let (mine_drawn, others_drawn) = own_and_others(&drops(&drawn), *own);
                mine_drawn - others_drawn >= mine - others
            })
            .count();
        specificity.push(Specificity {
            property: tasks[*own].category.clone(),
            heads: heads.clone(),
            own: mine,
            others,
            p_value: (as_large + 1) as f64 / (settings.permutations + 1) as f64,
        });
    }
    let p_value = dealt_anew(responses.heads.len(), &own_heads, &specificity, settings, &drops);
    Ablation { rows, specificity, p_value }
}

/// Heads of each task's own property.
fn heads_by_task(
    responses: &Responses,
    tasks: &[Task],
    labels: &[LabelRow],
    synonyms: &Synonyms,
    settings: &AblationSettings,
) -> BTreeMap<usize, Vec<usize>> {
    let own = |task: &Task| associated_heads(&responses.heads, &task.category, labels, synonyms, settings);
    tasks.iter().map(own).enumerate().filter(|(_, heads)| !heads.is_empty()).collect()
}

/// Heads, by position, that are labelled with a property and associated: enough of their texts are consistent with it.
pub fn associated_heads(
    heads: &[HeadId],
    property: &str,
    labels: &[LabelRow],
    synonyms: &Synonyms,
    settings: &AblationSettings,
) -> Vec<usize> {
    let wanted = synonyms.fold(property);
    let fits = |label: &&LabelRow| {
        let consistent = label.consistent.iter().filter(|text| **text == Some(true)).count();
        let own = label.property.as_deref().map(|own| synonyms.fold(own));
        consistent >= settings.consistent && own.as_ref() == Some(&wanted)
    };
    let position = |label: &LabelRow| heads.iter().position(|head| *head == label.head_id());
    labels.iter().filter(fits).filter_map(position).collect()
}

fn tasks(responses: &Responses, truth: &AttributeTable) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (category, columns) in responses.categories() {
        let Some(at) = truth.categories().iter().position(|name| name == category) else { continue };
        let column_of = |value: &str| columns.clone().find(|column| responses.classes[*column].1 == value);
        let values = truth.column(at, &responses.image_ids);
        let known: Vec<Option<usize>> = values.into_iter().map(|value| column_of(value?)).collect();
        // Of a category that no image tells anything of there is no accuracy.
        if known.iter().any(Option::is_some) {
            tasks.push(Task { category: category.to_owned(), truth: known, columns });
        }
    }
    tasks
}

fn own_and_others(drops: &[f64], own: usize) -> (f64, f64) {
    let others: f64 = drops.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, drop)| drop).sum();
    (drops[own], others / (drops.len().max(2) - 1) as f64)
}

/// Deals all properties' heads anew among all heads and compares the mean difference of own and others.
fn dealt_anew(
    all: usize,
    own_heads: &BTreeMap<usize, Vec<usize>>,
    specificity: &[Specificity],
    settings: &AblationSettings,
    drops: &(impl Fn(&[usize]) -> Vec<f64> + Sync),
) -> f64 {
    let observed: f64 = specificity.iter().map(|one| one.own - one.others).sum();
    let as_large = (0..settings.permutations)
        .into_par_iter()
        .filter(|draw| {
            let dealt = draw_heads(all, all, settings.seed, usize::from(u16::MAX), *draw);
            let mut rest = &dealt[..];
            let mut sum = 0.0;
            for (task, heads) in own_heads {
                let (mine, others) = rest.split_at(heads.len().min(rest.len()));
                let (own, other) = own_and_others(&drops(mine), *task);
                sum += own - other;
                rest = others;
            }
            sum >= observed
        })
        .count();
    (as_large + 1) as f64 / (settings.permutations + 1) as f64
}
