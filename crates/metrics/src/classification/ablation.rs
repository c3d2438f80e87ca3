//! Accuracy without some heads (arXiv 2310.05916, sections 3.2 and 4.3), of the direct effect: what later layers make of a head stays.

use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{AblatedRow, ClassRow, HeadId, ImageRow, RunDirectory};

use crate::{
    bootstrap::percentiles,
    classification::{
        ClassificationError, LabelledImages, Removed, Replacement, Target,
        accuracy::{Count, wilson, worst},
        error::Result,
        means::HalfMeans,
        permutation::{Draws, draws, p_value},
        scores::{Block, Opened, block_size, each_block, is_highest},
        trials::{Heard, Trial},
    },
};

/// What is ablated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationPlan {
    /// Targets, each of which is replaced by each of the replacements.
    pub targets: Vec<Target>,
    /// What takes their place.
    pub replacements: Vec<Replacement>,
    /// Random sets of as many heads that a property, a list or a file of heads is compared with.
    pub permutations: usize,
    /// Seed of the sets.
    pub seed: u64,
}

/// Share of the draws inside an interval of random sets.
const CONFIDENCE: f64 = 0.95;

/// Zero-shot accuracy before and after each ablation, over the half of the images that gave no means: over all of it, by class and by group.
/// Goes twice over the activations, a part at a time; keeps counts alone.
pub fn ablations(
    run: &RunDirectory,
    image_rows: &[ImageRow],
    classes: &[ClassRow],
    images: &LabelledImages,
    plan: &AblationPlan,
) -> Result<Vec<AblatedRow>> {
    let Opened { embeddings, parts, readouts, heads } = Opened::new(run, image_rows, classes)?;
    let trials = chosen(plan, &heads)?;
    let (drawn, random) =
        draws(&sizes(plan, heads.len()), &plan.replacements, heads.len(), plan.permutations, plan.seed);
    let means = HalfMeans::read(&parts, &heads, images)?;
    let with_rest = plan.targets.iter().any(|target| target.removed == Removed::Rest);
    let heard = Heard::new(embeddings, &readouts, &means, with_rest);
    let shape = Shape { classes: classes.len(), groups: images.groups().len() };
    let size = block_size(classes.len(), heads.len() + 4);
    let none = || Tally::new(shape, trials.len(), random.len());
    let tally = each_block(
        &parts,
        &heads,
        images,
        size,
        none,
        |tally, block| tally.look(&heard, block, &trials, &random),
        Tally::join,
    )?;
    Ok(rows(plan, images, &heads, &drawn, &tally))
}

