//! Zero-shot classification, ablation and reconstruction in head space against dense contributions in PyTorch
//! (`tools/reference/zeroshot.py golden`), and what must hold for any run.

use std::collections::BTreeMap;

use headspan_artifacts::{
    AblatedRow, ActivationBatch, ActivationShape, ClassRow, HeadId, ImageRow, ImageStatus, MomentsRow, PartWriter,
    ReadoutRow, RunDirectory, RunId, Table, TextRow, TextspanRow, write_rows,
};
use headspan_headspace::MomentSums;
use headspan_metrics::{
    AblationPlan, ClassificationError, LabelledImages, ReconstructionPlan, Removed, Replacement, Target, TargetKind,
    ablations, accuracies, predict, reconstructions,
};
use serde_json::Value;

#[path = "classification/repair.rs"]
mod repair;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const D: usize = 12;
const HEAD_DIM: usize = 5;
const HEADS: [HeadId; 4] = [
    HeadId { layer: 0, head: 0 },
    HeadId { layer: 0, head: 1 },
    HeadId { layer: 1, head: 0 },
    HeadId { layer: 1, head: 1 },
];
const FINGERPRINT: &str = "golden";
/// Images of the first part; the other has the rest.
const FIRST_PART: usize = 37;

/// The golden case as a run.
struct Case {
    _folder: tempfile::TempDir,
    run: RunDirectory,
    images: Vec<ImageRow>,
    classes: Vec<ClassRow>,
    groups: BTreeMap<String, String>,
    expected: Value,
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|x| x as f32).collect()
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    value.as_array().into_iter().flatten().map(numbers).collect()
}

impl Case {
    #[expect(clippy::too_many_lines, reason = "one line for each tensor of the golden case")]
    fn read() -> Outcome<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/classification.json");
        let case: Value = serde_json::from_slice(&fs_err::read(path)?)?;
        let folder = tempfile::tempdir()?;
        let run = RunDirectory::create(folder.path(), &RunId::new("golden", "dense")?)?;
        let labels: Vec<u64> = case["labels"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let ids = texts(&case["ids"]);
        let images: Vec<ImageRow> = ids
            .iter()
            .zip(&labels)
            .enumerate()
            .map(|(index, (id, label))| ImageRow {
                image_index: index as u64,
                image_id: id.clone(),
                class_id: Some(format!("c{label}")),
                class_index: None,
                width: 1,
                height: 1,
                status: ImageStatus::Ok,
                error: None,
            })
            .collect();
        let (z, scalars, representation) = (rows(&case["z"]), rows(&case["scalars"]), rows(&case["representation"]));
        let shape = ActivationShape { heads: HEADS.to_vec(), head_dim: HEAD_DIM, d: D };
        for (part, range) in [0..FIRST_PART, FIRST_PART..ids.len()].into_iter().enumerate() {
            let scalar = |at: usize| range.clone().map(|image| scalars[image][at]).collect::<Vec<f32>>();
            let head = |head: usize| {
                range.clone().flat_map(|image| z[image][head * HEAD_DIM..][..HEAD_DIM].to_vec()).collect()
            };
            let batch = ActivationBatch {
                image_index: range.clone().map(|image| image as u64).collect(),
                inv_scale: scalar(0),
                mean_scale: scalar(1),
                inv_norm: scalar(2),
                representation: range.clone().flat_map(|image| representation[image].clone()).collect(),
                heads: (0..HEADS.len()).map(head).collect(),
            };
            let mut writer = PartWriter::create(&run.part(part as u64), run.id(), FINGERPRINT, &shape)?;
            writer.write(batch)?;
            writer.commit()?;
        }
        let readouts = rows(&case["readout"]);
        let readout = |(head, matrix): (&HeadId, &Vec<f32>)| ReadoutRow {
            layer: head.layer,
            head: head.head,
            readout: matrix.clone(),
            d: D as u32,
            head_dim: HEAD_DIM as u32,
        };
        let moments = |(place, head): (usize, &HeadId)| {
            let mut sums = MomentSums::new(HEAD_DIM + 3);
            sums.add(ids.len(), |image, column| match column.checked_sub(HEAD_DIM) {
                None => z[image][place * HEAD_DIM + column],
                Some(scalar) => scalars[image][scalar],
            });
            MomentsRow::new(*head, sums.moments())
        };
        let text = |(index, embedding): (usize, Vec<f32>)| TextRow {
            text_index: index as u32,
            text: format!("text {index}"),
            category: None,
            embedding,
        };
        let class = |(index, embedding): (usize, Vec<f32>)| ClassRow {
            class_index: index as u32,
            class_id: format!("c{index}"),
            name: format!("class {index}"),
            embedding,
        };
        let mut spans = Vec::new();
        for (head, picks) in HEADS.iter().zip(rows(&case["picks"])) {
            spans.extend(picks.into_iter().enumerate().map(|(pick, text)| TextspanRow {
                layer: head.layer,
                head: head.head,
                pick: pick as u32,
                text_index: text as u32,
                text: format!("text {text}"),
                category: None,
                std: 1.0,
                variance_share: 0.0,
                cumulative_share: 0.0,
                effective_rank: Some(HEAD_DIM as u32 + 3),
            }));
        }
        let (id, path) = (run.id().clone(), |table: Table| run.table(table));
        write_rows(&path(Table::Images), &id, FINGERPRINT, &images)?;
        write_rows(
            &path(Table::Readout),
            &id,
            FINGERPRINT,
            &HEADS.iter().zip(&readouts).map(readout).collect::<Vec<_>>(),
        )?;
        write_rows(
            &path(Table::Moments),
            &id,
            FINGERPRINT,
            &HEADS.iter().enumerate().map(moments).collect::<Vec<_>>(),
        )?;
        write_rows(
            &path(Table::Texts),
            &id,
            FINGERPRINT,
            &rows(&case["texts"]).into_iter().enumerate().map(text).collect::<Vec<_>>(),
        )?;
        write_rows(&path(Table::Textspan), &id, FINGERPRINT, &spans)?;
        Ok(Self {
            groups: ids.into_iter().zip(texts(&case["groups"])).collect(),
            classes: rows(&case["classes"]).into_iter().enumerate().map(class).collect(),
            images,
            expected: case["expected"].clone(),
            run,
            _folder: folder,
        })
    }

