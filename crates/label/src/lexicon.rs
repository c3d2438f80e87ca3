//! Labels from the categories of a tagged pool: offline and deterministic.

use std::collections::BTreeMap;

use headspan_artifacts::{LabelRow, RunDirectory, Table, TextRow, TextspanRow, read_rows};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    LabelError, LabelRequest, LabelSettings, Labeller,
    heads::{HeadTexts, NO_TEXTS},
};

/// Name of the labeller in tables.
const NAME: &str = "lexicon";

/// How the lexicon decides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LexiconSettings {
    /// Texts of a head that count, `k`.
    pub texts: usize,
    /// How much each of them counts.
    pub weighting: Weighting,
    /// Share of the weight below which a label is reported as weak.
    pub minimum_agreement: f64,
}

/// How much a text of a head counts for its property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// By the variance that its pick removed.
    #[default]
    VarianceShare,
    /// Like every other.
    Equal,
    /// By the order of the picks: 1, 1/2, 1/3, …
    ReciprocalRank,
}

impl Weighting {
    /// Every weighting.
    pub const ALL: [Self; 3] = [Self::VarianceShare, Self::Equal, Self::ReciprocalRank];

    /// As it stands in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VarianceShare => "variance_share",
            Self::Equal => "equal",
            Self::ReciprocalRank => "reciprocal_rank",
        }
    }

    fn of(self, row: &TextspanRow) -> f64 {
        match self {
            Self::VarianceShare => row.variance_share,
            Self::Equal => 1.0,
            Self::ReciprocalRank => 1.0 / f64::from(row.pick + 1),
        }
    }
}

impl Default for LexiconSettings {
    fn default() -> Self {
        Self { texts: 5, weighting: Weighting::default(), minimum_agreement: 0.5 }
    }
}

/// Categories that cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CategoriesError {
    /// The pool is untagged and there is nothing to tag it by.
    #[error("the pool has no categories, and there are no category prompts to find them by")]
    NoPrompts,
    /// A prompt without a category.
    #[error("category prompt {text:?} has no category")]
    NoCategory {
        /// The prompt.
        text: String,
    },
    /// Embeddings of different models.
    #[error("text embeddings have length {texts}, category prompts {prompts}: they come from different models")]
    Length {
        /// Length of the texts' embeddings.
        texts: usize,
        /// Length of the prompts'.
        prompts: usize,
    },
}

/// Which category a text belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Categories {
    /// The pool says.
    Tagged,
    /// The nearest category by text index.
    Nearest(Vec<String>),
}

impl Categories {
    /// Categories of an untagged pool: of each text the category whose mean prompt embedding is nearest by cosine. Texts
    /// that are tagged keep their tag.
    pub fn from_embeddings(texts: &[TextRow], prompts: &[TextRow]) -> Result<Self, CategoriesError> {
        let mut means: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for prompt in prompts {
            let category =
                prompt.category.as_deref().ok_or_else(|| CategoriesError::NoCategory { text: prompt.text.clone() })?;
            let mean = means.entry(category).or_insert_with(|| vec![0.0; prompt.embedding.len()]);
            mean.iter_mut().zip(&prompt.embedding).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        if means.is_empty() {
            return Err(CategoriesError::NoPrompts);
        }
        for mean in means.values_mut() {
            let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
            for x in mean.iter_mut() {
                *x /= norm;
            }
        }
        let mut nearest = Vec::with_capacity(texts.len());
        for text in texts {
            if let Some(category) = &text.category {
                nearest.push(category.clone());
                continue;
            }
            let mut best = ("", f64::NEG_INFINITY);
            for (category, mean) in &means {
                if mean.len() != text.embedding.len() {
                    return Err(CategoriesError::Length { texts: text.embedding.len(), prompts: mean.len() });
                }
                let cosine: f64 = mean.iter().zip(&text.embedding).map(|(x, y)| x * f64::from(*y)).sum();
                if cosine > best.1 {
                    best = (category, cosine);
                }
            }
            nearest.push(best.0.to_owned());
        }
        Ok(Self::Nearest(nearest))
    }

    fn of<'a>(&'a self, row: &'a TextspanRow) -> Option<&'a str> {
        match self {
            Self::Tagged => row.category.as_deref(),
            Self::Nearest(nearest) => nearest.get(row.text_index as usize).map(String::as_str),
        }
    }
}

/// The offline labeller.
pub(crate) struct Lexicon;

impl Labeller for Lexicon {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Offline, by the categories of the pool"
    }