/// Sizes of the sets that are compared with random ones. A set of all heads has nothing to be compared with.
fn sizes(plan: &AblationPlan, heads: usize) -> Vec<usize> {
    let of = |target: &Target| match &target.removed {
        Removed::Heads(own) if target.kind.has_draws() && own.len() < heads => Some(own.len()),
        _ => None,
    };
    plan.targets.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Nothing, then each target with each replacement.
fn chosen(plan: &AblationPlan, heads: &[HeadId]) -> Result<Vec<Trial>> {
    let places: BTreeMap<HeadId, usize> = heads.iter().enumerate().map(|(place, head)| (*head, place)).collect();
    let place = |head: &HeadId| places.get(head).copied().ok_or(ClassificationError::NoHead { head: *head });
    let mut trials = vec![Trial::nothing()];
    for target in &plan.targets {
        let own = match &target.removed {
            Removed::Heads(own) => own.iter().map(place).collect::<Result<Vec<_>>>()?,
            Removed::Rest => Vec::new(),
        };
        trials.extend(plan.replacements.iter().map(|by| Trial::new(&target.removed, own.clone(), *by)));
    }
    Ok(trials)
}

/// How many counts a trial has.
#[derive(Clone, Copy)]
struct Shape {
    classes: usize,
    groups: usize,
}

/// Images that are classified rightly, by trial and scope.
struct Tally {
    shape: Shape,
    /// Images by class, then by group.
    images: Vec<u32>,
    /// Those that are right, the same of each chosen trial.
    chosen: Vec<u32>,
    /// Those of each drawn trial: of all images, then by group.
    drawn: Vec<u32>,
}

impl Tally {
    fn new(shape: Shape, chosen: usize, drawn: usize) -> Self {
        let wide = shape.classes + shape.groups;
        Self {
            shape,
            images: vec![0; wide],
            chosen: vec![0; chosen * wide],
            drawn: vec![0; drawn * (1 + shape.groups)],
        }
    }

    fn look(&mut self, heard: &Heard, block: &Block<'_>, chosen: &[Trial], drawn: &[Trial]) {
        let said = heard.said(block);
        let mut after = Vec::new();
        let Shape { classes, groups } = self.shape;
        let group_at = |group: Option<u32>| group.map(|group| group as usize);
        for (class, labels) in block.labels {
            self.images[*class as usize] += 1;
            if let Some(group) = group_at(labels.group) {
                self.images[classes + group] += 1;
            }
        }
        for (trial, counts) in chosen.iter().zip(self.chosen.chunks_exact_mut(classes + groups)) {
            trial.scores(heard, &said, &mut after);
            for (row, (class, labels)) in after.chunks_exact(classes).zip(block.labels) {
                let right = u32::from(is_highest(row, *class as usize));
                counts[*class as usize] += right;
                if let Some(group) = group_at(labels.group) {
                    counts[classes + group] += right;
                }
            }
        }
        for (trial, counts) in drawn.iter().zip(self.drawn.chunks_exact_mut(1 + groups)) {
            trial.scores(heard, &said, &mut after);
            for (row, (class, labels)) in after.chunks_exact(classes).zip(block.labels) {
                let right = u32::from(is_highest(row, *class as usize));
                counts[0] += right;
                if let Some(group) = group_at(labels.group) {
                    counts[1 + group] += right;
                }
            }
        }
    }

    fn join(mut self, other: Self) -> Self {
        let pairs =
            [(&mut self.images, other.images), (&mut self.chosen, other.chosen), (&mut self.drawn, other.drawn)];
        for (own, theirs) in pairs {
            own.iter_mut().zip(theirs).for_each(|(sum, count)| *sum += count);
        }
        self
    }

    /// Counts of a chosen trial.
    fn of_chosen(&self, trial: usize) -> Counts {
        let wide = self.shape.classes + self.shape.groups;
        let right = &self.chosen[trial * wide..][..wide];
        let count = |at: usize| Count { images: self.images[at].into(), right: right[at].into() };
        let classes: Vec<Count> = (0..self.shape.classes).map(count).collect();
        Counts {
            all: classes.iter().fold(Count::default(), |sum, one| Count {
                images: sum.images + one.images,
                right: sum.right + one.right,
            }),
            classes,
            groups: (self.shape.classes..wide).map(count).collect(),
        }
    }

    /// Counts of a drawn trial, without classes.
    fn of_drawn(&self, trial: usize) -> Counts {
        let wide = 1 + self.shape.groups;
        let right = &self.drawn[trial * wide..][..wide];
        let images = &self.images[..self.shape.classes];
        let group = |group: usize| Count {
            images: self.images[self.shape.classes + group].into(),
            right: right[1 + group].into(),
        };
        Counts {
            all: Count { images: images.iter().map(|count| u64::from(*count)).sum(), right: right[0].into() },
            classes: Vec::new(),
            groups: (0..self.shape.groups).map(group).collect(),
        }
    }
}

/// Counts of one trial.
struct Counts {
    all: Count,
    classes: Vec<Count>,
    groups: Vec<Count>,
}

/// Some of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Class(usize),
    Group(usize),
    WorstGroup,
}

impl Counts {
    /// The group with the lowest accuracy, of those that have images.
    fn worst(&self) -> Option<usize> {
        worst(&self.groups)
    }