    fn labels(&self) -> Result<LabelledImages, ClassificationError> {
        LabelledImages::new(&self.images, &self.classes, Some(&self.groups), 0)
    }

    fn ablate(&self, targets: Vec<Target>, replacements: &[&str], permutations: usize) -> Outcome<Vec<AblatedRow>> {
        let replacements = replacements.iter().map(|text| text.parse()).collect::<Result<Vec<Replacement>, _>>()?;
        let plan = AblationPlan { targets, replacements, permutations, seed: 0 };
        Ok(ablations(&self.run, &self.images, &self.classes, &self.labels()?, &plan)?)
    }
}

fn target(kind: TargetKind, name: &str, heads: &[usize]) -> Target {
    let removed = Removed::Heads(heads.iter().map(|head| HEADS[*head]).collect());
    Target { kind, name: name.to_owned(), removed }
}

/// The targets of the golden case.
fn targets() -> Vec<Target> {
    let mut all: Vec<Target> = (0..4).map(|head| target(TargetKind::Head, &HEADS[head].to_string(), &[head])).collect();
    all.push(target(TargetKind::Layers, "L0", &[0, 1]));
    all.push(target(TargetKind::Layers, "L0-L1", &[0, 1, 2, 3]));
    all.push(target(TargetKind::List, "list", &[0, 2]));
    all.push(Target { kind: TargetKind::Rest, name: "rest".to_owned(), removed: Removed::Rest });
    all
}

#[test]
fn predictions_are_those_of_pytorch() -> Outcome {
    let case = Case::read()?;
    let found = predict(&case.run, &case.images, &case.classes, &case.labels()?)?;
    let (predicted, margins, ranks) =
        (numbers(&case.expected["predicted"]), numbers(&case.expected["margin"]), numbers(&case.expected["rank"]));
    assert_eq!(found.len(), predicted.len());
    for (image, row) in found.iter().enumerate() {
        assert_eq!((row.image_index, row.predicted), (image as u64, predicted[image] as u32));
        assert_eq!(row.rank, Some(ranks[image] as u32), "image {image}");
        // Scores are sums of 12 products of float32 numbers of a few units; PyTorch has them in double precision.
        assert!((row.margin - margins[image]).abs() < 1e-5, "image {image}: {} {}", row.margin, margins[image]);
    }
    let all = accuracies(&found, &case.labels()?);
    let top1 = all.iter().find(|row| (row.metric, row.scope) == ("top1", "all")).ok_or("no accuracy")?;
    let right = ranks.iter().filter(|rank| **rank < 0.5).count();
    assert_eq!(top1.n, 60);
    assert!((top1.accuracy - right as f64 / 60.0).abs() < 1e-12);
    assert!(all.iter().all(|row| row.metric == "top1"), "top-5 of four classes is always right");
    let of_groups: u64 = all.iter().filter(|row| row.scope == "group").map(|row| row.n).sum();
    let of_classes: u64 = all.iter().filter(|row| row.scope == "class").map(|row| row.n).sum();
    assert_eq!((of_groups, of_classes), (60, 60));
    Ok(())
}

