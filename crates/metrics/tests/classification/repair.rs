//! Accuracy of the worst group without chosen heads, against dense contributions.

use std::collections::{BTreeMap, HashMap};

use headspan_artifacts::{ActivationBatch, PartReader, ReadoutRow, Table, read_rows};
use headspan_headspace::Readout;
use headspan_metrics::{Choice, Classifier, MadeCorrelation, RepairPlan, RepairRow, is_for_means, repair};

use super::*;

fn given(heads: &[usize]) -> Choice {
    Choice::Given { kind: "list", name: "list".to_owned(), heads: heads.iter().map(|head| HEADS[*head]).collect() }
}

fn plan(choices: Vec<Choice>, replacements: &[Replacement], permutations: usize) -> RepairPlan {
    RepairPlan { choices, replacements: replacements.to_vec(), permutations, seed: 0 }
}

fn find<'a>(rows: &'a [RepairRow], replacement: Replacement, scope: &str) -> Outcome<&'a RepairRow> {
    let same = |row: &&RepairRow| row.replacement == replacement.to_string() && row.scope == scope;
    Ok(rows.iter().find(same).ok_or("a row is missing")?)
}

/// Representations of unit norm and contributions of the four heads, dense.
struct Dense {
    unit: Vec<Vec<f64>>,
    heads: Vec<Vec<Vec<f64>>>,
}

impl Dense {
    fn read(case: &Case) -> Outcome<Self> {
        let readouts: Vec<ReadoutRow> = read_rows(&case.run.table(Table::Readout))?;
        let readouts: Vec<Readout> = readouts.into_iter().map(Readout::from).collect();
        let parts: Vec<PartReader> = case.run.parts_of(&case.images)?;
        let (mut unit, mut heads) = (Vec::new(), vec![Vec::new(); HEADS.len()]);
        for part in &parts {
            let batch: ActivationBatch = part.read(&HEADS, true)?;
            for row in 0..batch.len() {
                let scale = f64::from(batch.inv_norm[row]);
                unit.push(batch.representation[row * D..][..D].iter().map(|x| f64::from(*x) * scale).collect());
                for (head, readout) in readouts.iter().enumerate() {
                    let mut u = batch.heads[head][row * HEAD_DIM..][..HEAD_DIM].to_vec();
                    u.extend(batch.scalars(row).to_array());
                    let product = |row: &[f32]| row.iter().zip(&u).map(|(b, u)| f64::from(*b) * f64::from(*u)).sum();
                    heads[head].push(readout.rows().map(product).collect::<Vec<f64>>());
                }
            }
        }
        Ok(Self { unit, heads })
    }

    /// Representations after some heads are replaced, with means over some images.
    fn without(&self, removed: &[usize], replacement: Replacement, means_of: &[usize]) -> Vec<Vec<f64>> {
        let mut found = self.unit.clone();
        for head in removed {
            let own = &self.heads[*head];
            let mean = |at: usize| means_of.iter().map(|image| own[*image][at]).sum::<f64>() / means_of.len() as f64;
            for (row, c) in found.iter_mut().zip(own) {
                for at in 0..D {
                    row[at] += match replacement {
                        Replacement::Mean => mean(at) - c[at],
                        Replacement::Zero => -c[at],
                        Replacement::Scale(factor) => (factor - 1.0) * c[at],
                    };
                }
            }
        }
        found
    }
}

fn halves(case: &Case, seed: u64) -> (Vec<usize>, Vec<usize>) {
    (0..case.images.len()).partition(|image| is_for_means(&case.images[*image].image_id, seed))
}

fn class_of(case: &Case, image: usize) -> Outcome<usize> {
    let id = case.images[image].class_id.as_ref().ok_or("no class")?;
    Ok(id.trim_start_matches('c').parse()?)
}

/// The lowest accuracy of a group over some images, by what each is taken for.
fn worst(case: &Case, images: &[usize], taken_for: impl Fn(usize) -> usize) -> Outcome<f64> {
    let mut groups: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for image in images {
        let group = case.groups.get(&case.images[*image].image_id).ok_or("no group")?;
        let counts = groups.entry(group).or_default();
        counts[0] += 1;
        counts[1] += usize::from(taken_for(*image) == class_of(case, *image)?);
    }
    Ok(groups.values().map(|[all, right]| *right as f64 / *all as f64).fold(f64::INFINITY, f64::min))
}

