//! How far two labellers agree beyond chance: Cohen's kappa over texts, and over names of heads.

use std::collections::BTreeMap;

use headspan_artifacts::{HeadId, LabelRow};
use headspan_notes::{FirstTexts, Notes, judgements, names};
use serde::Serialize;

use crate::{bootstrap::interval_within, fold::Synonyms, settings::Settings};

/// What two labellers agree about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Whether texts fit a label that both judged them against.
    Texts,
    /// What heads are called, by labellers that did not see each other's labels.
    Names,
}

impl About {
    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Texts => "texts",
            Self::Names => "names",
        }
    }
}

/// Agreement of two labellers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreementRow {
    /// The labellers.
    pub labellers: [String; 2],
    /// What they agree about.
    pub about: About,
    /// Heads with something that both judged or named.
    pub heads: u64,
    /// Texts that both judged, or heads that both named.
    pub n: u64,
    /// Share of them on which both say the same.
    pub share: f64,
    /// Cohen's kappa; none where both say the same of all.
    pub kappa: Option<f64>,
    /// Its interval, over heads.
    pub interval: Option<(f64, f64)>,
}

/// Cohen's kappa for names (Cohen 1960, doi:10.1177/001316446002000104): the share of pairs that are equal, less that which chance would make equal, over what is
/// left of 1. None without pairs, and where both only ever say one thing.
pub fn cohens_kappa<T: Ord>(pairs: &[(T, T)]) -> Option<f64> {
    let mut counts: BTreeMap<&T, [f64; 2]> = BTreeMap::new();
    for (one, other) in pairs {
        counts.entry(one).or_default()[0] += 1.0;
        counts.entry(other).or_default()[1] += 1.0;
    }
    let n = pairs.len() as f64;
    let equal = pairs.iter().filter(|(one, other)| one == other).count() as f64 / n;
    let by_chance = counts.values().map(|[one, other]| one * other).sum::<f64>() / (n * n);
    (by_chance < 1.0).then(|| (equal - by_chance) / (1.0 - by_chance))
}

/// What one labeller says.
#[derive(Debug, Default)]
struct Rater {
    /// Whether a text of a head fits a property (folded).
    texts: BTreeMap<(HeadId, String, String), bool>,
    /// Property (folded) of a head.
    names: BTreeMap<HeadId, String>,
}

/// Cohen's kappa of every two of the labellers of a run and the people who said something of it, where both said something about the same.
/// People's names are those that they gave without sight of a label; judgements of texts that a head no longer has do not count.
pub fn agreements(
    labels: &[LabelRow],
    texts: &FirstTexts,
    notes: &Notes,
    settings: &Settings,
    synonyms: &Synonyms,
) -> Vec<AgreementRow> {
    let raters = raters(labels, texts, notes, synonyms);
    let mut rows = Vec::new();
    for (at, (first, one)) in raters.iter().enumerate() {
        for (second, other) in raters.iter().skip(at + 1) {
            let labellers = || [first.clone(), second.clone()];
            let judged = both(&one.texts, &other.texts, |(head, _, _)| *head);
            rows.extend(row(labellers(), About::Texts, &judged, settings));
            let named = both(&one.names, &other.names, |head| *head);
            rows.extend(row(labellers(), About::Names, &named, settings));
        }
    }
    rows
}

fn raters(labels: &[LabelRow], texts: &FirstTexts, notes: &Notes, synonyms: &Synonyms) -> BTreeMap<String, Rater> {
    let mut raters: BTreeMap<String, Rater> = BTreeMap::new();
    for row in labels {
        let Some(property) = row.property.as_deref().map(|property| synonyms.fold(property)) else { continue };
        let rater = raters.entry(row.labeller.clone()).or_default();
        let own = texts.get(&row.head_id()).map(Vec::as_slice).unwrap_or_default();
        for (text, fits) in own.iter().zip(&row.consistent) {
            if let Some(fits) = fits {
                rater.texts.insert((row.head_id(), property.clone(), text.clone()), *fits);
            }
        }
        rater.names.insert(row.head_id(), property);
    }
    for judged in judgements(notes) {
        let is_there = texts.get(&judged.head).is_some_and(|own| own.contains(&judged.text));
        if let Some(fits) = judged.fits.filter(|_| is_there) {
            let at = (judged.head, synonyms.fold(&judged.property), judged.text);
            raters.entry(judged.author).or_default().texts.insert(at, fits);
        }
    }
    for ((author, head), name) in names(notes, Some(texts)) {
        raters.entry(author).or_default().names.insert(head, synonyms.fold(&name));
    }
    raters
}

/// What both say of the same, by head.
fn both<K: Ord, V: Clone>(
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    head: impl Fn(&K) -> HeadId,
) -> Vec<Vec<(V, V)>> {
    let mut heads: BTreeMap<HeadId, Vec<(V, V)>> = BTreeMap::new();
    for (at, said) in one {
        if let Some(theirs) = other.get(at) {
            heads.entry(head(at)).or_default().push((said.clone(), theirs.clone()));
        }
    }
    heads.into_values().collect()
}

