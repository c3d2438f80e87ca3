use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{LabelRow, MetricRow};

use crate::{
    association::{HeadConsistency, JudgedHead, associated_heads, dissent, mean_consistency},
    bootstrap::{interval, interval_of_judges, null},
    concepts::{ccr, ccs_at},
    entanglement::{pairwise, repeated, repeated_prefix, shared_heads},
    fold::Synonyms,
    settings::Settings,
};

/// How often each property occurs, over one or several models: what the null of entanglement draws from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyFrequencies {
    counts: BTreeMap<String, u64>,
}

impl PropertyFrequencies {
    /// Counts the folded properties of labelled heads.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a LabelRow>, synonyms: &Synonyms) -> Self {
        let mut counts = BTreeMap::new();
        for property in labels.into_iter().filter_map(|row| row.property.as_deref()) {
            *counts.entry(synonyms.fold(property)).or_default() += 1;
        }
        Self { counts }
    }

    /// One number per occurrence, equal for equal properties.
    fn draws(&self) -> Vec<u32> {
        self.counts
            .values()
            .enumerate()
            .flat_map(|(number, count)| std::iter::repeat_n(number as u32, *count as usize))
            .collect()
    }
}

/// A labelled head, ready to be counted.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    layer: u32,
    index: u32,
    property: String,
    consistency: Option<HeadConsistency>,
    /// The same by the other labellers, where they judged the texts against the same property.
    others: Vec<Option<HeadConsistency>>,
    dissent: f64,
}

/// Scores the labels of one model by each of its labellers. Heads without a property are counted under `heads` and left out
/// of everything else; a figure that nothing defines has no value. Where several labellers judged the texts of a head against the same property, the
/// interval of association holds their disagreement.
pub fn score(
    labels: &[LabelRow],
    pooled: &PropertyFrequencies,
    settings: &Settings,
    synonyms: &Synonyms,
) -> Vec<MetricRow> {
    let labellers: BTreeSet<&str> = labels.iter().map(|row| row.labeller.as_str()).collect();
    labellers.into_iter().flat_map(|labeller| score_labeller(labeller, labels, pooled, settings, synonyms)).collect()
}

/// Null of entanglement for one model's labels of one labeller and for each of its layers, drawn from `pooled`: the rows
/// `…_null_mean`, `…_null_std` and `…_z`.
pub(crate) fn pooled_null(
    labeller: &str,
    rows: &[&LabelRow],
    pooled: &PropertyFrequencies,
    settings: &Settings,
    synonyms: &Synonyms,
) -> Vec<MetricRow> {
    let mut sheet = Sheet { labeller, settings, rows: Vec::new() };
    let heads = labelled_heads(rows, settings, synonyms);
    sheet.null(&Scope::default(), pooled, &heads);
    for (scope, heads) in by_layer(&heads) {
        sheet.null(&scope, pooled, &heads);
    }
    sheet.rows
}

/// Labelled heads of each layer.
fn by_layer(heads: &[Head]) -> Vec<(Scope, Vec<Head>)> {
    let mut layers: BTreeMap<u32, Vec<Head>> = BTreeMap::new();
    for head in heads {
        layers.entry(head.layer).or_default().push(head.clone());
    }
    let scope = |layer| Scope { layer: Some(layer), ..Scope::default() };
    layers.into_iter().map(|(layer, heads)| (scope(layer), heads)).collect()
}

/// Labelled heads of one labeller, without the judgements of others.
pub(crate) fn labelled_heads(rows: &[&LabelRow], settings: &Settings, synonyms: &Synonyms) -> Vec<Head> {
    rows.iter()
        .filter_map(|row| {
            Some(Head {
                layer: row.layer,
                index: row.head,
                property: synonyms.fold(row.property.as_deref()?),
                consistency: HeadConsistency::of(row, settings.texts),
                others: Vec::new(),
                dissent: dissent(row),
            })
        })
        .collect()
}