fn nearest(row: &[f64], means: &[Vec<f64>]) -> usize {
    let distance = |mean: &Vec<f64>| row.iter().zip(mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>();
    (1..means.len()).fold(0, |best, at| if distance(&means[at]) < distance(&means[best]) { at } else { best })
}

fn told(case: &Case, row: &[f64]) -> usize {
    let score = |at: usize| row.iter().zip(&case.classes[at].embedding).map(|(x, e)| x * f64::from(*e)).sum::<f64>();
    (1..case.classes.len()).fold(0, |best, at| if score(at) > score(best) { at } else { best })
}

const REPLACEMENTS: [Replacement; 3] = [Replacement::Mean, Replacement::Zero, Replacement::Scale(0.5)];

#[test]
fn a_list_has_the_accuracies_of_its_ablation() -> Outcome {
    let case = Case::read()?;
    let ablated = case.ablate(vec![target(TargetKind::List, "list", &[0, 2])], &["mean", "zero"], 0)?;
    let how = Classifier::Zeroshot(case.classes.clone());
    let plan = plan(vec![given(&[0, 2])], &REPLACEMENTS[..2], 50);
    let found = repair(&case.run, &case.images, &case.labels()?, &how, &plan)?;
    let told: Vec<&AblatedRow> = ablated.iter().filter(|row| row.scope != "class").collect();
    assert_eq!(found.len(), told.len());
    for (own, row) in found.iter().zip(told) {
        assert_eq!((own.scope, &own.group, own.n), (row.scope.as_str(), &row.group, row.n));
        let bits = |before: f64, after: f64| [before, after].map(f64::to_bits);
        let (found, expected) =
            (bits(own.accuracy_before, own.accuracy_after), bits(row.accuracy_before, row.accuracy_after));
        assert_eq!(found, expected, "{own:?}");
        let (low, high) = own.random_low.zip(own.random_high).ok_or("no draws")?;
        assert!(own.random_mean.is_some_and(|mean| (low..=high).contains(&mean)));
        assert!(own.p.is_some_and(|p| p >= 1.0 / 51.0) && (own.p > Some(0.9) || own.accuracy_after > low));
    }
    Ok(())
}

/// A classifier that is learned anew without the heads is that of dense representations, whatever takes the heads' place.
#[test]
fn a_learned_classifier_is_that_of_dense_representations() -> Outcome {
    let case = Case::read()?;
    let (dense, (choice, test)) = (Dense::read(&case)?, halves(&case, 0));
    let agrees: HashMap<u64, bool> = (0..case.images.len()).map(|image| (image as u64, image % 3 == 0)).collect();
    let made = MadeCorrelation { share: 0.9, agrees: agrees.clone() };
    for correlation in [None, Some(made)] {
        let how = Classifier::Learned { correlation: correlation.clone() };
        let plan = plan(vec![given(&[1, 2])], &REPLACEMENTS, 0);
        let found = repair(&case.run, &case.images, &case.labels()?, &how, &plan)?;
        for replacement in REPLACEMENTS {
            let naive = |removed: &[usize]| -> Outcome<f64> {
                let rows = dense.without(removed, replacement, &choice);
                let mut means = vec![vec![0.0; D]; case.classes.len()];
                let mut totals = vec![0.0; case.classes.len()];
                for image in &choice {
                    let class = class_of(&case, *image)?;
                    let own = agrees[&(*image as u64)];
                    let mut size = 0.0;
                    for other in &choice {
                        let same = class_of(&case, *other)? == class && agrees[&(*other as u64)] == own;
                        size += f64::from(u8::from(same));
                    }
                    let weight = match (&correlation, own) {
                        (None, _) => 1.0,
                        (Some(made), true) => made.share / size,
                        (Some(made), false) => (1.0 - made.share) / size,
                    };
                    totals[class] += weight;
                    means[class].iter_mut().zip(&rows[*image]).for_each(|(sum, x)| *sum += weight * x);
                }
                for (mean, total) in means.iter_mut().zip(totals) {
                    for x in mean {
                        *x /= total;
                    }
                }
                worst(&case, &test, |image| nearest(&rows[image], &means))
            };
            let row = find(&found, replacement, "worst_group")?;
            let expected = [naive(&[])?, naive(&[1, 2])?];
            assert!((row.accuracy_before - expected[0]).abs() < 1e-12, "{row:?} {expected:?}");
            assert!((row.accuracy_after - expected[1]).abs() < 1e-12, "{row:?} {expected:?}");
        }
    }
    Ok(())
}

/// Over several halves, of which some have a head that raises the worst group.
#[test]
fn ablation_chooses_what_raises_the_worst_group_of_the_other_half() -> Outcome {
    let case = Case::read()?;
    let dense = Dense::read(&case)?;
    let how = Classifier::Zeroshot(case.classes.clone());
    let mut raised = 0;
    for (seed, replacement) in (0..6).flat_map(|seed| REPLACEMENTS.map(|replacement| (seed, replacement))) {
        let (choice, _) = halves(&case, seed);
        let labels = LabelledImages::new(&case.images, &case.classes, Some(&case.groups), seed)?;
        let plan = plan(vec![Choice::Ablation { most: 3 }], &[replacement], 0);
        let found = repair(&case.run, &case.images, &labels, &how, &plan)?;
        let row = find(&found, replacement, "worst_group")?;
        let value = |removed: &[usize]| {
            let rows = dense.without(removed, replacement, &choice);
            worst(&case, &choice, |image| told(&case, &rows[image]))
        };
        let best_with = |own: &[usize]| -> Outcome<f64> {
            let mut best = 0.0_f64;
            for other in (0..HEADS.len()).filter(|other| !own.contains(other)) {
                best = best.max(value(&own.iter().copied().chain([other]).collect::<Vec<_>>())?);
            }
            Ok(best)
        };
        let (mut own, mut before): (Vec<usize>, f64) = (Vec::new(), value(&[])?);
        for (head, after) in row.heads.iter().zip(row.values.as_ref().ok_or("no values")?) {
            assert!((best_with(&own)? - after).abs() < 1e-12, "{replacement}: another head is better than {head}");
            own.push(HEADS.iter().position(|own| own.to_string() == *head).ok_or("no such head")?);
            assert!((value(&own)? - after).abs() < 1e-12 && *after > before, "{row:?}");
            before = *after;
            raised += 1;
        }
        assert!(own.len() == 3 || best_with(&own)? <= before + 1e-12, "{replacement}: another head would raise it");
    }
    assert!(raised > 0, "no head was chosen at all");
    Ok(())
}

#[test]
fn a_text_chooses_the_heads_that_vary_along_it() -> Outcome {
    let case = Case::read()?;
    let (dense, (choice, _)) = (Dense::read(&case)?, halves(&case, 0));
    let directions = vec![case.classes[0].embedding.clone(), case.classes[1].embedding.clone()];
    let text = Choice::Text { name: "a cue".to_owned(), directions: directions.clone(), count: 4 };
    let how = Classifier::Zeroshot(case.classes.clone());
    let found = repair(&case.run, &case.images, &case.labels()?, &how, &plan(vec![text], &[Replacement::Mean], 10))?;
    let row = find(&found, Replacement::Mean, "all")?;
    let dot = |one: &[f64], other: &[f32]| one.iter().zip(other).map(|(x, t)| x * f64::from(*t)).sum::<f64>();
    let mut expected: Vec<(String, f64)> = HEADS
        .iter()
        .zip(&dense.heads)
        .map(|(head, own)| {
            let variance = |t: &Vec<f32>| {
                let scores: Vec<f64> = choice.iter().map(|image| dot(&own[*image], t)).collect();
                let mean = scores.iter().sum::<f64>() / scores.len() as f64;
                scores.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (scores.len() - 1) as f64
            };
            let length: f64 = directions.iter().flatten().map(|x| f64::from(*x).powi(2)).sum();
            (head.to_string(), (directions.iter().map(variance).sum::<f64>() / length).sqrt())
        })
        .collect();
    expected.sort_by(|one, other| other.1.total_cmp(&one.1));
    let values = row.values.as_ref().ok_or("no values")?;
    for ((head, value), (name, wanted)) in row.heads.iter().zip(values).zip(&expected) {
        assert_eq!(head, name);
        assert!((value / wanted - 1.0).abs() < 1e-4, "{head}: {value} {wanted}");
    }
    assert_eq!(row.p, None, "all heads have nothing to be compared with");
    Ok(())
}

#[test]
fn a_split_may_be_given_and_what_cannot_be_measured_is_refused() -> Outcome {
    let case = Case::read()?;
    let how = Classifier::Zeroshot(case.classes.clone());
    let plan = plan(vec![given(&[0])], &[Replacement::Mean], 0);
    // The first 40 images, of which those from 20 on give accuracy.
    let test: BTreeMap<String, bool> =
        case.images[..40].iter().enumerate().map(|(at, row)| (row.image_id.clone(), at >= 20)).collect();
    let labels = case.labels()?.with_test(&case.images, &test);
    let found = repair(&case.run, &case.images, &labels, &how, &plan)?;
    assert_eq!(find(&found, Replacement::Mean, "all")?.n, 20);
    let without = LabelledImages::new(&case.images, &case.classes, None, 0)?;
    let refused = repair(&case.run, &case.images, &without, &how, &plan);
    assert!(matches!(refused, Err(ClassificationError::NoGroups { .. })));
    let none = MadeCorrelation { share: 0.9, agrees: HashMap::new() };
    let learned = Classifier::Learned { correlation: Some(none) };
    let refused = repair(&case.run, &case.images, &case.labels()?, &learned, &plan);
    assert!(matches!(refused, Err(ClassificationError::NothingToLearn { class }) if class == "c0"));
    Ok(())
}