fn row<T: Ord + Clone>(
    labellers: [String; 2],
    about: About,
    heads: &[Vec<(T, T)>],
    settings: &Settings,
) -> Option<AgreementRow> {
    let kappa = |heads: &[Vec<(T, T)>]| cohens_kappa(&heads.concat());
    let pairs = heads.concat();
    if pairs.is_empty() {
        return None;
    }
    let equal = pairs.iter().filter(|(one, other)| one == other).count();
    Some(AgreementRow {
        labellers,
        about,
        heads: heads.len() as u64,
        n: pairs.len() as u64,
        share: equal as f64 / pairs.len() as f64,
        kappa: kappa(heads),
        interval: kappa(heads).and_then(|_| interval_within((-1.0, 1.0), heads, settings, kappa)),
    })
}

#[cfg(test)]
mod tests {
    use headspan_artifacts::{NoteKind, NoteRow};
    use proptest::prelude::*;

    use super::*;

    /// The worked example of the article on Cohen's kappa in the English Wikipedia: 50 proposals, 20 yes by both, 15 no by both, kappa 0.40.
    #[test]
    fn kappa_of_the_worked_example() {
        let cells = [((true, true), 20), ((true, false), 5), ((false, true), 10), ((false, false), 15)];
        let pairs: Vec<(bool, bool)> = cells.iter().flat_map(|(pair, n)| vec![*pair; *n]).collect();
        let kappa = cohens_kappa(&pairs).unwrap_or_default();
        assert!((kappa - 0.4).abs() < 1e-12, "{kappa}");
    }

    #[test]
    fn one_word_alone_has_no_kappa() {
        assert_eq!(cohens_kappa::<bool>(&[]), None);
        assert_eq!(cohens_kappa(&[(true, true), (true, true)]), None);
        assert_eq!(cohens_kappa(&[(true, true), (false, false)]), Some(1.0));
        assert_eq!(cohens_kappa(&[(true, false), (false, true)]), Some(-1.0));
    }

    fn label(head: u32, property: &str, consistent: &[bool]) -> LabelRow {
        LabelRow {
            layer: 0,
            head,
            labeller: "lexicon".to_owned(),
            property: Some(property.to_owned()),
            description: None,
            consistent: consistent.iter().map(|fits| Some(*fits)).collect(),
            agreement: None,
            prompt_sha256: None,
            llm_model: None,
            tokens_in: 0,
            tokens_out: 0,
        }
    }

    fn note(revision: u64, kind: NoteKind, head: u32, key: Option<&str>, value: Option<&str>) -> NoteRow {
        NoteRow {
            revision,
            after: 0,
            author: "anna".to_owned(),
            at_ms: 0,
            kind,
            layer: Some(0),
            head: Some(head),
            pick: None,
            property: Some("Color".to_owned()),
            key: key.map(str::to_owned),
            value: value.map(str::to_owned),
            state: None,
        }
    }

    #[test]
    fn people_are_compared_over_texts_of_the_same_label_and_over_blind_names() {
        let labels = [label(0, "colors", &[true, false, true]), label(1, "shapes", &[true])];
        let texts = FirstTexts::from([
            (HeadId { layer: 0, head: 0 }, ["a", "b", "c"].map(str::to_owned).to_vec()),
            (HeadId { layer: 0, head: 1 }, vec!["d".to_owned()]),
        ]);
        let judged = |revision, head, text, value| note(revision, NoteKind::Judgement, head, Some(text), value);
        let notes = Notes::of_rows(vec![
            judged(1, 0, "a", Some("fits")),
            judged(2, 0, "b", Some("not")),
            // Undecided, of a text that is gone, and against another label.
            judged(3, 0, "c", None),
            judged(4, 0, "gone", Some("fits")),
            judged(5, 1, "d", Some("fits")),
            note(6, NoteKind::Name, 0, None, Some("COLORS")),
            note(7, NoteKind::Name, 1, None, Some("animals")),
            // A label that was given in sight of another says nothing of agreement.
            note(8, NoteKind::Label, 1, None, Some("shapes")),
        ]);
        let rows = agreements(&labels, &texts, &notes, &Settings::default(), &Synonyms::default());
        let told: Vec<_> = rows.iter().map(|row| (row.about, row.n, row.heads, row.share)).collect();
        assert_eq!(told, [(About::Texts, 2, 1, 1.0), (About::Names, 2, 2, 0.5)]);
        assert_eq!(rows[0].kappa, Some(1.0));
        assert_eq!(rows[0].labellers, ["anna", "lexicon"].map(str::to_owned));
    }

    proptest! {
        #[test]
        fn kappa_is_symmetric_and_at_most_one(pairs in prop::collection::vec((0_u8..4, 0_u8..4), 1..40)) {
            let turned: Vec<(u8, u8)> = pairs.iter().map(|(one, other)| (*other, *one)).collect();
            let (kappa, back) = (cohens_kappa(&pairs), cohens_kappa(&turned));
            prop_assert_eq!(kappa.is_some(), back.is_some());
            if let (Some(kappa), Some(back)) = (kappa, back) {
                prop_assert!((kappa - back).abs() < 1e-12 && kappa <= 1.0 + 1e-12);
            }
            let same: std::collections::BTreeSet<_> = pairs.iter().map(|(one, _)| *one).collect();
            let equal: Vec<(u8, u8)> = pairs.iter().map(|(one, _)| (*one, *one)).collect();
            prop_assert_eq!(cohens_kappa(&equal), (same.len() > 1).then_some(1.0));
        }
    }
}
