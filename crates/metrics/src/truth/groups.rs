use std::{collections::BTreeMap, ops::Range};

use crate::truth::{AttributeTable, Responses, TruthError};

/// Accuracy in one group of images, before and after heads were replaced by their means.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupAccuracy {
    /// Side of the object.
    pub object: String,
    /// Side of its surroundings.
    pub surroundings: String,
    /// Images of the group.
    pub images: usize,
    /// Accuracy of the whole model.
    pub before: f64,
    /// Accuracy without the heads.
    pub after: f64,
}

/// A category whose values lie on sides: kinds at home on water or on land, backgrounds of water or of land.
pub struct Sides<'a> {
    /// The category.
    pub category: &'a str,
    /// Side of a value.
    pub side_of: &'a dyn Fn(&str) -> Option<String>,
}

/// Images by the sides of their object and of its surroundings.
pub(super) struct Grouped {
    objects: Vec<Option<String>>,
    grounds: Vec<Option<String>>,
}

impl Grouped {
    pub(super) fn new(
        responses: &Responses,
        truth: &AttributeTable,
        object: &Sides<'_>,
        surroundings: &Sides<'_>,
    ) -> Result<Self, TruthError> {
        let column = |sides: &Sides<'_>| -> Result<Vec<Option<String>>, TruthError> {
            let unknown = || TruthError::NoCategory { category: sides.category.to_owned() };
            let at = truth.categories().iter().position(|name| name == sides.category).ok_or_else(unknown)?;
            let values = truth.column(at, &responses.image_ids);
            Ok(values.into_iter().map(|value| (sides.side_of)(value?)).collect())
        };
        Ok(Self { objects: column(object)?, grounds: column(surroundings)? })
    }

    /// Sides of an image's object and surroundings.
    pub(super) fn group(&self, image: usize) -> Option<(&str, &str)> {
        Some((self.objects[image].as_deref()?, self.grounds[image].as_deref()?))
    }

    /// Images of which both are known.
    pub(super) fn known(&self) -> impl Iterator<Item = usize> {
        (0..self.objects.len()).filter(|image| self.group(*image).is_some())
    }

    /// Accuracy of two sets of answers about some images, by group.
    pub(super) fn accuracy(
        &self,
        images: impl Iterator<Item = usize>,
        before: impl Fn(usize) -> Option<String>,
        after: impl Fn(usize) -> Option<String>,
    ) -> Vec<GroupAccuracy> {
        let mut groups: BTreeMap<(&str, &str), [usize; 3]> = BTreeMap::new();
        for image in images {
            let Some(group) = self.group(image) else { continue };
            let right = |answer: Option<String>| usize::from(answer.as_deref() == Some(group.0));
            let counts = groups.entry(group).or_default();
            counts[0] += 1;
            counts[1] += right(before(image));
            counts[2] += right(after(image));
        }
        let share = |right: usize, images: usize| right as f64 / images as f64;
        groups
            .into_iter()
            .map(|((object, surroundings), [images, before, after])| GroupAccuracy {
                object: object.to_owned(),
                surroundings: surroundings.to_owned(),
                images,
                before: share(before, images),
                after: share(after, images),
            })
            .collect()
    }
}

/// The smallest of the groups' accuracies.
pub(super) fn worst(groups: &[GroupAccuracy], accuracy: fn(&GroupAccuracy) -> f64) -> f64 {
    groups.iter().map(accuracy).fold(f64::INFINITY, f64::min)
}

/// Accuracy of telling the object's side, by side of the object and of its surroundings: the groups of Waterbirds (arXiv
/// 1911.08731). The side of the highest scored value of the object's category is the answer.
pub fn group_accuracy(
    responses: &Responses,
    truth: &AttributeTable,
    object: &Sides<'_>,
    surroundings: &Sides<'_>,
    heads: &[usize],
) -> Result<Vec<GroupAccuracy>, TruthError> {
    let grouped = Grouped::new(responses, truth, object, surroundings)?;
    let columns = responses
        .categories()
        .into_iter()
        .find_map(|(category, columns)| (category == object.category).then_some(columns))
        .ok_or_else(|| TruthError::NoCategory { category: object.category.to_owned() })?;
    let answers = |scores: &[f32]| -> Vec<Option<String>> {
        let classes = responses.classes.len();
        scores.chunks_exact(classes).map(|row| (object.side_of)(&responses.classes[best(row, &columns)].1)).collect()
    };
    let (before, after) = (answers(&responses.scores), answers(&responses.without(heads)));
    Ok(grouped.accuracy(grouped.known(), |image| before[image].clone(), |image| after[image].clone()))
}

fn best(row: &[f32], columns: &Range<usize>) -> usize {
    columns.clone().fold(columns.start, |best, at| if row[at] > row[best] { at } else { best })
}