    fn count(&self, scope: Scope) -> Count {
        match scope {
            Scope::All => self.all,
            Scope::Class(class) => self.classes[class],
            Scope::Group(group) => self.groups[group],
            Scope::WorstGroup => self.worst().map_or(Count::default(), |group| self.groups[group]),
        }
    }

    /// Scopes with images, with or without classes.
    fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        let groups = (0..self.groups.len()).map(Scope::Group);
        let worst = self.worst().map(|_group| Scope::WorstGroup);
        let all = std::iter::once(Scope::All).chain(worst).chain(groups);
        all.chain((0..self.classes.len()).map(Scope::Class)).filter(|scope| self.count(*scope).images > 0)
    }
}

fn rows(
    plan: &AblationPlan,
    images: &LabelledImages,
    heads: &[HeadId],
    drawn: &[Draws],
    tally: &Tally,
) -> Vec<AblatedRow> {
    let before = tally.of_chosen(0);
    let of_draws: Vec<Vec<Counts>> =
        drawn.iter().map(|draws| draws.places.clone().map(|trial| tally.of_drawn(trial)).collect()).collect();
    let row = |kind: &str, target: &str, replacement: Replacement, scope: Scope, of: &Counts| {
        let count = of.count(scope);
        let group = match scope {
            Scope::Group(group) => Some(group),
            Scope::WorstGroup => of.worst(),
            Scope::All | Scope::Class(_) => None,
        };
        let (ci_low, ci_high) = wilson(count.right, count.images);
        AblatedRow {
            kind: kind.to_owned(),
            target: target.to_owned(),
            replacement: replacement.to_string(),
            scope: scope_name(scope).to_owned(),
            class_id: if let Scope::Class(class) = scope { images.class_ids().get(class).cloned() } else { None },
            group: group.and_then(|group| images.groups().get(group).cloned()),
            n: count.images,
            accuracy_before: before.count(scope).share(),
            accuracy_after: count.share(),
            ci_low,
            ci_high,
            p: None,
        }
    };
    let mut found = Vec::new();
    for (at, target) in plan.targets.iter().enumerate() {
        let size = match &target.removed {
            Removed::Heads(own) if target.kind.has_draws() => own.len(),
            _ => heads.len(),
        };
        for (by, replacement) in plan.replacements.iter().enumerate() {
            let after = tally.of_chosen(1 + at * plan.replacements.len() + by);
            let random = drawn.iter().position(|draws| draws.size == size && draws.replacement == *replacement);
            found.extend(after.scopes().map(|scope| {
                let random = random.filter(|_| !matches!(scope, Scope::Class(_)));
                let shares = random.map(|random| shares(&of_draws[random], scope)).unwrap_or_default();
                let row = row(target.kind.name(), &target.name, *replacement, scope, &after);
                AblatedRow { p: p_value(row.accuracy_before, row.accuracy_after, &shares), ..row }
            }));
        }
    }
    for (draws, counts) in drawn.iter().zip(&of_draws) {
        let Some(first) = counts.first() else { continue };
        let target = format!("{} heads", draws.size);
        found.extend(first.scopes().map(|scope| {
            let mut shares = shares(counts, scope);
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            let (ci_low, ci_high) = percentiles(&mut shares, CONFIDENCE).unwrap_or((mean, mean));
            let row = row("random", &target, draws.replacement, scope, first);
            // The worst group is another one from draw to draw.
            let group = row.group.filter(|_| scope != Scope::WorstGroup);
            AblatedRow { group, accuracy_after: mean, ci_low, ci_high, ..row }
        }));
    }
    found
}

fn shares(draws: &[Counts], scope: Scope) -> Vec<f64> {
    draws.iter().map(|counts| counts.count(scope).share()).collect()
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "all",
        Scope::Class(_) => "class",
        Scope::Group(_) => "group",
        Scope::WorstGroup => "worst_group",
    }
}