    fn slice(&self, settings: &LabelSettings) -> Value {
        let LexiconSettings { texts, weighting, minimum_agreement } = &settings.lexicon;
        json!({ "texts": texts, "weighting": weighting, "minimum_agreement": minimum_agreement })
    }

    fn files(&self, _settings: &LabelSettings) -> Result<BTreeMap<String, String>, LabelError> {
        Ok(BTreeMap::new())
    }

    fn judged_texts(&self, settings: &LabelSettings) -> Option<usize> {
        Some(settings.lexicon.texts)
    }

    fn label(&self, request: &LabelRequest<'_>) -> Result<Vec<LabelRow>, LabelError> {
        Ok(label(&request.heads()?, &categories(request.run)?, &request.settings.lexicon))
    }
}

/// The categories of a run's texts: those of a tagged pool, else by the category prompts of the run.
pub fn categories(run: &RunDirectory) -> Result<Categories, LabelError> {
    let texts: Vec<TextRow> = read_rows(&run.table(Table::Texts))?;
    if texts.iter().all(|text| text.category.is_some()) {
        return Ok(Categories::Tagged);
    }
    let prompts: Vec<TextRow> = read_rows(&run.table(Table::Categories))?;
    Ok(Categories::from_embeddings(&texts, &prompts)?)
}

/// Labels every head with the category that carries most of its first texts, weighted as the settings say; a text is
/// consistent when it is of that category. Ties go to the first by name and are said, as is low agreement.
pub fn label(heads: &[HeadTexts], categories: &Categories, settings: &LexiconSettings) -> Vec<LabelRow> {
    heads.iter().map(|head| label_head(head, categories, settings)).collect()
}

