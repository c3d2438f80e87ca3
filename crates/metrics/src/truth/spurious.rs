use std::collections::BTreeMap;

use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;

use crate::truth::{
    AttributeTable, GroupAccuracy, Responses, Sides, TruthError,
    groups::{Grouped, worst},
};

/// How the correlation is made and what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpuriousSettings {
    /// Share of training images, by weight, whose surroundings are of the object's own side; 0.95 in Waterbirds.
    pub correlation: f64,
    /// Random sets of as many heads.
    pub draws: usize,
    /// Seed of the sets.
    pub seed: u64,
}

impl Default for SpuriousSettings {
    fn default() -> Self {
        Self { correlation: 0.95, draws: 200, seed: 0 }
    }
}

/// What a classifier that was trained on a spurious correlation does, before and after heads are replaced by their means.
#[derive(Debug, Clone, PartialEq)]
pub struct SpuriousCorrelation {
    /// Accuracy on images that training did not see, by group.
    pub groups: Vec<GroupAccuracy>,
    /// Mean accuracy of the worst group without as many random heads.
    pub random_worst: f64,
    /// Images that it was trained on.
    pub trained: usize,
}

/// The repair of arXiv 2310.05916, section 4.3, with a correlation made in the data: every other image trains a nearest-mean
/// classifier of the object's side on the responses, weighted so that `correlation` of the weight has surroundings of the
/// object's own side; the others, unweighted, are told apart. Heads are replaced by their means in training and test.
pub fn spurious_correlation(
    responses: &Responses,
    truth: &AttributeTable,
    object: &Sides<'_>,
    surroundings: &Sides<'_>,
    heads: &[usize],
    settings: &SpuriousSettings,
) -> Result<SpuriousCorrelation, TruthError> {
    let grouped = Grouped::new(responses, truth, object, surroundings)?;
    let known: Vec<usize> = grouped.known().collect();
    let (training, test): (Vec<usize>, Vec<usize>) = known.iter().partition(|image| *image % 2 == 0);
    let classes = responses.classes.len();
    let answers = |scores: &[f32]| told_apart(scores, classes, &grouped, &training, settings.correlation);
    let before = answers(&responses.scores);
    let groups = |without: &[usize]| {
        let after = answers(&responses.without(without));
        grouped.accuracy(test.iter().copied(), |image| before[image].clone(), |image| after[image].clone())
    };
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let count = responses.heads.len();
    let sum: f64 = (0..settings.draws)
        .map(|_| worst(&groups(&sample(&mut random, count, heads.len().min(count)).into_vec()), |group| group.after))
        .sum();
    let random_worst = sum / settings.draws.max(1) as f64;
    Ok(SpuriousCorrelation { groups: groups(heads), random_worst, trained: training.len() })
}