/// Adds what the other labellers say of the heads' texts, each that judged at least one of these heads against the same property.
pub(crate) fn add_judges(
    heads: &mut [Head],
    labeller: &str,
    labels: &[LabelRow],
    settings: &Settings,
    synonyms: &Synonyms,
) {
    let mut judges: BTreeMap<&str, BTreeMap<(u32, u32, String), HeadConsistency>> = BTreeMap::new();
    for row in labels.iter().filter(|row| row.labeller != labeller) {
        if let (Some(property), Some(judged)) = (&row.property, HeadConsistency::of(row, settings.texts)) {
            let at = (row.layer, row.head, synonyms.fold(property));
            judges.entry(&row.labeller).or_default().insert(at, judged);
        }
    }
    for judged in judges.values() {
        let by = |head: &Head| judged.get(&(head.layer, head.index, head.property.clone())).copied();
        if heads.iter().any(|head| by(head).is_some()) {
            for head in &mut *heads {
                let judged = by(head);
                head.others.push(judged);
            }
        }
    }
}

/// Scores the labels of one labeller; the others in `labels` count as judges of the same texts.
pub fn score_labeller(
    labeller: &str,
    labels: &[LabelRow],
    pooled: &PropertyFrequencies,
    settings: &Settings,
    synonyms: &Synonyms,
) -> Vec<MetricRow> {
    let mut rows: Vec<&LabelRow> = labels.iter().filter(|row| row.labeller == labeller).collect();
    rows.sort_by_key(|row| (row.layer, row.head));
    let mut heads = labelled_heads(&rows, settings, synonyms);
    add_judges(&mut heads, labeller, labels, settings, synonyms);
    let mut sheet = Sheet { labeller, settings, rows: Vec::new() };
    let model = Scope::default();
    let distinct = heads.iter().map(|head| &head.property).collect::<BTreeSet<_>>().len();
    sheet.plain(&model, "heads", Some(rows.len() as f64), rows.len());
    sheet.plain(&model, "labelled_heads", Some(heads.len() as f64), rows.len());
    sheet.plain(&model, "distinct_properties", Some(distinct as f64), heads.len());
    sheet.entanglement(&model, &heads);
    let spelt: Vec<String> = rows.iter().filter_map(|row| Some(row.property.as_ref()?.to_lowercase())).collect();
    sheet.plain(&model, "entanglement_repeated_prefix", repeated_prefix(&spelt), spelt.len());
    sheet.null(&model, pooled, &heads);
    sheet.association(&model, &heads);
    sheet.concepts(&model, &heads);
    for (scope, of_layer) in by_layer(&heads) {
        sheet.entanglement(&scope, &of_layer);
        sheet.null(&scope, pooled, &of_layer);
        sheet.association(&scope, &of_layer);
        sheet.concepts(&scope, &of_layer);
    }
    for property in heads.iter().map(|head| head.property.clone()).collect::<BTreeSet<_>>() {
        let of_property: Vec<Head> = heads.iter().filter(|head| head.property == property).cloned().collect();
        let scope = Scope { property: Some(property), ..Scope::default() };
        sheet.plain(&scope, "heads", Some(of_property.len() as f64), of_property.len());
        sheet.association(&scope, &of_property);
    }
    for head in &heads {
        let scope = Scope { layer: Some(head.layer), head: Some(head.index), property: Some(head.property.clone()) };
        let judged = head.consistency.map_or(0, |consistency| consistency.judged);
        sheet.plain(&scope, "ccs", head.consistency.map(|consistency| consistency.consistent as f64), judged);
        sheet.plain(&scope, "association_mean_consistency", head.consistency.map(HeadConsistency::share), judged);
    }
    sheet.rows
}

/// Whom a figure is about.
#[derive(Debug, Clone, Default)]
struct Scope {
    layer: Option<u32>,
    head: Option<u32>,
    property: Option<String>,
}

