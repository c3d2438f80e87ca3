//! What a run has under a name, and which heads an image excites.

use headspan_headspace::HeadId;
use serde::Serialize;

use crate::{carried::Carried, error::Result, model::ImageTrace, run::ExploreRun};

/// Things of a run whose names hold some words, in any case.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Found {
    /// Properties of the labels.
    pub properties: Vec<FoundProperty>,
    /// Texts that span heads, by the share of the variance that their pick removed, largest first.
    pub texts: Vec<FoundText>,
    /// Classes of the images.
    pub classes: Vec<FoundClass>,
}

/// A property and its heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundProperty {
    /// The property.
    pub property: String,
    /// Heads that are labelled with it.
    pub heads: Vec<HeadId>,
}

/// One of the texts that span a head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundText {
    /// The text.
    pub text: String,
    /// The head.
    pub head: HeadId,
    /// Its place among the head's texts, from 0.
    pub pick: usize,
    /// Share of the head's variance that the pick removed.
    pub variance_share: f64,
}

/// A class of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundClass {
    /// The class.
    pub class: String,
    /// Images of it.
    pub images: usize,
}

/// A head that carries a text, or that an image excites.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundHead {
    /// Its run.
    pub run: String,
    /// The head.
    pub head: HeadId,
    /// Its label's property.
    pub property: Option<String>,
    /// How much of the text it carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
    /// Distance of its contribution to the image from its mean, over the root mean square of that distance over all images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excited: Option<f64>,
}

impl FoundHead {
    /// All heads of a run by how much of a text they carry, most first.
    pub fn by_text(run: &ExploreRun, embedding: &[f32]) -> Result<Vec<Self>> {
        let found = |(head, carried)| Self { carried: Some(carried), ..Self::of(run, head) };
        Ok(run.heads_by_text(embedding)?.into_iter().map(found).collect())
    }

    /// All heads of a run by how much an image excites them, most first.
    pub fn by_image(run: &ExploreRun, trace: &ImageTrace) -> Result<Vec<Self>> {
        let found = |(head, excited)| Self { excited: Some(excited), ..Self::of(run, head) };
        Ok(run.heads_by_image(trace)?.into_iter().map(found).collect())
    }

    fn of(run: &ExploreRun, head: HeadId) -> Self {
        let property = run.label(head).and_then(|label| label.property.clone());
        Self { run: run.name(), head, property, carried: None, excited: None }
    }

    /// What heads of several runs are ranked by: variance along the text in units of a typical text's, or how much the image excites them.
    pub fn strength(&self) -> f64 {
        self.carried.map(|carried| carried.times).or(self.excited).unwrap_or(0.0)
    }

    /// The strongest of the heads of several runs.
    pub fn strongest(mut found: Vec<Self>, count: usize) -> Vec<Self> {
        found.sort_by(|one, two| two.strength().total_cmp(&one.strength()));
        found.truncate(count);
        found
    }

    /// Whether every head that was found by a text varies more along most other texts.
    pub fn are_noise(found: &[Self]) -> bool {
        found.iter().all(|head| head.carried.is_some_and(|carried| carried.is_noise()))
    }
}

impl ExploreRun {
    /// Properties, texts of heads and classes whose names hold `words`, at most `count` of each. Nothing holds no words.
    pub fn find(&self, words: &str, count: usize) -> Found {
        let words = words.trim().to_lowercase();
        if words.is_empty() {
            return Found::default();
        }
        let holds = |name: &str| name.to_lowercase().contains(&words);
        let properties = self.properties().iter().filter(|(name, _)| holds(name)).take(count);
        let properties = properties
            .map(|(name, heads)| FoundProperty { property: name.clone(), heads: heads.iter().copied().collect() });
        let mut texts: Vec<FoundText> = self
            .heads()
            .flat_map(|head| self.textspan(head).iter().enumerate().map(move |(pick, row)| (head, pick, row)))
            .filter(|(_, _, row)| holds(&row.text))
            .map(|(head, pick, row)| FoundText {
                text: row.text.clone(),
                head,
                pick,
                variance_share: row.variance_share,
            })
            .collect();
        texts.sort_by(|one, two| two.variance_share.total_cmp(&one.variance_share).then(one.head.cmp(&two.head)));
        texts.truncate(count);
        let classes = self.classes().iter().filter(|class| holds(class)).take(count);
        let images = |class: &str| self.images().iter().filter(|row| row.class_id.as_deref() == Some(class)).count();
        let classes = classes.map(|class| FoundClass { class: class.clone(), images: images(class) }).collect();
        Found { properties: properties.collect(), texts, classes }
    }

    /// All heads by how much an image excites them, most first: the distance of the head's contribution from its mean, over the root
    /// mean square of that distance over all images. From moments alone.
    pub fn heads_by_image(&self, trace: &ImageTrace) -> Result<Vec<(HeadId, f64)>> {
        let mut found = Vec::new();
        for (head, figures) in self.figures() {
            let (readout, moments, u) = (self.readout(*head)?, self.moments(*head)?, trace.u(*head)?);
            let left: Vec<f64> = u.as_slice().iter().zip(&moments.mean).map(|(u, mean)| f64::from(*u) - mean).collect();
            let along = |row: &[f32]| row.iter().zip(&left).map(|(b, x)| f64::from(*b) * x).sum::<f64>();
            let square: f64 = readout.rows().map(|row| along(row).powi(2)).sum();
            if figures.variance > 0.0 {
                found.push((*head, (square / figures.variance).sqrt()));
            }
        }
        found.sort_by(|one, two| two.1.total_cmp(&one.1).then(one.0.cmp(&two.0)));
        Ok(found)
    }
}