fn label_head(head: &HeadTexts, categories: &Categories, settings: &LexiconSettings) -> LabelRow {
    let texts = &head.texts[..head.texts.len().min(settings.texts)];
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for row in texts {
        if let Some(category) = categories.of(row) {
            *weights.entry(category).or_default() += settings.weighting.of(row);
        }
    }
    let total: f64 = weights.values().sum();
    let heaviest = weights.values().copied().fold(0.0, f64::max);
    // Sums of the same shares in another order differ by rounding; such categories are tied.
    let tied: Vec<&str> =
        weights.iter().filter(|(_, weight)| **weight >= heaviest * (1.0 - 1e-9)).map(|(name, _)| *name).collect();
    let property = tied.first().filter(|_| total > 0.0).copied();
    let agreement = property.map(|_| heaviest / total);
    let description = match (property, agreement) {
        (None, _) if texts.is_empty() => Some(NO_TEXTS.to_owned()),
        (None, _) => Some("none of the head's texts has a category".to_owned()),
        (Some(_), _) if tied.len() > 1 => Some(format!("tie of {}; the first by name is taken", tied.join(" and "))),
        (Some(_), Some(agreement)) if agreement < settings.minimum_agreement => {
            Some(format!("weak: only {:.0} % of the weight of the first texts", 100.0 * agreement))
        }
        _ => None,
    };
    LabelRow {
        layer: head.head.layer,
        head: head.head.head,
        labeller: NAME.to_owned(),
        property: property.map(str::to_owned),
        description,
        consistent: match property {
            Some(property) => texts.iter().map(|row| Some(categories.of(row) == Some(property))).collect(),
            None => Vec::new(),
        },
        agreement,
        prompt_sha256: None,
        llm_model: None,
        tokens_in: 0,
        tokens_out: 0,
    }
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::HeadId;

    use super::*;

    fn head(texts: &[(&str, f64)]) -> HeadTexts {
        let texts = texts
            .iter()
            .enumerate()
            .map(|(rank, (category, share))| TextspanRow {
                layer: 0,
                head: 0,
                pick: rank as u32,
                text_index: rank as u32,
                text: format!("text {rank}"),
                category: (!category.is_empty()).then(|| (*category).to_owned()),
                std: 1.0,
                variance_share: *share,
                cumulative_share: 0.0,
                effective_rank: Some(16),
            })
            .collect();
        HeadTexts { head: HeadId { layer: 0, head: 0 }, texts }
    }

    fn label_one(texts: &[(&str, f64)]) -> LabelRow {
        label_head(&head(texts), &Categories::Tagged, &LexiconSettings::default())
    }

    #[test]
    fn the_weight_decides_not_the_number() {
        let row = label_one(&[("animals", 0.5), ("colors", 0.1), ("colors", 0.1), ("colors", 0.1), ("food", 0.05)]);
        assert_eq!(row.property.as_deref(), Some("animals"));
        assert_eq!(row.consistent, [Some(true), Some(false), Some(false), Some(false), Some(false)]);
        assert!(row.agreement.is_some_and(|agreement| (agreement - 0.5 / 0.85).abs() < 1e-12));
    }

    #[test]
    fn the_weighting_can_change_the_label() {
        let texts = [("animals", 0.1), ("colors", 0.1), ("colors", 0.1), ("food", 0.6), ("art", 0.05)];
        let label = |weighting| {
            let settings = LexiconSettings { weighting, ..LexiconSettings::default() };
            label_head(&head(&texts), &Categories::Tagged, &settings).property
        };
        assert_eq!(label(Weighting::VarianceShare).as_deref(), Some("food"));
        assert_eq!(label(Weighting::Equal).as_deref(), Some("colors"));
        // 1 against 1/2 + 1/3.
        assert_eq!(label(Weighting::ReciprocalRank).as_deref(), Some("animals"));
    }

    #[test]
    fn only_the_first_texts_count() {
        let row = label_one(&[("a", 0.2), ("a", 0.1), ("a", 0.1), ("a", 0.1), ("a", 0.1), ("b", 0.9)]);
        assert_eq!(row.property.as_deref(), Some("a"));
        assert_eq!(row.consistent.len(), 5);
    }

    #[test]
    fn ties_and_weak_labels_are_said() {
        let tie = label_one(&[("b", 0.2), ("a", 0.2)]);
        assert_eq!(tie.property.as_deref(), Some("a"));
        assert!(tie.description.is_some_and(|text| text.contains("tie of a and b")));
        let weak = label_one(&[("a", 0.4), ("b", 0.3), ("c", 0.3)]);
        assert!(weak.description.is_some_and(|text| text.contains("40 %")));
        let none = label_one(&[("", 0.4)]);
        assert_eq!((none.property, none.consistent.len()), (None, 0));
    }

    #[test]
    fn untagged_texts_go_to_the_nearest_category() -> Result<(), CategoriesError> {
        let row = |text: &str, category: Option<&str>, embedding: [f32; 2]| TextRow {
            text_index: 0,
            text: text.to_owned(),
            category: category.map(str::to_owned),
            embedding: embedding.to_vec(),
        };
        let prompts = [row("p", Some("colors"), [1.0, 0.0]), row("q", Some("animals"), [0.0, 1.0])];
        let texts = [row("a red door", None, [0.9, 0.4]), row("a cat", None, [0.1, 0.9])];
        let categories = Categories::from_embeddings(&texts, &prompts)?;
        assert_eq!(categories, Categories::Nearest(vec!["colors".to_owned(), "animals".to_owned()]));
        Ok(())
    }
}