impl Scope {
    fn name(&self) -> &'static str {
        match (self.layer, self.head, &self.property) {
            (_, Some(_), _) => "head",
            (Some(_), None, _) => "layer",
            (None, None, Some(_)) => "property",
            (None, None, None) => "model",
        }
    }
}

/// Rows while they are collected.
struct Sheet<'a> {
    labeller: &'a str,
    settings: &'a Settings,
    rows: Vec<MetricRow>,
}

impl Sheet<'_> {
    fn plain(&mut self, scope: &Scope, metric: &str, value: Option<f64>, n: usize) {
        self.push(scope, metric, value, None, n);
    }

    fn push(&mut self, scope: &Scope, metric: &str, value: Option<f64>, ci: Option<(f64, f64)>, n: usize) {
        // A figure without a value has no interval either.
        let ci = value.and(ci);
        self.rows.push(MetricRow {
            labeller: self.labeller.to_owned(),
            metric: metric.to_owned(),
            scope: scope.name().to_owned(),
            layer: scope.layer,
            head: scope.head,
            property: scope.property.clone(),
            value,
            ci_low: ci.map(|ci| ci.0),
            ci_high: ci.map(|ci| ci.1),
            n: n as u64,
        });
    }

    fn entanglement(&mut self, scope: &Scope, heads: &[Head]) {
        let properties: Vec<&str> = heads.iter().map(|head| head.property.as_str()).collect();
        for (metric, figure) in ENTANGLEMENT {
            let ci = interval(&properties, self.settings, figure.strings);
            self.push(scope, metric, (figure.strings)(&properties), ci, properties.len());
        }
    }

    /// Models with more heads repeat properties more often by chance; the z-score takes that out.
    fn null(&mut self, scope: &Scope, pooled: &PropertyFrequencies, heads: &[Head]) {
        let properties: Vec<&str> = heads.iter().map(|head| head.property.as_str()).collect();
        let draws = pooled.draws();
        for (metric, figure) in ENTANGLEMENT {
            let value = (figure.strings)(&properties);
            let null = null(&draws, heads.len(), self.settings, figure.numbers);
            let z = value.zip(null).and_then(|(value, (mean, std))| (std > 0.0).then(|| (value - mean) / std));
            let figures = [null.map(|null| null.0), null.map(|null| null.1), z];
            for (ending, value) in NULL_ENDINGS.iter().zip(figures) {
                self.plain(scope, &format!("{metric}{ending}"), value, heads.len());
            }
        }
    }

    fn association(&mut self, scope: &Scope, heads: &[Head]) {
        let judged: Vec<HeadConsistency> = heads.iter().filter_map(|head| head.consistency).collect();
        let threshold = self.settings.association_threshold;
        let associated = |heads: &[HeadConsistency]| associated_heads(heads, threshold);
        let by_all: Vec<JudgedHead> = heads.iter().filter_map(judged_head).collect();
        let ci = interval_of_judges(&by_all, self.settings, associated);
        self.push(scope, "association_associated_heads", associated(&judged), ci, judged.len());
        let ci = interval_of_judges(&by_all, self.settings, mean_consistency);
        self.push(scope, "association_mean_consistency", mean_consistency(&judged), ci, judged.len());
    }

    fn concepts(&mut self, scope: &Scope, heads: &[Head]) {
        let judged: Vec<HeadConsistency> = heads.iter().filter_map(|head| head.consistency).collect();
        for level in 0..=self.settings.texts {
            let at = |heads: &[HeadConsistency]| ccs_at(heads, level);
            let ci = interval(&judged, self.settings, at);
            self.push(scope, &format!("ccs_at_{level}"), at(&judged), ci, judged.len());
        }
        let full: Vec<&str> = heads
            .iter()
            .filter(|head| head.consistency.is_some_and(|c| c.consistent == self.settings.texts))
            .map(|head| head.property.as_str())
            .collect();
        self.plain(scope, "ccr", ccr(&full), full.len());
    }
}