#[test]
fn accuracy_without_heads_is_that_of_pytorch() -> Outcome {
    let case = Case::read()?;
    let found = case.ablate(targets(), &["mean", "zero", "scale:0.5"], 0)?;
    let expected = case.expected["ablations"].as_array().ok_or("no ablations")?;
    assert_eq!(expected.len(), 96);
    for one in expected {
        let group = one["group"].as_str();
        let scope = if group.is_some() { "group" } else { "all" };
        let same = |row: &&AblatedRow| {
            Some(row.target.as_str()) == one["target"].as_str()
                && Some(row.replacement.as_str()) == one["replacement"].as_str()
                && (row.scope.as_str(), row.group.as_deref()) == (scope, group)
        };
        let row = found.iter().find(same).ok_or("a row is missing")?;
        assert_eq!(Some(row.n), one["n"].as_u64(), "{one}");
        for (figure, name) in [(row.accuracy_before, "before"), (row.accuracy_after, "after")] {
            assert!(
                one[name].as_f64().is_some_and(|expected| (figure - expected).abs() < 1e-12),
                "{name} {figure} {one}"
            );
        }
        assert!(row.ci_low <= row.accuracy_after && row.accuracy_after <= row.ci_high && row.p.is_none());
    }
    let worst = found.iter().find(|row| row.scope == "worst_group").ok_or("no worst group")?;
    let groups = |of: fn(&AblatedRow) -> f64| {
        let same = |row: &&AblatedRow| row.scope == "group" && row.target == worst.target && row.replacement == "mean";
        found.iter().filter(same).map(of).fold(f64::INFINITY, f64::min)
    };
    assert!((worst.accuracy_after - groups(|row| row.accuracy_after)).abs() < 1e-12);
    assert!((worst.accuracy_before - groups(|row| row.accuracy_before)).abs() < 1e-12);
    Ok(())
}

/// A factor of 1 changes nothing, a factor of 0 is nothing, and classes add up to all.
#[test]
fn replacements_agree_with_each_other() -> Outcome {
    let case = Case::read()?;
    let found = case.ablate(targets(), &["zero", "scale:0", "scale:1"], 0)?;
    let of = |replacement: &str| found.iter().filter(|row| row.replacement == replacement).collect::<Vec<_>>();
    for (zero, scaled) in of("zero").into_iter().zip(of("scale:0")) {
        assert_eq!(AblatedRow { replacement: "zero".to_owned(), ..scaled.clone() }, *zero);
    }
    for row in of("scale:1") {
        assert!((row.accuracy_after - row.accuracy_before).abs() < 1e-12, "{row:?}");
    }
    let first = |scope: &str| {
        let same = move |row: &&&AblatedRow| row.scope == scope && row.target == "L0.H0" && row.replacement == "zero";
        let found: Vec<&AblatedRow> = found.iter().collect();
        found.iter().filter(same).map(|row| row.accuracy_after * row.n as f64).sum::<f64>()
    };
    assert!((first("class") - first("all")).abs() < 1e-9, "{} {}", first("class"), first("all"));
    Ok(())
}

