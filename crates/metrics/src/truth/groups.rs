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

/// Accuracy of telling the object's side, by side of the object and of its surroundings: the groups of Waterbirds (arXiv
/// 1911.08731). The side of the highest scored value of the object's category is the answer.
pub fn group_accuracy(
    responses: &Responses,
    truth: &AttributeTable,
    object: &Sides<'_>,
    surroundings: &Sides<'_>,
    heads: &[usize],
) -> Result<Vec<GroupAccuracy>, TruthError> {
    let column = |sides: &Sides<'_>| -> Result<Vec<Option<String>>, TruthError> {
        let unknown = || TruthError::NoCategory { category: sides.category.to_owned() };
        let at = truth.categories().iter().position(|name| name == sides.category).ok_or_else(unknown)?;
        let values = truth.column(at, &responses.image_ids);
        Ok(values.into_iter().map(|value| (sides.side_of)(value?)).collect())
    };
    let (objects, grounds) = (column(object)?, column(surroundings)?);
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
    let mut groups: BTreeMap<(&str, &str), (usize, usize, usize)> = BTreeMap::new();
    for (image, (side, ground)) in objects.iter().zip(&grounds).enumerate() {
        let (Some(side), Some(ground)) = (side, ground) else { continue };
        let (images, right_before, right_after) = groups.entry((side, ground)).or_default();
        *images += 1;
        *right_before += usize::from(before[image].as_ref() == Some(side));
        *right_after += usize::from(after[image].as_ref() == Some(side));
    }
    let share = |right: usize, images: usize| right as f64 / images as f64;
    Ok(groups
        .into_iter()
        .map(|((object, surroundings), (images, right_before, right_after))| GroupAccuracy {
            object: object.to_owned(),
            surroundings: surroundings.to_owned(),
            images,
            before: share(right_before, images),
            after: share(right_after, images),
        })
        .collect())
}

fn best(row: &[f32], columns: &Range<usize>) -> usize {
    columns.clone().fold(columns.start, |best, at| if row[at] > row[best] { at } else { best })
}