pub(crate) fn judged_head(head: &Head) -> Option<JudgedHead> {
    let own = head.consistency?;
    let others = head.others.iter().map(|other| other.unwrap_or(own)).collect();
    Some(JudgedHead { own, others, dissent: head.dissent })
}

/// A figure over names, and the same over the numbers of the null.
struct Figure {
    strings: fn(&[&str]) -> Option<f64>,
    numbers: fn(&[u32]) -> Option<f64>,
}

/// Names of the entanglement figures, and what is appended for their null.
pub(crate) const ENTANGLEMENT_METRICS: [&str; 3] =
    ["entanglement_repeated", "entanglement_shared_heads", "entanglement_pairwise"];
pub(crate) const NULL_ENDINGS: [&str; 3] = ["_null_mean", "_null_std", "_z"];

const ENTANGLEMENT: [(&str, Figure); 3] = [
    (ENTANGLEMENT_METRICS[0], Figure { strings: |heads| repeated(heads), numbers: |heads| repeated(heads) }),
    (ENTANGLEMENT_METRICS[1], Figure { strings: |heads| shared_heads(heads), numbers: |heads| shared_heads(heads) }),
    (ENTANGLEMENT_METRICS[2], Figure { strings: |heads| pairwise(heads), numbers: |heads| pairwise(heads) }),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn label(head: u32, property: Option<&str>, consistent: &[Option<bool>]) -> LabelRow {
        LabelRow {
            layer: head / 4,
            head: head % 4,
            labeller: "lexicon".to_owned(),
            property: property.map(str::to_owned),
            description: None,
            consistent: consistent.to_vec(),
            agreement: None,
            prompt_sha256: None,
            llm_model: None,
            tokens_in: 0,
            tokens_out: 0,
        }
    }

    fn scores(labels: &[LabelRow]) -> Vec<MetricRow> {
        let synonyms = Synonyms::default();
        score(labels, &PropertyFrequencies::of(labels, &synonyms), &Settings::default(), &synonyms)
    }

    fn value(rows: &[MetricRow], metric: &str) -> Option<f64> {
        rows.iter().find(|row| row.metric == metric && row.scope == "model").and_then(|row| row.value)
    }

    #[test]
    fn unlabelled_heads_are_counted_and_left_out() {
        let yes = [Some(true); 5];
        let rows = scores(&[label(0, Some("colors"), &yes), label(1, None, &[]), label(2, Some("animals"), &yes)]);
        assert_eq!(value(&rows, "heads"), Some(3.0));
        assert_eq!(value(&rows, "labelled_heads"), Some(2.0));
        assert_eq!(value(&rows, "entanglement_repeated"), Some(0.0));
        assert_eq!(value(&rows, "ccs_at_5"), Some(1.0));
    }

    #[test]
    fn imported_labels_have_no_association() {
        let rows = scores(&[label(0, Some("a b c"), &[]), label(1, Some("a b c"), &[])]);
        assert_eq!(value(&rows, "association_associated_heads"), None);
        assert_eq!(value(&rows, "entanglement_repeated"), Some(0.5));
        assert!(rows.iter().all(|row| row.value.is_none_or(f64::is_finite)));
    }

    #[test]
    fn the_same_labels_give_the_same_rows() {
        let labels: Vec<LabelRow> = (0..16)
            .map(|head| label(head, Some(["colors", "animals", "food"][head as usize % 3]), &[Some(head % 2 == 0); 5]))
            .collect();
        assert_eq!(scores(&labels), scores(&labels));
        let first = scores(&labels);
        let row = first.iter().find(|row| row.metric == "entanglement_repeated" && row.scope == "model");
        assert!(row.is_some_and(|row| row.ci_low <= row.value && row.value <= row.ci_high));
    }
}