/// Sets of one head drawn from four are single heads, whose accuracies are known; so is how often a draw changes as much.
#[test]
fn random_sets_are_drawn_from_the_heads() -> Outcome {
    const DRAWS: usize = 400;
    let case = Case::read()?;
    let mut all = targets();
    all.push(target(TargetKind::Property, "one", &[0]));
    let found = case.ablate(all, &["mean"], DRAWS)?;
    let of = |kind: &str, target: &str| {
        let same = |row: &&AblatedRow| row.kind == kind && row.target == target && row.scope == "all";
        found.iter().find(same).ok_or("a row is missing")
    };
    let heads: Vec<f64> =
        HEADS.iter().map(|head| Ok(of("head", &head.to_string())?.accuracy_after)).collect::<Outcome<_>>()?;
    let random = of("random", "1 heads")?;
    let mean = heads.iter().sum::<f64>() / 4.0;
    // The mean of 400 draws of four values that are 0.4 apart at most: five of its standard deviations are below 0.06.
    assert!((random.accuracy_after - mean).abs() < 0.06, "{} {mean}", random.accuracy_after);
    let before = random.accuracy_before;
    let as_large = heads.iter().filter(|after| (*after - before).abs() >= (heads[0] - before).abs() - 1e-12).count();
    let expected = as_large as f64 / 4.0;
    let p = of("property", "one")?.p.ok_or("no p")?;
    // Five standard deviations of a share of 400 draws.
    assert!((p - expected).abs() < 5.0 * (0.25 / DRAWS as f64).sqrt() + 1.0 / DRAWS as f64, "{p} {expected}");
    assert!(of("list", "list")?.p.is_some() && of("layers", "L0")?.p.is_none());
    Ok(())
}

#[test]
fn reconstruction_is_that_of_pytorch() -> Outcome {
    let case = Case::read()?;
    let plan = ReconstructionPlan { directions: vec![0, 1, 2, 5, 8, 24], draws: 3, seed: 0 };
    let found = reconstructions(&case.run, &case.images, &case.classes, &case.labels()?, &plan)?;
    let of = |directions: &str, k: Option<u32>| {
        found.iter().find(|row| row.directions == directions && row.k == k).ok_or("a row is missing")
    };
    for one in case.expected["reconstruction"].as_array().ok_or("nothing expected")? {
        let name = one["directions"].as_str().unwrap_or_default();
        let row = of(name, one["k"].as_u64().map(|k| k as u32))?;
        assert_eq!(Some(row.n), one["n"].as_u64());
        assert!(one["accuracy"].as_f64().is_some_and(|own| (row.accuracy - own).abs() < 1e-12), "{row:?} {one}");
    }
    // As many directions as the head has are all of it, whatever they are called; none are its mean.
    let all = of("all", None)?.accuracy;
    for (directions, k) in [("pca", 8), ("random", 24)] {
        assert!((of(directions, Some(k))?.accuracy - all).abs() < 1e-12, "{directions}");
        assert!(of(directions, Some(k))?.kept.is_some_and(|kept| (kept - 1.0).abs() < 1e-12));
    }
    let none = of("texts", Some(0))?.accuracy;
    assert!(
        ["pca", "random"].iter().all(|name| of(name, Some(0)).is_ok_and(|row| (row.accuracy - none).abs() < 1e-12))
    );
    Ok(())
}

#[test]
fn what_cannot_be_measured_is_refused() -> Outcome {
    let case = Case::read()?;
    let labels = case.labels()?;
    let one = predict(&case.run, &case.images, &case.classes[..1], &labels);
    assert!(matches!(one, Err(ClassificationError::FewClasses { classes: 1 })));
    let mut others = case.classes.clone();
    for class in &mut others {
        class.embedding.push(0.0);
    }
    let other = predict(&case.run, &case.images, &others, &labels);
    assert!(matches!(other, Err(ClassificationError::OtherEmbedding { found: 13, expected: 12 })));
    let mut renamed = case.classes.clone();
    for class in &mut renamed {
        class.class_id.push('x');
    }
    let strange = LabelledImages::new(&case.images, &renamed, None, 0);
    assert!(matches!(strange, Err(ClassificationError::NoLabels { images: 60, classes: 4 })));
    let groups = BTreeMap::from([("elsewhere.png".to_owned(), "g".to_owned())]);
    let grouped = LabelledImages::new(&case.images, &case.classes, Some(&groups), 0);
    assert!(matches!(grouped, Err(ClassificationError::NoGroups { images: 60 })));
    let few = LabelledImages::new(&case.images[..1], &case.classes, None, 0)?;
    let plan = AblationPlan { targets: targets(), replacements: vec![Replacement::Mean], permutations: 0, seed: 0 };
    let halves = ablations(&case.run, &case.images, &case.classes, &few, &plan);
    assert!(matches!(halves, Err(ClassificationError::OneHalf { images: 1 })));
    Ok(())
}