/// The side of every image by the nearer of the sides' weighted means; none where there is but one side to learn.
fn told_apart(
    scores: &[f32],
    classes: usize,
    grouped: &Grouped,
    training: &[usize],
    correlation: f64,
) -> Vec<Option<String>> {
    let known = || training.iter().filter_map(|image| Some((*image, grouped.group(*image)?)));
    let mut sizes: BTreeMap<(&str, bool), f64> = BTreeMap::new();
    for (_, (object, ground)) in known() {
        *sizes.entry((object, object == ground)).or_default() += 1.0;
    }
    let mut means: BTreeMap<&str, (f64, Vec<f64>)> = BTreeMap::new();
    for (image, (object, ground)) in known() {
        // Of each side's weight `correlation` goes to its own surroundings, however many images those are.
        let share = if object == ground { correlation } else { 1.0 - correlation };
        let weight = share / sizes[&(object, object == ground)];
        let (total, sum) = means.entry(object).or_insert_with(|| (0.0, vec![0.0; classes]));
        *total += weight;
        for (sum, score) in sum.iter_mut().zip(&scores[image * classes..][..classes]) {
            *sum += weight * f64::from(*score);
        }
    }
    let means: Vec<(&str, Vec<f64>)> = means
        .into_iter()
        .filter(|(_, (total, _))| *total > 0.0)
        .map(|(side, (total, sum))| (side, sum.into_iter().map(|value| value / total).collect()))
        .collect();
    let distance = |row: &[f32], mean: &[f64]| -> f64 {
        row.iter().zip(mean).map(|(score, mean)| (f64::from(*score) - mean).powi(2)).sum()
    };
    let nearest = |row: &[f32]| {
        let by_distance = |one: &&(&str, Vec<f64>), other: &&(&str, Vec<f64>)| {
            distance(row, &one.1).total_cmp(&distance(row, &other.1))
        };
        if means.len() < 2 { None } else { means.iter().min_by(by_distance).map(|(side, _)| (*side).to_owned()) }
    };
    scores.chunks_exact(classes).map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray};
    use headspan_artifacts::{HeadId, parquet_bytes, write_atomic};

    use super::*;

    /// Responses to two values: one that the object moves by 1, one that its surroundings move by 3 through the only head.
    fn world() -> Result<(Responses, tempfile::TempDir, AttributeTable), Box<dyn std::error::Error>> {
        let side = |of: usize| if of == 0 { "water" } else { "land" };
        let (mut scores, mut change, mut ids, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // Eight images of each group in turn, so that every other image has all groups.
        for image in 0..64_usize {
            let (object, ground) = (image / 2 % 2, image / 4 % 2);
            let sign = |of: usize| if of == 0 { -1.0_f32 } else { 1.0 };
            scores.extend([sign(object), 3.0 * sign(ground)]);
            change.extend([0.0, -3.0 * sign(ground)]);
            ids.push(format!("{image}"));
            rows.push((format!("{image}"), side(object), side(ground)));
        }
        let responses = Responses {
            image_ids: ids,
            classes: vec![("kind".to_owned(), "boat".to_owned()), ("ground".to_owned(), "sea".to_owned())],
            heads: vec![HeadId { layer: 0, head: 0 }, HeadId { layer: 0, head: 1 }],
            scores,
            changes: vec![change, vec![0.0; 128]],
        };
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("truth.parquet");
        let column = |of: fn(&(String, &'static str, &'static str)) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
        };
        let columns = vec![
            ("image_id", column(|row| row.0.clone())),
            ("kind", column(|row| row.1.to_owned())),
            ("ground", column(|row| row.2.to_owned())),
        ];
        write_atomic(&path, &parquet_bytes(columns)?)?;
        let truth = AttributeTable::read(&path, &["kind", "ground"])?;
        Ok((responses, folder, truth))
    }

    #[test]
    fn a_classifier_that_learned_the_surroundings_is_repaired() -> Result<(), Box<dyn std::error::Error>> {
        let (responses, _folder, truth) = world()?;
        let same = |value: &str| Some(value.to_owned());
        let sides = |category: &'static str| Sides { category, side_of: &same };
        let settings = SpuriousSettings::default();
        let found = spurious_correlation(&responses, &truth, &sides("kind"), &sides("ground"), &[0], &settings)?;
        assert_eq!((found.groups.len(), found.trained), (4, 32));
        for group in &found.groups {
            let at_home = group.object == group.surroundings;
            assert!((group.before - f64::from(u8::from(at_home))).abs() < 1e-12, "{group:?}");
            assert!((group.after - 1.0).abs() < 1e-12, "{group:?}");
        }
        // One of the two heads repairs it, the other does nothing.
        assert!(found.random_worst > 0.3 && found.random_worst < 0.7, "{}", found.random_worst);

        let none = SpuriousSettings { correlation: 0.5, ..settings };
        let found = spurious_correlation(&responses, &truth, &sides("kind"), &sides("ground"), &[0], &none)?;
        assert!(found.groups.iter().all(|group| group.before > 0.99), "nothing spurious to learn: {:?}", found.groups);
        Ok(())
    }
}
